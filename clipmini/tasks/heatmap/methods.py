"""Where in the picture is this phrase? Seven methods behind one signature, to be scored where the truth is known.

A CLIP was trained to answer for the whole picture. Each method reads something else out of it about the parts: some
what the last layer says cell by cell, some the gradient, some the answers to changed pictures. None of them is a
segmentation.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.image import open_image, preprocess
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.heatmap.presence import presence, verdict
from clipmini.tasks.prompts import EVERYDAY_WORDS, clean_labels
from clipmini.vision import ImageTower

SIDE = 224  # pixels of a map's longer side
LEAST_CELLS = 12  # along a side of the grid: small pictures are shown to the tower larger than it was trained with
MOST_PHRASES = 30


class HeatmapError(ValueError):
    """A map that cannot be drawn; the message says why and what to choose instead."""


@dataclass(frozen=True)
class Heatmap:
    """image: RGB, as the maps cover it; maps (K, h, w) float32, each from 0 to 1 (all 0 where a method sees no
    difference); cells (K, gh, gw): the method's own numbers over the picture padded to a square, before they were
    stretched. scores (K,): is it there at all? See presence.presence; None for methods other than "windows". model: who
    was asked."""

    image: Image.Image
    phrases: tuple[str, ...]
    maps: Tensor
    cells: Tensor
    method: str
    scores: Tensor | None = None
    model: str = ""

    @property
    def present(self) -> tuple[bool | None, ...]:
        """Whether each phrase is there; None where that is not known: see presence.verdict, and a method without scores
        has a brightest place anyhow."""
        scores = [None] * len(self.phrases) if self.scores is None else self.scores.tolist()
        return tuple(None if score is None else verdict(score, self.model) for score in scores)

    @property
    def segmented(self) -> Tensor:
        """Which phrase each pixel shows most: (h, w) int64, K ("none") where none that is there reaches the method's
        threshold."""
        there = torch.tensor([found is not False for found in self.present])
        best = (self.maps * there[:, None, None]).max(0)
        return torch.where(best.values > THRESHOLDS[self.method], best.indices, len(self.maps))


def heatmap(embedder: Embedder, image, phrases, method: str | None = None, templates="plain",
            image_size: int | None = None, progress: bool = False, everyday: Tensor | None = None) -> Heatmap:
    """Map each phrase over a picture.

    image: path, bytes or PIL image; phrases: K strings, or one text with commas; method: a key of METHODS, default see
    default_method; templates: a set's name or a list, as in classify; image_size: side in pixels at which the
    methods that read the grid show the picture to the tower (positions are interpolated), default at least 12 cells;
    everyday: build_classifier(embedder, EVERYDAY_WORDS, templates), for who maps many pictures and embeds those words
    once. Raises HeatmapError, ImageError, PromptError.
    """
    method = method or default_method(embedder)
    if method not in METHODS:
        raise HeatmapError(f"there is no method {method!r}; choose one of {', '.join(METHODS)}")
    phrases = clean_labels(phrases, limit=MOST_PHRASES).labels
    image = whole = open_image(image)
    if max(image.size) > 4 * SIDE:
        image = image.copy()
        image.thumbnail((4 * SIDE, 4 * SIDE))
    texts = build_classifier(embedder, phrases, templates)
    neutral = build_classifier(embedder, EVERYDAY_WORDS, templates) if everyday is None else everyday
    view = View(embedder, squared(image, embedder.config.vision.mean), image_size or default_size(embedder), texts,
                neutral, progress)
    cells = METHODS[method](view).float().cpu()
    scores = None
    if "windows" in view.seen:
        scores = presence(texts, neutral, embedder.embed_images([whole]), view.seen["windows"])
    return Heatmap(image, phrases, stretched(cells, image.size), cells, method, scores, embedder.name)


def squared(image: Image.Image, colour: tuple[float, ...]) -> Image.Image:
    """The picture in the middle of a square of one colour: nothing is cropped away."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), tuple(round(255 * c) for c in colour))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def stretched(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Cells (K, gh, gw) of the square -> maps (K, h, w) of the picture of this (width, height), each from 0 to 1."""
    width, height = (max(1, round(SIDE * n / max(size))) for n in size)
    maps = F.interpolate(cells[:, None], size=(SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0]
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    maps = maps[:, top:top + height, left:left + width]
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return torch.where(high - low > 1e-9, (maps - low) / (high - low).clamp(min=1e-9), torch.zeros(()))


def default_size(embedder: Embedder) -> int:
    """Side in pixels at which the grid has at least LEAST_CELLS cells; the model's own where its cells can't be
    read."""
    tower, own = embedder.model.visual, embedder.config.vision.image_size
    return own if tower is None else max(own, LEAST_CELLS * tower.stride)


@dataclass(frozen=True)
class View:
    """What a method is given. texts (K, E), neutral (M, E): unit vectors of the phrases, and of everyday words. seen:
    what it leaves behind for others, "windows" (N, E): the vectors of its windows."""

    embedder: Embedder
    image: Image.Image
    size: int
    texts: Tensor
    neutral: Tensor
    progress: bool = False
    seen: dict[str, Tensor] = field(default_factory=dict)

    @property
    def tower(self) -> ImageTower:
        """The image tower, whose cells can be read. Raises HeatmapError for a model that only embeds."""
        if self.embedder.model.visual is None:
            raise HeatmapError(f"{self.embedder.name!r} gives vectors of whole pictures only; choose one of the "
                               f"methods {', '.join(FOR_ANY_MODEL)}")
        return self.embedder.model.visual

    def pixels(self, size: int | None = None) -> Tensor:
        """(1, 3, size, size)"""
        v = self.embedder.config.vision
        return preprocess([self.image], size or self.size, v.mean, v.std, v.interpolation).to(self.embedder.device)

    def similar(self, cells: Tensor) -> Tensor:
        """Cosines of cells (P, E) with the phrases -> (K, sqrt P, sqrt P)."""
        return square((F.normalize(cells, dim=-1) @ self.texts.to(cells.device).t()).t())


def square(rows: Tensor) -> Tensor:
    """(K, P) -> (K, sqrt P, sqrt P)"""
    side = math.isqrt(rows.shape[1])
    return rows.reshape(len(rows), side, side)


@torch.no_grad()
def patches(view: View) -> Tensor:
    """The cosine of each cell's own output: the first thing that everybody tries. Nothing trained those outputs to be
    near words: in a ViT only the class token's was."""
    return view.similar(view.tower.forward_features(view.pixels())["patches"][0])


@torch.no_grad()
def value(view: View) -> Tensor:
    """The value path of the last attention, without the attention (MaskCLIP: Zhou et al. 2022, section 3.2): what each
    cell would hand to the class token. A light tower's cells are that already: its answer is their mean."""
    return view.similar(view.tower.value_cells(view.pixels())[0])


@torch.no_grad()
def surgery(view: View) -> Tensor:
    """Values that look at values, and what all texts share taken out of them (CLIP Surgery: Li et al. 2023, section
    3.3)."""
    cells = view.tower.surgery_cells(view.pixels())[0]
    shared = torch.cat([view.texts, view.neutral]).mean(0).to(cells.device)
    return square((F.normalize(cells, dim=-1) @ (view.texts.to(cells.device) - shared).t()).t())


def relevance(view: View) -> Tensor:
    """Attention weighted by its gradient, from layer to layer (Chefer et al. 2021, equations 5 and 6)."""
    named = _with_gradient(view)
    attentions = named["attentions"]
    if not attentions:
        raise HeatmapError("the light tower has no attention to weigh; choose gradcam, windows or another method")
    maps = []
    for score in _scores(named["features"], view.texts):
        gradients = torch.autograd.grad(score, attentions, retain_graph=True)
        R = torch.eye(attentions[0].shape[-1], device=score.device)
        for attention, gradient in zip(attentions, gradients, strict=True):
            R = R + (attention * gradient).clamp(min=0).mean(1)[0].detach() @ R  # (T, T)
        maps.append(R[0, 1:])
    return square(torch.stack(maps))


def gradcam(view: View) -> Tensor:
    """The last feature map, its channels weighed by the gradient's mean, negative parts dropped (Grad-CAM: Selvaraju et
    al. 2017, section 3; in a ViT the map is what the last attention reads)."""
    named = _with_gradient(view)
    P, maps = named["patches"].shape[1], []
    for score in _scores(named["features"], view.texts):
        gradient, = torch.autograd.grad(score, named["read"], retain_graph=True)  # (1, T, C)
        weights = gradient[:, -P:].mean(1, keepdim=True)
        maps.append((named["read"][:, -P:] * weights).sum(-1)[0].clamp(min=0).detach())
    return square(torch.stack(maps))


@torch.enable_grad()
def _with_gradient(view: View) -> dict:
    """The tower's features, with a graph from the pixels on: the weights themselves are frozen."""
    return view.tower.forward_features(view.pixels().requires_grad_())


def _scores(features: Tensor, texts: Tensor) -> Iterator[Tensor]:
    yield from (F.normalize(features.float(), dim=-1) @ texts.to(features.device).t())[0]


OCCLUDER, OCCLUSION_STEP = 4, 12  # the grey square is a fourth of the side; it stands at 12 places along each side


@torch.no_grad()
def occlusion(view: View) -> Tensor:
    """How much the cosine falls when a grey square hides a place (Zeiler & Fergus 2014, section 4.2): at each cell the
    mean over the squares that hide it."""
    size = view.embedder.config.vision.image_size
    pixels = view.pixels(size)
    cells = OCCLUSION_STEP
    edges = [round(i * size / cells) for i in range(cells + 1)]
    width = cells // OCCLUDER
    # Partly outside too: cells at the border are hidden as often as others.
    places = [(y, x) for y in range(1 - width, cells) for x in range(1 - width, cells)]
    hidden = pixels.repeat(len(places), 1, 1, 1)
    for picture, (y, x) in zip(hidden, places, strict=True):
        top, bottom = edges[max(y, 0)], edges[min(y + width, cells)]
        left, right = edges[max(x, 0)], edges[min(x + width, cells)]
        picture[:, top:bottom, left:right] = 0  # the mean colour
    texts = view.texts.t()
    falls = encoded(view, pixels) @ texts - encoded(view, hidden) @ texts  # (places, K)
    out = torch.zeros(len(view.texts), cells, cells)
    for (y, x), fall in zip(places, falls, strict=True):
        out[:, max(y, 0):y + width, max(x, 0):x + width] += fall[:, None, None] / width**2
    return out


def encoded(view: View, pixels: Tensor, batch_size: int = 64) -> Tensor:
    """Many pictures (N, 3, S, S) -> unit vectors (N, E) on the CPU, with a progress bar where the view wants one."""
    from tqdm import tqdm

    starts = range(0, len(pixels), batch_size)
    bar = tqdm(starts, desc="looking at parts", disable=not view.progress or len(starts) < 2, leave=False)
    return torch.cat([view.embedder.model.encode_image(pixels[i:i + batch_size]).float().cpu() for i in bar])


WINDOWS = (0.22, 0.28, 0.35, 0.44)  # sides of the windows, as shares of the picture's
WINDOW_STEP = 1 / 4  # of a window's side, from one to the next
VIEW_SIDES = 4  # the picture is cut up at up to this many times the tower's own size: a window should not be blurred
WINDOW_CELLS = 56  # of the map, along a side


@torch.no_grad()
def windows(view: View) -> Tensor:
    """Cut the picture into some hundred overlapping windows of four sizes and ask the model about each as if it were a
    whole picture. Windows vote for the disc in their middle, with a softmax over all windows of how much better the
    phrase fits than everyday words do. Slow, but the only question that the model was trained to answer."""
    crops, boxes = window_crops(view)
    vectors, scale = encoded(view, crops), view.embedder.logit_scale
    view.seen["windows"] = vectors
    others = torch.cat([view.neutral, view.texts]) @ vectors.t()  # (M + K, N)
    votes = (scale * (view.texts @ vectors.t()) - (scale * others).logsumexp(0)).softmax(dim=1)  # (K, N)
    return votes_on_grid(votes, boxes, WINDOW_CELLS)


def votes_on_grid(votes: Tensor, boxes: Tensor, cells: int) -> Tensor:
    """Spread the votes (K, N) of windows, boxes (N, 3) as centre x, y and side in shares of the picture, over their
    discs -> (K, cells, cells)."""
    middle = (torch.arange(cells) + 0.5) / cells
    x, y, side = boxes.t()[:, :, None]
    reach = ((middle - x) / (side / 2)).square()[:, None, :] + ((middle - y) / (side / 2)).square()[:, :, None]
    return torch.einsum("kn,nyx->kyx", votes, torch.exp(-reach))


def window_crops(view: View) -> tuple[Tensor, Tensor]:
    """(N, 3, S, S) pixels and (N, 3) places: centre x, centre y and side, in shares of the picture."""
    own = view.embedder.config.vision.image_size
    whole = max(own, min(VIEW_SIDES * own, 672))
    pixels, crops, places = view.pixels(whole), [], []
    for share in WINDOWS:
        side = round(whole * share)
        step, border = max(1, round(side * WINDOW_STEP)), side // 3  # over the border: a thing at the edge has a window
        padded = F.pad(pixels, (border,) * 4, mode="replicate")
        cut = padded.unfold(2, side, step).unfold(3, side, step)[0].permute(1, 2, 0, 3, 4)  # (gy, gx, 3, side, side)
        at = (torch.arange(max(cut.shape[:2])) * step - border + side / 2) / whole
        y, x = torch.meshgrid(at[:cut.shape[0]], at[:cut.shape[1]], indexing="ij")
        places.append(torch.stack([x.flatten(), y.flatten(), torch.full((x.numel(),), side / whole)], dim=1))
        crops.append(F.interpolate(cut.flatten(0, 1), size=own, mode="bilinear", antialias=True, align_corners=False))
    return torch.cat(crops), torch.cat(places)


METHODS: dict[str, Callable[[View], Tensor]] = {
    "windows": windows, "surgery": surgery, "value": value, "relevance": relevance, "gradcam": gradcam,
    "occlusion": occlusion, "patches": patches}
# From where on a pixel counts as the phrase's: best IoU of 0.2, 0.3 ... 0.7 on 50 scenes of four styles that the model
# knew.
THRESHOLDS = {"windows": 0.4, "surgery": 0.6, "value": 0.6, "relevance": 0.3, "gradcam": 0.3, "occlusion": 0.6,
              "patches": 0.6}
FOR_ANY_MODEL = ("windows", "occlusion")  # they ask for vectors of pictures only


def default_method(embedder: Embedder) -> str:
    """"windows", which wins the table of assets/results.md; for a tower that sees large pictures, and needs half a
    minute for some hundred of them, "surgery"."""
    small = embedder.config.vision.image_size <= 64
    return "windows" if small or embedder.model.visual is None else "surgery"


def word_relevance(embedder: Embedder, image, phrase: str) -> list[tuple[str, float]]:
    """How much each word of a phrase counts: how far the cosine falls without it. Words in order, falls in units of
    cosine.

    Raises HeatmapError for a phrase of one word, ImageError.
    """
    words = phrase.split()
    if len(words) < 2:
        raise HeatmapError(f"{phrase!r} has {len(words)} word(s); with one word left out nothing would remain. Give "
                           "two or more")
    without = [" ".join(words[:i] + words[i + 1:]) for i in range(len(words))]
    cosines = embedder.embed_texts([phrase, *without]) @ embedder.embed_images([image])[0]
    return list(zip(words, (cosines[0] - cosines[1:]).tolist(), strict=True))
