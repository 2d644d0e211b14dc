"""Segmenters by their names: ours, and published ones behind the same interface, through transformers' classes.

SAM and SAM 2 take points and boxes; CLIPSeg, OWLv2 and GroundingDINO take words; SAM 3 takes both. A model that has no
words gets them from a CLIP: where its map of the words is brightest are clicks. Each class says how its pixels and
coordinates go, which is where ports of these models go wrong; the tests compare each with the library's own processor.
"""

import importlib
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.embedder import Embedder, assets_folder
from clipmini.files import CheckpointError, nothing_else, read_json
from clipmini.segmenter import checkpoint
from clipmini.segmenter.predict import SHOWN, Answer, MaskPredictor
from clipmini.segmenter.prompt import Prompt, PromptError
from clipmini.tasks.sam import Published, Sam, Sam2, loaded

EMBEDDED = "segmenter"  # the name of our own


class ClipSeg(Published):
    """CLIPSeg: words alone, one map. The second mask has a higher threshold, the third a lower one, and nobody says how
    good they are."""

    takes = ("text",)

    def _see(self) -> None:
        side = self.model.config.vision_config.image_size
        size = self._preprocessing.get("size", {})
        asked = (size.get("width", side), size.get("height", side)) if isinstance(size, dict) else (size, size)
        self._picture = self._pixels(asked)

    def _answer(self, prompt: Prompt) -> Answer:
        assert prompt.text is not None
        words = self._words(prompt.text, self.model.config.text_config.max_position_embeddings)
        logits = self.model(pixel_values=self._picture, **words).logits.float()
        logits = logits.reshape(1, 1, *logits.shape[-2:])
        large = F.interpolate(logits, size=self.image.size[::-1], mode="bilinear", align_corners=False)[0, 0]
        masks = torch.stack([large, large - 1, large + 1])
        return Answer(masks > 0, torch.full((SHOWN,), float("nan")), masks, float(large.max().sigmoid()))


class Detector(Published):
    """Models that give boxes for words; a mask is its box filled, and its score stands for how good it is. threshold:
    least score that its authors' examples show."""

    takes: tuple[str, ...] = ("text",)
    threshold = 0.1

    def _see(self) -> None:
        self._picture = {name: value for name, value in self._processor(self.image, return_tensors="pt").items()
                         if isinstance(value, Tensor)}

    @cached_property
    def _processor(self) -> Any:
        raise NotImplementedError

    def find(self, label: str) -> tuple[Tensor, Tensor]:
        """Boxes (N, 4) in the picture's pixels and their scores (N,), the best first."""
        raise NotImplementedError

    def _answer(self, prompt: Prompt) -> Answer:
        assert prompt.text is not None
        boxes, scores = self.find(prompt.text)
        w, h = self.image.size
        logits = torch.full((SHOWN, h, w), -20.0)
        for row, (left, top, right, bottom) in enumerate(boxes[:SHOWN].round().int().tolist()):
            logits[row, max(0, top):max(0, bottom), max(0, left):max(0, right)] = 20.0
        best = torch.zeros(SHOWN)
        best[:len(scores[:SHOWN])] = scores[:SHOWN]
        return Answer(logits > 0, best, logits, float(best[0]))

    def _ranked(self, boxes: Tensor, scores: Tensor, size: tuple[float, float]) -> tuple[Tensor, Tensor]:
        """Boxes as middles and sizes, shares of `size` (width, height) -> corners in pixels, inside the picture."""
        x, y, w, h = boxes.unbind(-1)
        corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1) * torch.tensor([*size, *size])
        limit = torch.tensor([*self.image.size, *self.image.size], dtype=torch.float32)
        order = scores.sort(descending=True, stable=True).indices
        return corners.clamp(min=0).minimum(limit)[order], scores[order]


class Owl(Detector):
    """OWLv2: the picture is padded to a square below and to the right, and boxes are shares of that square, not of the
    picture (transformers issues 27205 and 30131)."""

    @cached_property
    def _processor(self) -> Any:
        from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

        return Owlv2ImageProcessorPil.from_pretrained(self.folder)

    def find(self, label: str) -> tuple[Tensor, Tensor]:
        words = self._tokens([label], padding="max_length", max_length=self.model.config.text_config.
                             max_position_embeddings, truncation=True, return_tensors="pt")
        found = self.model(pixel_values=self._picture["pixel_values"], **words)
        side = float(max(self.image.size))
        return self._ranked(found.pred_boxes[0].float(), found.logits[0, :, 0].float().sigmoid(), (side, side))


class GroundingDino(Detector):
    """GroundingDINO, asked for one label at a time: several in one sentence run into one another (its issues 56 and
    141)."""

    threshold = 0.4

    @cached_property
    def _processor(self) -> Any:
        from transformers.models.grounding_dino import image_processing_pil_grounding_dino as processing

        return processing.GroundingDinoImageProcessorPil.from_pretrained(self.folder)

    def find(self, label: str) -> tuple[Tensor, Tensor]:
        words = self._tokens([label.lower().rstrip(". ") + "."], return_tensors="pt")
        found = self.model(**self._picture, **words)
        scores = found.logits[0].float().sigmoid().amax(-1)
        return self._ranked(found.pred_boxes[0].float(), scores, self.image.size)


class Sam3Words(Detector):
    """SAM 3's detector: words name all things that they fit. The first mask is all of those together whose score is
    above `threshold`, which is the library's own, and is empty where none is; the next two are the two best things by
    themselves. iou is their scores, the first one's that of the best thing in it. A box, with words or alone, is an
    example of what is meant; the library reads it with torchvision. The picture is squeezed into a square of 1008."""

    takes: tuple[str, ...] = ("box", "text")
    threshold = 0.3
    _seen: Any = None

    def _see(self) -> None:
        side = self.model.config.vision_config.image_size
        self._picture, self._seen = {"pixel_values": self._pixels((side, side))}, None

    def _asked(self, text: str, box: Tensor | None = None) -> Any:
        """What the library's model answers; the picture is read when the first words come."""
        most = self.model.config.text_config.max_position_embeddings
        given = dict(self._words(text, most, padding="max_length", max_length=most))
        if box is not None:
            try:
                importlib.import_module("torchvision")
            except ImportError:
                raise PromptError(f"{self.name!r} needs torchvision to read a box as an example of what is meant; pip "
                                  "install torchvision, or give words alone") from None
            corners = box / torch.tensor(self.image.size)
            given |= {"input_boxes": torch.cat([corners.mean(0), corners[1] - corners[0]])[None, None],
                      "input_boxes_labels": torch.ones(1, 1, dtype=torch.long)}
        if self._seen is None:
            self._seen = self.model.get_vision_features(**self._picture)
        return self.model(vision_embeds=self._seen, **given)

    def _scored(self, found: Any) -> tuple[Tensor, Tensor]:
        """Scores of all things, and the order in which they are the best."""
        scores = (found.pred_logits[0].sigmoid() * found.presence_logits[0].sigmoid()).float()
        return scores, scores.sort(descending=True, stable=True).indices

    @torch.no_grad()
    def find(self, label: str) -> tuple[Tensor, Tensor]:
        found = self._asked(label)
        scores, order = self._scored(found)
        limit = torch.tensor([*self.image.size, *self.image.size], dtype=torch.float32)
        return (found.pred_boxes[0].float() * limit).clamp(min=0).minimum(limit)[order], scores[order]

    def _answer(self, prompt: Prompt) -> Answer:
        found = self._asked("visual" if prompt.text is None else prompt.text, prompt.box)
        (scores, order), size = self._scored(found), self.image.size[::-1]

        def inside(row: int) -> Tensor:  # the library enlarges probabilities, not logits: the edges differ
            share = found.pred_masks[:, row:row + 1].float().sigmoid()
            return F.interpolate(share, size=size, mode="bilinear", align_corners=False)[0, 0]

        all_, best = torch.zeros(size), order[:SHOWN - 1].tolist()
        kept = order[scores[order] > self.threshold].tolist()
        for row in kept:  # one at a time: two hundred of a large picture would not fit
            all_ = all_.maximum(inside(row))
        logits = torch.stack([all_, *(inside(row) for row in best)]).logit(1e-6)
        iou = torch.stack([scores[order[0]] if kept else torch.tensor(0.0), *scores[best]])
        return Answer(logits > 0, iou, logits, float(found.presence_logits[0].sigmoid()))


class Sam3(Sam3Words):
    """SAM 3 whole: its detector reads words, and words with a box; points, masks, and a box without words go to its
    tracker, which answers as SAM 2 does. The tracker is made when the first of those comes, and both read what one
    backbone sees."""

    takes = ("points", "box", "mask", "text")

    def __init__(self, model: Any, folder: Path, name: str, embedder: Embedder | None):
        model.vision_encoder.backbone = _Once(model.vision_encoder.backbone)
        super().__init__(model, folder, name, embedder)

    @cached_property
    def _tracker(self) -> Sam2:
        model = loaded("Sam3TrackerModel", self.folder, self.name)
        model.vision_encoder.backbone = self.model.vision_encoder.backbone  # the same weights
        return Sam2(model, self.folder, self.name, None)

    def _answer(self, prompt: Prompt) -> Answer:
        if prompt.text is None:
            if self._tracker.image is not self.image:
                self._tracker.image = self.image
                self._tracker.look(self._picture["pixel_values"])
            return self._tracker._answer(prompt)
        if prompt.points is not None or prompt.mask is not None:
            raise PromptError(f"{self.name!r} takes words alone or with a box; leave the words out, or the points and "
                              "the mask")
        return super()._answer(prompt)


class _Once(torch.nn.Module):
    """A backbone that reads each picture once, though two models ask it."""

    def __init__(self, inner: torch.nn.Module):
        super().__init__()
        self.inner = inner
        self.last: tuple[Any, Any] = (None, None)

    def forward(self, pixels: Tensor, **how: Any) -> Any:
        if self.last[0] is not pixels:
            self.last = (pixels, self.inner(pixels, **how))
        return self.last[1]


KINDS: dict[str, tuple[str, type[Published]]] = {
    "sam": ("SamModel", Sam), "sam2": ("Sam2Model", Sam2), "sam3_video": ("Sam3Model", Sam3),
    "sam3": ("Sam3Model", Sam3Words), "sam3_tracker": ("Sam3TrackerModel", Sam2),
    "clipseg": ("CLIPSegForImageSegmentation", ClipSeg),
    "owlv2": ("Owlv2ForObjectDetection", Owl), "grounding-dino": ("GroundingDinoForObjectDetection", GroundingDino)}


def load_segmenter(name: str | Path = EMBEDDED, embedder: Embedder | None = None) -> MaskPredictor | Published:
    """A segmenter by its name, with set_image and predict: see segmenter.predict.MaskPredictor.

    name: "segmenter", the embedded one; a folder that `clipmini segmenter` wrote; a folder or a hub name of
    transformers' SAM, SAM 2, SAM 3, CLIPSeg, OWLv2 or GroundingDINO, such as "facebook/sam-vit-base". embedder: the
    CLIP that reads words: for ours the one it was trained with, for published ones that have no words any. Raises
    CheckpointError.
    """
    path = Path(name)
    if not path.exists() and str(name) == EMBEDDED:
        path = assets_folder() / EMBEDDED
    with nothing_else(str(name)):
        if (path / checkpoint.WEIGHTS).is_file():
            return checkpoint.load(path, path.name, embedder)
        return published(path, str(name), embedder)


def published(path: Path, name: str, embedder: Embedder | None) -> Published:
    """A folder of transformers', or a model of the hub. Raises CheckpointError."""
    folder = path if path.is_dir() else _fetched(name)
    kind = read_json(folder / "config.json").get("model_type")
    kind = "sam2" if kind == "sam2_video" else kind  # the same weights, for films too
    if kind not in KINDS:
        raise CheckpointError(f"{name!r} is a {kind!r}; a segmenter here is clipmini's own or one of "
                              f"{', '.join(sorted(KINDS))}")
    class_name, ours = KINDS[kind]
    return ours(loaded(class_name, folder, name), folder, name, embedder)


def _fetched(name: str) -> Path:
    """A model of the hub, in its cache: its small files and its safetensors, no pickles."""
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.safetensors"]))
    except ModuleNotFoundError:
        raise CheckpointError(f"{name!r} is neither a folder nor an embedded segmenter; the hub needs: pip install "
                              '"clipmini[hub]"') from None
    except Exception as error:  # the hub's and the network's: many kinds
        raise CheckpointError(f"{name!r} is neither a folder nor an embedded segmenter, and the hub was no help "
                              f"({type(error).__name__}: {str(error).splitlines()[0][:200]})") from error
