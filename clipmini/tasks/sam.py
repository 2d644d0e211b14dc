"""What published segmenters have in common, and those that take points: SAM, SAM 2 and the tracker of SAM 3."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.files import CheckpointError, read_json
from clipmini.picture_file import open_image
from clipmini.segmenter.frame import Frame
from clipmini.segmenter.predict import SHOWN, Answer, Rough
from clipmini.segmenter.prompt import Prompt, PromptError, checked
from clipmini.tasks.heatmap import heatmap

SURE = 0.9  # share of its highest value from which a map's place becomes a click
CLICKS, APART = 3, 0.1  # clicks at most; shares of the picture's side between them
LOW = 256  # side of a rough answer


def loaded(class_name: str, folder: Path, name: str) -> Any:
    """A model of transformers'. One whose weights are partly missing answers by chance, as SAM 3 did when its keys were
    renamed. Raises CheckpointError."""
    import transformers

    try:
        model, report = getattr(transformers, class_name).from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise CheckpointError(f"{name!r} can't be loaded as {class_name}: {reason}") from error
    missing = sorted(report["missing_keys"])
    if missing and class_name.startswith("Sam3"):
        raise CheckpointError(f"{name!r} can't be loaded as {class_name}: {len(missing)} of its weights are not there, "
                              f"such as {missing[0]}")
    return model


class Published:
    """What they have in common: set_image, predict, predict_many, and the picture."""

    takes: tuple[str, ...] = ()  # of points, box, mask, text
    image: Any = None

    def __init__(self, model: Any, folder: Path, name: str, embedder: Embedder | None):
        self.model, self.folder, self.name, self.embedder = model.eval().requires_grad_(False), folder, name, embedder

    @cached_property
    def _preprocessing(self) -> dict[str, Any]:
        own = self.folder / "preprocessor_config.json"
        return read_json(own) if own.is_file() else read_json(self.folder / "processor_config.json")["image_processor"]

    @cached_property
    def _tokens(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder)

    @torch.no_grad()
    def set_image(self, image: Any) -> None:
        """image: a path, bytes or a PIL image. Raises ImageError."""
        self.image = open_image(image)
        self._see()

    def predict(self, points: Any = None, labels: Any = None, box: Any = None, text: str | None = None,
                mask: Any = None) -> Answer:
        """One prompt; see Prompt and Answer. Raises PromptError, also for a kind that this model does not take."""
        return self.predict_many([Prompt(points, labels, box, text, mask)])[0]

    @torch.no_grad()
    def predict_many(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Prompts -> an answer each."""
        if self.image is None:
            raise PromptError("there is no picture yet; call set_image first")
        return [self._answer(self._taken(checked(prompt, self.image.size))) for prompt in prompts]

    def rough(self, prompts: Sequence[Prompt]) -> list[Rough]:
        """The same in a square of LOW cells, for hundreds of prompts."""
        found: list[Rough] = []
        for prompt in prompts:
            answer, frame = self.predict(*prompt), Frame.whole(self.image, LOW)
            logits = torch.stack([frame.mask_in(each, LOW) for each in answer.logits])
            found.append(Rough(logits, answer.iou, answer.there, (frame,) * len(logits)))
        return found

    def _taken(self, prompt: Prompt) -> Prompt:
        given = {name for name in ("points", "box", "text", "mask") if getattr(prompt, name) is not None}
        if "text" in given and "text" not in self.takes:
            return self._taken(self._clicked(prompt))
        if refused := sorted(given - set(self.takes)):
            raise PromptError(f"{self.name!r} does not take {' and '.join(refused)}; it takes {', '.join(self.takes)}")
        return prompt

    def _clicked(self, prompt: Prompt) -> Prompt:
        """Words -> clicks, by the map that a CLIP makes of them, as CLIP Surgery does (Li et al. 2023, section 5)."""
        if self.embedder is None:
            raise PromptError(f"{self.name!r} does not read words; give load_segmenter an embedder=, a CLIP that does")
        assert prompt.text is not None
        where = places(heatmap(self.embedder, self.image, [prompt.text], progress=False).maps[0], self.image.size)
        points, labels = torch.tensor(where), torch.ones(len(where))
        if prompt.points is not None:
            points, labels = torch.cat([points, prompt.points]), torch.cat([labels, prompt.labels])
        return prompt._replace(points=points, labels=labels, text=None)

    def _see(self) -> None:
        raise NotImplementedError

    def _answer(self, prompt: Prompt) -> Answer:
        raise NotImplementedError

    def _words(self, text: str, most: int, **how: Any) -> Any:
        """What a text encoder of `most` places reads. Raises PromptError for words that are too long for it."""
        words = self._tokens([text], return_tensors="pt", **how)
        if words["input_ids"].shape[1] > most:
            raise PromptError(f"the words have {words['input_ids'].shape[1]} tokens; the context is {most}. Shorten "
                              "them")
        return words

    def _pixels(self, size: tuple[int, int]) -> Tensor:
        """The picture at (width, height), normalised as preprocessor_config.json says: (1, 3, height, width)."""
        raw = self._preprocessing
        small = self.image.resize(size, Image.Resampling.BILINEAR)
        levels = np.asarray(small, np.float32) * raw.get("rescale_factor", 1 / 255)
        mean, std = (np.array(raw[key], np.float32) for key in ("image_mean", "image_std"))
        return torch.from_numpy((levels - mean) / std).permute(2, 0, 1)[None]

    def _result(self, logits: Tensor, iou: Tensor, there: float = 1.0) -> Answer:
        order = iou.sort(descending=True, stable=True).indices[:SHOWN]
        return Answer(logits[order] > 0, iou[order], logits[order], there)


def places(map_: Tensor, size: tuple[int, int]) -> list[tuple[float, float]]:
    """Where a map (h, w) is brightest, and up to CLICKS - 1 further places nearly as bright and not beside it, in the
    pixels of a picture of size (width, height)."""
    (h, w), rest = map_.shape, (map_ - map_.min()).clone()
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    found: list[tuple[float, float]] = []
    best = float(rest.max())
    while len(found) < CLICKS and float(rest.max()) >= SURE * best:
        row, column = divmod(int(rest.argmax()), w)
        found.append(((column + 0.5) / w * size[0], (row + 0.5) / h * size[1]))
        rest[((y - row - 0.5) / h) ** 2 + ((x - column - 0.5) / w) ** 2 < APART**2] = -1
    return found


class Sam(Published):
    """SAM: the longer side becomes 1024, the rest is padding to the right and below."""

    takes = ("points", "box", "mask")

    def _see(self) -> None:
        side = self.model.config.vision_config.image_size
        w, h = self.image.size
        self._size = (int(w * side / max(w, h) + 0.5), int(h * side / max(w, h) + 0.5))
        padded = F.pad(self._pixels(self._size), (0, side - self._size[0], 0, side - self._size[1]))
        self._embedded = self.model.get_image_embeddings(padded)

    def _given(self, prompt: Prompt) -> dict[str, Any]:
        scale = torch.tensor([new / old for new, old in zip(self._size, self.image.size, strict=True)])
        given: dict[str, Any] = {"multimask_output": True}
        if prompt.points is not None:
            given |= {"input_points": (prompt.points * scale)[None, None],
                      "input_labels": prompt.labels.int()[None, None]}
        if prompt.box is not None:
            given["input_boxes"] = (prompt.box * scale).flatten()[None, None]
        if prompt.mask is not None:
            given["input_masks"] = self._mask_in(prompt.mask)
        return given

    def _mask_in(self, mask: Tensor) -> Tensor:
        """-1..1 (H, W) -> logits of the low-resolution square, padding far outside."""
        side, low = self.model.config.vision_config.image_size, 4 * self.model.prompt_encoder.image_embedding_size[0]
        h, w = (max(1, round(n * low / side)) for n in self._size[::-1])
        small = F.interpolate(mask[None, None], size=(h, w), mode="bilinear", antialias=True)
        logits = 2 * torch.atanh(small.clamp(-0.9999, 0.9999))
        return F.pad(logits, (0, low - w, 0, low - h), value=-20.0)

    def _answer(self, prompt: Prompt) -> Answer:
        found = self.model(image_embeddings=self._embedded, **self._given(prompt))
        side = self.model.config.vision_config.image_size
        large = F.interpolate(found.pred_masks[0].float(), size=(side, side), mode="bilinear", align_corners=False)
        large = large[..., :self._size[1], :self._size[0]]
        logits = F.interpolate(large, size=self.image.size[::-1], mode="bilinear", align_corners=False)[0]
        return self._result(logits, found.iou_scores[0, 0].float())


class Sam2(Sam):
    """SAM 2 and SAM 3's tracker: the picture is squeezed into a square of 1024 or 1008, each side by its own factor."""

    def _see(self) -> None:
        side = self.model.prompt_encoder.input_image_size
        self.look(self._pixels((side, side)))

    def look(self, pixels: Tensor) -> None:
        """Read the picture from its pixels (1, 3, side, side)."""
        self._size = (pixels.shape[3], pixels.shape[2])
        self._embedded = self.model.get_image_embeddings(pixels)

    def _mask_in(self, mask: Tensor) -> Tensor:
        low = self.model.prompt_encoder.mask_input_size[0]
        small = F.interpolate(mask[None, None], size=(low, low), mode="bilinear", antialias=True)
        return 2 * torch.atanh(small.clamp(-0.9999, 0.9999))

    def _answer(self, prompt: Prompt) -> Answer:
        found = self.model(image_embeddings=list(self._embedded), **self._given(prompt))
        logits = F.interpolate(found.pred_masks[0].float(), size=self.image.size[::-1], mode="bilinear",
                               align_corners=False)[0]
        score = getattr(found, "object_score_logits", None)
        there = 1.0 if score is None else float(score.flatten()[0].sigmoid())
        return self._result(logits, found.iou_scores[0, 0].float(), there)
