"""What a CLIP is made of, as frozen dataclasses: one for each tower, one for the pair, and a few presets."""

import math
from dataclasses import asdict, dataclass, field, fields, replace

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

CHOICES = {
    "vision": {"tower": ("vit", "resnet", "light"), "activation": ("gelu", "quick_gelu"), "crop": ("round", "floor"),
               "interpolation": ("bicubic", "bilinear"), "resize_mode": ("shortest", "squash")},
    "text": {"tower": ("transformer", "cbow", "bert"), "activation": ("gelu", "quick_gelu")}}
LATER = ("mlp_width", "resize_mode", "crop", "eps")  # came later: a configuration without them means their defaults


class ConfigError(ValueError):
    """A configuration that cannot be built; the message names the field, its value and the remedy."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _check_fields(config, section: str = "") -> None:
    """Values of the declared types: words from CHOICES, whole numbers, finite ones; a file may say anything."""
    for f in fields(config):
        name, value = section + f.name, getattr(config, f.name)
        if allowed := CHOICES.get(section[:-1], {}).get(f.name):
            _require(value in allowed, f"{name} is {value!r}; choose one of {', '.join(allowed)}")
        numbers = value if isinstance(value, tuple) else (value,)
        if f.type in (int, int | tuple[int, ...]):
            least = float(f.name not in ("layers", "mlp_width", "sot_id", "eos_id", "pad_id"))  # others can't be 0
            _require(all(type(n) is int and least <= n < 2**31 for n in numbers),
                     f"{name} is {value!r}, of the wrong type or size")
        elif f.type in (float, tuple[float, ...]):
            least = 0 if f.name in ("eps", "std") else -math.inf  # what is divided by must be positive
            _require(all(type(n) in (int, float) and least < n < math.inf for n in numbers),
                     f"{name} is {value!r}, of the wrong type or size")


@dataclass(frozen=True)
class VisionConfig:
    """An image tower.

    tower: "vit" (VisionTransformer), "resnet" (CLIP's ModifiedResNet) or "light" (LightResNet).
    image_size: side of the square input, pixels.
    width: channels after the stem (ResNets) or of the residual stream (ViT).
    layers: blocks; an int for a ViT, one int a stage for the ResNets.
    heads: attention heads; of the blocks (ViT) or of the attention pool (resnet).
    patch_size: side of a patch, pixels (ViT only).
    activation: "gelu" or "quick_gelu" (ViT only). OpenAI's weights need quick_gelu.
    mlp_width: hidden units of a block's MLP (ViT only); 0 is four times the width. Only the two largest CLIPs differ.
    eps: what a LayerNorm adds to the variance (ViT only).
    mean, std, interpolation: the preprocessing these weights were trained with.
    resize_mode: "shortest" brings the short side to image_size and crops, "squash" both sides (Chinese-CLIP, SigLIP).
    crop: where an odd number of pixels is to go: "round" as OpenAI and open_clip do, "floor" as transformers does.
    """

    tower: str = "light"
    image_size: int = 32
    width: int = 32
    layers: int | tuple[int, ...] = (1, 1, 1, 1)
    heads: int = 4
    patch_size: int = 8
    activation: str = "gelu"
    mlp_width: int = 0
    mean: tuple[float, ...] = OPENAI_MEAN
    std: tuple[float, ...] = OPENAI_STD
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    crop: str = "round"
    eps: float = 1e-5

    def __post_init__(self):
        for name in ("layers", "mean", "std"):  # JSON gives lists back
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_fields(self, "vision.")
        _require(all(isinstance(levels, tuple) and len(levels) == 3 for levels in (self.mean, self.std)),
                 "vision.mean and vision.std need three numbers each")
        stages = None if isinstance(self.layers, int) else len(self.layers)
        _require((stages is None) == (self.tower == "vit"),
                 f"vision.layers is {self.layers!r}; a vit takes one int, a ResNet one int for each stage")
        if self.tower == "vit":
            _require(self.width % self.heads == 0,
                     f"vision.width {self.width} is not a multiple of vision.heads {self.heads}")
            _require(self.image_size % self.patch_size == 0,
                     f"vision.image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        else:
            _require(stages == 4, f"vision.layers is {self.layers}; a ResNet has four stages")
        if self.tower == "resnet":
            _require(self.image_size % 32 == 0, f"vision.image_size is {self.image_size}; the ModifiedResNet halves it "
                                                "five times, use a multiple of 32")
            _require(self.width * 32 % self.heads == 0,
                     f"vision.heads {self.heads} does not divide the pooled width {self.width * 32}")

    @property
    def grid(self) -> int:
        """Cells along one side of the feature grid: P = grid * grid."""
        stride = {"vit": self.patch_size, "resnet": 32, "light": 16}[self.tower]
        return -(-self.image_size // stride)  # rounded up


@dataclass(frozen=True)
class TextConfig:
    """A text tower.

    tower: "transformer" (causal, pooled at the end token), "cbow" (mean of the token embeddings, blind to order) or
    "bert" (transformers' BertModel, pooled at its first token: Chinese-CLIP).
    vocab_size: rows of the embedding table. context_length: tokens including start and end.
    width, layers, heads, activation, mlp_width, eps: as in VisionConfig (cbow uses the width alone).
    sot_id, eos_id, pad_id: ids of the start, end and padding tokens.
    """

    tower: str = "cbow"
    vocab_size: int = 49408
    context_length: int = 77
    width: int = 128
    layers: int = 2
    heads: int = 4
    activation: str = "gelu"
    mlp_width: int = 0
    sot_id: int = 49406
    eos_id: int = 49407
    pad_id: int = 49407
    eps: float = 1e-5

    def __post_init__(self):
        _check_fields(self, "text.")
        _require(self.width % self.heads == 0, f"text.width {self.width} is not a multiple of text.heads {self.heads}")
        _require(self.context_length >= 3,
                 f"text.context_length is {self.context_length}; start, one token and end need 3")
        for name in ("sot_id", "eos_id", "pad_id"):
            _require(0 <= getattr(self, name) < self.vocab_size,
                     f"text.{name} is {getattr(self, name)}, outside the vocabulary of {self.vocab_size} ids")
        _require(self.sot_id != self.eos_id, f"text.sot_id and text.eos_id are both {self.eos_id}")


@dataclass(frozen=True)
class CLIPConfig:
    """Two towers that meet in embed_dim numbers.

    logit_scale_init, logit_scale_max: bounds of the parameter logit_scale, in nats: logits = exp(logit_scale) * cosine.
    sigmoid: add SigLIP's logit_bias, which the sigmoid loss needs.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    embed_dim: int = 128
    logit_scale_init: float = 2.659260036932778  # ln(1 / 0.07), CLIP paper section 2.5
    logit_scale_max: float = 4.605170185988092  # ln(100)
    sigmoid: bool = False

    def __post_init__(self):
        _check_fields(self)

    to_dict = asdict  # for config.json

    @classmethod
    def from_dict(cls, values: dict) -> "CLIPConfig":
        """Inverse of to_dict; an unknown or missing key is a ConfigError that names it."""
        parts = {"vision": VisionConfig, "text": TextConfig}
        for name in parts:
            _require(isinstance(values.get(name), dict), f"the configuration has no section {name!r}")
        built = {name: _build(part, values[name], name + ".") for name, part in parts.items()}
        return _build(cls, values | built, "")


def _build(cls, values: dict, prefix: str):
    known = {f.name for f in fields(cls)}
    for name in sorted(set(values) - known):
        raise ConfigError(f"unknown configuration key {prefix}{name}; known are {', '.join(sorted(known))}")
    for name in sorted(known - set(values) - set(LATER)):
        raise ConfigError(f"the configuration lacks {prefix}{name}")
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(f"a configuration value has the wrong type: {error}") from error


_SMALL_VIT = VisionConfig(tower="vit", image_size=32, patch_size=8, width=192, layers=4, heads=3)
_SMALL_TEXT = TextConfig(tower="transformer", width=128, layers=2, heads=2, context_length=32)
_CLIP_TEXT = TextConfig(tower="transformer", width=512, layers=12, heads=8, activation="quick_gelu")
PRESETS = {
    "light-cbow": CLIPConfig(VisionConfig(), TextConfig(context_length=32)),
    "light-transformer": CLIPConfig(VisionConfig(), _SMALL_TEXT),
    "vit-cbow": CLIPConfig(_SMALL_VIT, TextConfig(context_length=32)),
    "vit-transformer": CLIPConfig(_SMALL_VIT, _SMALL_TEXT),
    "ViT-B/32": CLIPConfig(VisionConfig("vit", 224, 768, 12, 12, 32, "quick_gelu"), _CLIP_TEXT, 512),
    "RN50": CLIPConfig(VisionConfig("resnet", 224, 64, (3, 4, 6, 3), 32), _CLIP_TEXT, 1024),
}


def preset(name: str, tokenizer=None, vision: dict | None = None, text: dict | None = None, **overrides) -> CLIPConfig:
    """A named configuration, with a few fields changed.

    tokenizer: where given, the vocabulary size, the special ids and the context length come from it.
    vision, text: fields of the towers to change; overrides: fields of CLIPConfig.

    >>> preset("light-cbow", embed_dim=64).embed_dim
    64
    """
    _require(name in PRESETS, f"no preset {name!r}; there are {', '.join(PRESETS)}")
    base = PRESETS[name]
    names = ("vocab_size", "sot_id", "eos_id", "pad_id", "context_length") if tokenizer is not None else ()
    text = {name: getattr(tokenizer, name) for name in names} | (text or {})
    return replace(base, vision=replace(base.vision, **(vision or {})), text=replace(base.text, **text), **overrides)
