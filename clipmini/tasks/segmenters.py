"""Segmenters by their names: ours, and published ones behind the same interface, through transformers' classes.

SAM and SAM 2 take points and boxes; CLIPSeg, OWLv2 and GroundingDINO take words. A model that has no words gets them
from a CLIP: where its map of the words is brightest are clicks. Each class says how its pixels and coordinates go,
which is where ports of these models go wrong; the tests compare each with the library's own processor.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipmini.embedder import Embedder, assets_folder
from clipmini.files import CheckpointError, nothing_else, read_json
from clipmini.picture_file import open_image
from clipmini.segmenter import checkpoint
from clipmini.segmenter.frame import Frame
from clipmini.segmenter.predict import SHOWN, Answer, MaskPredictor, Rough
from clipmini.segmenter.prompt import Prompt, PromptError, checked
from clipmini.tasks.heatmap import heatmap

SURE = 0.9  # share of its highest value from which a map's place becomes a click
CLICKS, APART = 3, 0.1  # clicks at most; shares of the picture's side between them
EMBEDDED = "segmenter"  # the name of our own
LOW = 256  # side of a rough answer


class Published:
    """What they have in common: set_image, predict, predict_many, and the picture."""

    takes: tuple[str, ...] = ()  # of points, box, mask, text
    image: Any = None

    def __init__(self, model: Any, folder: Path, name: str, embedder: Embedder | None):
        self.model, self.folder, self.name, self.embedder = model.eval().requires_grad_(False), folder, name, embedder

    @cached_property
    def _preprocessing(self) -> dict[str, Any]:
        return read_json(self.folder / "preprocessor_config.json")

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
    """SAM 2: the picture is squeezed into a square of 1024, each side by its own factor."""

    def _see(self) -> None:
        side = self.model.config.vision_config.backbone_feature_sizes[0][0] * 4
        self._size = (side, side)
        self._embedded = self.model.get_image_embeddings(self._pixels(self._size))

    def _mask_in(self, mask: Tensor) -> Tensor:
        low = self._size[0] // 4
        small = F.interpolate(mask[None, None], size=(low, low), mode="bilinear", antialias=True)
        return 2 * torch.atanh(small.clamp(-0.9999, 0.9999))

    def _answer(self, prompt: Prompt) -> Answer:
        found = self.model(image_embeddings=list(self._embedded), **self._given(prompt))
        logits = F.interpolate(found.pred_masks[0].float(), size=self.image.size[::-1], mode="bilinear",
                               align_corners=False)[0]
        score = getattr(found, "object_score_logits", None)
        there = 1.0 if score is None else float(score.flatten()[0].sigmoid())
        return self._result(logits, found.iou_scores[0, 0].float(), there)


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
        words = self._tokens([prompt.text], padding=True, return_tensors="pt")
        if words["input_ids"].shape[1] > self.model.config.text_config.max_position_embeddings:
            raise PromptError(f"the words have {words['input_ids'].shape[1]} tokens; the context is "
                              f"{self.model.config.text_config.max_position_embeddings}. Shorten them")
        logits = self.model(pixel_values=self._picture, **words).logits.float()
        logits = logits.reshape(1, 1, *logits.shape[-2:])
        large = F.interpolate(logits, size=self.image.size[::-1], mode="bilinear", align_corners=False)[0, 0]
        masks = torch.stack([large, large - 1, large + 1])
        return Answer(masks > 0, torch.full((SHOWN,), float("nan")), masks, float(large.max().sigmoid()))


class Detector(Published):
    """Models that give boxes for words; a mask is its box filled, and its score stands for how good it is. threshold:
    least score that its authors' examples show."""

    takes = ("text",)
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


KINDS: dict[str, tuple[str, type[Published]]] = {
    "sam": ("SamModel", Sam), "sam2": ("Sam2Model", Sam2), "clipseg": ("CLIPSegForImageSegmentation", ClipSeg),
    "owlv2": ("Owlv2ForObjectDetection", Owl), "grounding-dino": ("GroundingDinoForObjectDetection", GroundingDino)}


def load_segmenter(name: str | Path = EMBEDDED, embedder: Embedder | None = None) -> MaskPredictor | Published:
    """A segmenter by its name, with set_image and predict: see segmenter.predict.MaskPredictor.

    name: "segmenter", the embedded one; a folder that `clipmini segmenter` wrote; a folder or a hub name of
    transformers' SAM, SAM 2, CLIPSeg, OWLv2 or GroundingDINO, such as "facebook/sam-vit-base". embedder: the CLIP that
    reads words: for ours the one it was trained with, for published ones that have no words any. Raises
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
    import transformers

    class_name, ours = KINDS[kind]
    try:
        model = getattr(transformers, class_name).from_pretrained(folder, use_safetensors=True, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{name!r} can't be loaded as {class_name}: {str(error).splitlines()[0]}") from error
    return ours(model, folder, name, embedder)


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
