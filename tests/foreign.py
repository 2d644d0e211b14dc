"""Makes other people's model files for tests: random weights of any shape in the layouts that are published."""

import io
import json
import tarfile
from pathlib import Path

import torch
from torch import nn

from clipmini.families import export

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


def hugging_face_folder(folder: Path, tokenizer, vision: dict, text: dict, embed_dim: int = 20, seed: int = 0,
                        **saving):
    """A CLIPModel of transformers with random weights in folder -> that model."""
    from transformers import CLIPConfig, CLIPModel

    text = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": tokenizer.context_length,
            "bos_token_id": tokenizer.sot_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id,
            **text}
    model = shake(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=embed_dim)), seed)
    model.save_pretrained(folder, **saving)
    tokenizer.save(folder)
    side = vision["image_size"]
    write_json(folder / "preprocessor_config.json",
               {**PREPROCESSOR, "size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}})
    return model


def open_clip_folder(folder: Path, model, tokenizer) -> Path:
    """One of our models in open_clip's layout."""
    return export(model, tokenizer, folder, "open_clip")


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
    """One of our models as OpenAI published theirs: a TorchScript archive in half precision, its names on top."""
    bag = Bag()
    for name, tensor in model.state_dict().items():
        bag.put(name, tensor.half() if half and tensor.is_floating_point() else tensor)
    bag.put("input_resolution", torch.tensor(model.config.vision.image_size))
    for name in ("context_length", "vocab_size"):
        bag.put(name, torch.tensor(getattr(model.config.text, name)))
    torch.jit.trace(bag, torch.zeros(1)).save(str(path))
    return path


def write_archive(path: Path, examples_: list[tuple[bytes, str, str]]) -> None:
    """A tar archive in clip-benchmark's layout: (picture bytes, "cls" or "txt", its text) for each example."""
    with tarfile.open(path, "w") as archive:
        for i, (picture, kind, text) in enumerate(examples_):
            for name, content in ((f"s{i:06d}.jpg", picture), (f"s{i:06d}.{kind}", text.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
