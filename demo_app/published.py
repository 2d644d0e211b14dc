"""Published CLIPs that the page offers: what each is good at, how large it is, and who says so.

Nothing here was measured by us: accuracies are those that their authors published, licences are given with the place
that states them. Sizes are of the files that clipmini fetches.
"""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from clipmini.files import read_json


@dataclass(frozen=True)
class Published:
    """A CLIP of the hub. megabytes: what is downloaded; licence, stated: which, and the key of where that stands; good:
    the key of what it is good at; imagenet: published zero-shot accuracy in percent, and in source who published it;
    needs: {package of pip: its module} beyond what the app has."""

    name: str
    title: str
    megabytes: int
    licence: str
    stated: str
    good: str
    imagenet: float | None = None
    source: str = ""
    needs: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> str:
        """In words."""
        return readable(self.megabytes * 1_000_000)

    @property
    def missing(self) -> list[str]:
        """Packages that it needs and that are not installed."""
        return [package for package, module in self.needs.items() if not _importable(module)]


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of google.protobuf not even google is there
        return False


HUB, REPOSITORY, ONLY_REPOSITORY = "models_stated_hub", "models_stated_repository", "models_stated_elsewhere"
TRANSFORMERS = {"transformers": "transformers"}
SENTENCEPIECE = TRANSFORMERS | {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}
TINY = "Wu et al. 2023, TinyCLIP"
PUBLISHED = (  # the small ones first
    Published("wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M", "TinyCLIP-8M", 94, "MIT", HUB, "models_good_tiny8", 41.1,
              TINY),
    Published("wkcn/TinyCLIP-ViT-40M-32-Text-19M-LAION400M", "TinyCLIP-40M", 337, "MIT", HUB, "models_good_tiny40",
              59.8, TINY),
    Published("openai/clip-vit-base-patch32", "OpenAI ViT-B/32", 605, "MIT", REPOSITORY, "models_good_b32", 63.3,
              "Radford et al. 2021, CLIP"),
    Published("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "LAION ViT-B/32", 605, "MIT", HUB, "models_good_laion", 66.6,
              "LAION"),
    Published("OFA-Sys/chinese-clip-vit-base-patch16", "Chinese-CLIP ViT-B/16", 753, "MIT", ONLY_REPOSITORY,
              "models_good_chinese", needs={"tokenizers": "tokenizers"}),
    Published("google/siglip-base-patch16-224", "SigLIP base", 813, "Apache-2.0", HUB, "models_good_siglip", 76.0,
              "Zhai et al. 2023, SigLIP", SENTENCEPIECE),
    Published("google/siglip2-base-patch16-224", "SigLIP 2 base", 1_500, "Apache-2.0", HUB, "models_good_siglip2", 78.2,
              "Tschannen et al. 2025, SigLIP 2", TRANSFORMERS),
    Published("openai/clip-vit-large-patch14", "OpenAI ViT-L/14", 1_711, "MIT", REPOSITORY, "models_good_l14", 75.5,
              "Radford et al. 2021, CLIP"),
    Published("laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", "LAION ViT-bigG/14", 10_158, "MIT", HUB, "models_good_bigg",
              80.1, "LAION"),
)
BY_NAME = {model.name: model for model in PUBLISHED}


def readable(size: float) -> str:
    """Bytes in words.

    >>> readable(94_000_000), readable(1_500_000_000), readable(7_200_000)
    ('94 MB', '1.5 GB', '7.2 MB')
    """
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


def file_bytes(source: Path | None, file: str = "") -> int:
    """How large a model's weights are on the disk; 0 where it has none. file: the one that was read, where it is known;
    else all of the best kind count."""
    if source is None or not source.exists():
        return 0
    if source.is_file():
        return source.stat().st_size
    named = next((path for path in source.rglob(file) if path.is_file()), None) if file else None
    if named is not None and not named.name.endswith(".index.json"):
        return named.stat().st_size
    if named is not None:
        shards = {named.parent / shard for shard in read_json(named).get("weight_map", {}).values()}
        return sum(path.stat().st_size for path in shards if path.is_file())
    for endings in ((".safetensors",), (".onnx", ".data"), (".bin",), (".pt",)):
        if found := [path for path in source.rglob("*") if path.suffix in endings and path.is_file()]:
            return sum(path.stat().st_size for path in found)
    return 0
