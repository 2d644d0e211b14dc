"""Makes other people's model files for tests: random weights of any shape in the layouts that are published."""

import json
from pathlib import Path

import torch
from torch import nn

PREPROCESSOR = {"do_resize": True, "do_center_crop": True, "do_normalize": True, "do_rescale": True, "resample": 3,
                "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}


def shake(model: nn.Module, seed: int = 0) -> nn.Module:
    """Biases of 0 and gains of 1 would hide mistakes."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.add_(0.3 * torch.rand_like(buffer))
    return model.eval()


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def hugging_face_folder(folder: Path, tokenizer, vision: dict, text: dict, embed_dim: int = 20, seed: int = 0, **saving):
    """A CLIPModel of transformers with random weights in folder -> that model."""
    from transformers import CLIPConfig, CLIPModel

    text = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": tokenizer.context_length,
            "bos_token_id": tokenizer.sot_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id, **text}
    model = shake(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=embed_dim)), seed)
    model.save_pretrained(folder, **saving)
    tokenizer.save(folder)
    side = vision["image_size"]
    write_json(folder / "preprocessor_config.json",
               {**PREPROCESSOR, "size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}})
    return model


def open_clip_config(config, **model_cfg) -> dict:
    """open_clip_config.json of one of our CLIPConfigs."""
    v, t = config.vision, config.text
    vision = {"image_size": v.image_size, "width": v.width, "layers": v.layers if v.tower == "vit" else list(v.layers),
              "patch_size": v.patch_size if v.tower == "vit" else None}
    if v.tower == "vit":
        vision |= {"head_width": v.width // v.heads, "mlp_ratio": (v.mlp_width or 4 * v.width) / v.width + 1e-6}
    text = {key: getattr(t, key) for key in ("context_length", "vocab_size", "width", "heads", "layers")}
    return {"model_cfg": {"embed_dim": config.embed_dim, "quick_gelu": t.activation == "quick_gelu", "vision_cfg": vision,
                          "text_cfg": text, **model_cfg},
            "preprocess_cfg": {"mean": list(v.mean), "std": list(v.std), "interpolation": v.interpolation,
                               "resize_mode": v.resize_mode}}


def open_clip_folder(folder: Path, model, tokenizer, **model_cfg) -> Path:
    """One of our models in open_clip's layout."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    write_json(folder / "open_clip_config.json", open_clip_config(model.config, **model_cfg))
    tokenizer.save(folder)
    return folder


class Bag(nn.Module):
    """A tree of modules that holds tensors under given names and does nothing else."""

    def put(self, name: str, tensor: torch.Tensor) -> None:
        first, _, rest = name.partition(".")
        if not rest:
            self.register_buffer(first, tensor)
            return
        if first not in self._modules:
            self.add_module(first, Bag())
        self._modules[first].put(rest, tensor)

    def forward(self, x):
        return x + 1


def openai_archive(path: Path, model, half: bool = True) -> Path:
    """One of our models as OpenAI published theirs: a TorchScript archive in half precision, its names at the top level."""
    bag = Bag()
    for name, tensor in model.state_dict().items():
        bag.put(name, tensor.half() if half and tensor.is_floating_point() else tensor)
    bag.put("input_resolution", torch.tensor(model.config.vision.image_size))
    for name in ("context_length", "vocab_size"):
        bag.put(name, torch.tensor(getattr(model.config.text, name)))
    torch.jit.trace(bag, torch.zeros(1)).save(str(path))
    return path
