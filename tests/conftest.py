"""The environment of all tests, and tiny models that several test files share."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# Threads that wait asleep: on a busy machine, spinning ones make these many tiny steps five times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# In pytest's own cache folder: the emoji styles are drawn once for each checkout, not once a run.
os.environ.setdefault("CLIPMINI_CACHE", str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "d" / "clipmini"))

import pytest  # noqa: E402
import torch  # noqa: E402

from clipmini import checkpoint  # noqa: E402
from clipmini.config import preset  # noqa: E402
from clipmini.model import CLIP  # noqa: E402
from clipmini.tokenizer import Tokenizer  # noqa: E402

COLOURS = ("red", "green", "blue", "yellow", "black", "white", "grey", "purple")
THINGS = ("square", "circle", "cat", "apple", "smiling face", "crescent moon")
CAPTIONS = [f"a {colour} {thing}" for colour in COLOURS for thing in THINGS]

SMALL = {
    "light-cbow": ({"image_size": 16, "width": 8}, {"width": 32}),
    "light-transformer": ({"image_size": 16, "width": 8}, {"width": 32, "layers": 2, "heads": 2}),
    "vit-transformer": ({"image_size": 16, "patch_size": 8, "width": 32, "layers": 2, "heads": 2},
                        {"width": 32, "layers": 2, "heads": 2}),
}


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """About 600 tokens learnt from a few dozen captions; a context of 32."""
    return Tokenizer.train(CAPTIONS, 600, context_length=32)


@pytest.fixture(scope="session")
def make_clip(tokenizer):
    """make_clip(preset_name, seed=0, vision=..., text=..., **fields of CLIPConfig) -> a tiny CLIP with random weights."""

    def make(name: str, seed: int = 0, vision: dict | None = None, text: dict | None = None, **overrides) -> CLIP:
        small_vision, small_text = SMALL[name]
        torch.manual_seed(seed)
        return CLIP(preset(name, tokenizer, {**small_vision, **(vision or {})}, {**small_text, **(text or {})},
                           **{"embed_dim": 32, **overrides}))

    return make


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory, make_clip, tokenizer) -> dict[str, Path]:
    """{preset name: checkpoint folder}; read only, copy one before you damage it."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: checkpoint.save(root / name, make_clip(name), tokenizer, meta={"seed": 0}) for name in SMALL}


@pytest.fixture(params=["light-cbow", "vit-transformer"])
def tiny_checkpoint(request, tiny_checkpoints) -> Path:
    """One checkpoint folder after the other."""
    return tiny_checkpoints[request.param]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI nothing may be skipped for want of an install: a hidden skip is a test that cannot fail."""
    report = yield
    if os.environ.get("CLIPMINI_NO_SKIP") and report.skipped and "install" in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where everything should be installed: {report.longrepr}"
    return report
