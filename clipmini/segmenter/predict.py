"""A segmenter in use: a picture once, then as many prompts as you like, in the picture's own pixels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.picture_file import open_image
from clipmini.segmenter.cutouts import box_of
from clipmini.segmenter.encoders import CORNER, NEGATIVE, OPPOSITE, POSITIVE, Prompts, Seen
from clipmini.segmenter.frame import Frame
from clipmini.segmenter.model import Segmenter
from clipmini.segmenter.prompt import Prompt, PromptError, checked

SHOWN = 3  # masks of an answer
SMALL_BOX = 0.4  # of the picture's longer side: smaller boxes are looked at in a window of their own
BATCH = 64  # prompts at a time
SECOND = 0.5  # weight of a closer look's expected IoU; the first one's knows what else may be meant
KEPT = 64  # windows of a picture that stay encoded


class Answer(NamedTuple):
    """masks (3, H, W) bool, the likeliest first; iou (3,): what their intersection over union is expected to be; logits
    (3, H, W) float32: masks are where they are above 0, and one may be given back as `mask`; there: how probable it is
    that what was asked for is in the picture."""

    masks: Tensor
    iou: Tensor
    logits: Tensor
    there: float


class Rough(NamedTuple):
    """An answer before it is brought to the picture's size: logits (3, s, s), each of the square of its own frame, iou
    (3,), there."""

    logits: Tensor
    iou: Tensor
    there: float
    frames: tuple[Frame, ...]

    def full(self) -> Answer:
        """At the picture's size."""
        logits = torch.stack([frame.masks_out(one) for frame, one in zip(self.frames, self.logits, strict=True)])
        return Answer(logits > 0, self.iou, logits, self.there)


class MaskPredictor:
    """Our segmenter with the CLIP that reads its words, and whose texts it was trained with."""

    def __init__(self, model: Segmenter, embedder: Embedder, name: str = "segmenter"):
        self.model, self.embedder, self.name = model.eval().requires_grad_(False), embedder, name
        self.image: Any = None

    def set_image(self, image: Any) -> None:
        """image: a path, bytes or a PIL image. Raises ImageError for what can't be read."""
        self.image = open_image(image)
        self._whole = Frame.whole(self.image, self.model.config.side)
        self._seen: dict[Frame, Seen] = {}  # windows of the picture that were looked at
        self._look([self._whole])

    @torch.no_grad()
    def _look(self, frames: Sequence[Frame]) -> Seen:
        """What the decoder reads, a row for each frame; windows are encoded once."""
        vision = self.model.config.tower
        new = [frame for frame in dict.fromkeys(frames) if frame not in self._seen]
        if new:
            seen = self.model.see(torch.stack([frame.pixels(self.image, vision.mean, vision.std) for frame in new]))
            self._seen |= {frame: Seen(*(t[row:row + 1] for t in seen)) for row, frame in enumerate(new)}
        found = Seen(*(torch.cat(rows) for rows in zip(*(self._seen[frame] for frame in frames), strict=True)))
        self._seen = dict([*self._seen.items()][:1] + [*self._seen.items()][1:][-KEPT:])
        return found

    def predict(self, points: Any = None, labels: Any = None, box: Any = None, text: str | None = None,
                mask: Any = None, closer: bool = True) -> Answer:
        """One prompt; see Prompt and Answer. labels: default all 1; closer: look again at masks that are small, each in
        a window of its own, which takes three times as long. Raises PromptError."""
        return self.predict_many([Prompt(points, labels, box, text, mask)], closer)[0]

    def predict_many(self, prompts: Sequence[Prompt], closer: bool = True) -> list[Answer]:
        """Prompts of unequal kinds and counts -> an answer each, the same as one by one."""
        return [rough.full() for rough in self.rough(prompts, closer)]

    @torch.no_grad()
    def rough(self, prompts: Sequence[Prompt], closer: bool = False) -> list[Rough]:
        """The same in the model's own resolution, for hundreds of prompts."""
        if self.image is None:
            raise PromptError("there is no picture yet; call set_image first")
        read = [checked(prompt, self.image.size) for prompt in prompts]
        found = [answer for start in range(0, len(read), BATCH) for answer in self._asked(read[start:start + BATCH])]
        if closer:
            again = [(row, column, frame) for row, rough in enumerate(found) for column in range(SHOWN)
                     if (frame := self._closer(read[row], rough, column))]
            for start in range(0, len(again), BATCH):
                self._look_again(again[start:start + BATCH], read, found)
        return found

    def _closer(self, prompt: Prompt, rough: Rough, column: int) -> Frame | None:
        """A window around a mask, where the whole picture was looked at and the mask is small."""
        inside = rough.logits[column] > 0
        if rough.frames[column] != self._whole or not inside.any():
            return None
        frame = self._around(self._whole.box_out(box_of(inside.numpy()), len(inside)))
        if frame == self._whole:
            return None
        clicked = prompt.points is None or bool((frame.holds(prompt.points) & (prompt.labels > 0)).any())
        return frame if clicked else None

    def _look_again(self, again: Sequence[tuple[int, int, Frame]], read: Sequence[Prompt], found: list[Rough]) -> None:
        """The same prompts in windows, each with the mask that was found; replaces masks of `found`."""
        side, prompts, masks = self.model.mask_side, [], []
        for row, column, frame in again:
            prompt = read[row]
            if prompt.points is not None:
                near = frame.holds(prompt.points)
                prompt = prompt._replace(points=prompt.points[near], labels=prompt.labels[near])
            prompts.append(prompt)
            masks.append((self._whole.carried(found[row].logits[column], frame, side) / 2).tanh())
        frames = [frame for *_, frame in again]
        points, types, texts, *_ = self._batch(frames, prompts)
        batch = Prompts(points, types, texts, torch.stack(masks)[:, None], torch.ones(len(again), dtype=torch.bool))
        decoded = self.model.ask(self._look(frames), batch)
        for place, (row, column, frame) in enumerate(again):
            logits, iou, frames_of = found[row].logits.clone(), found[row].iou.clone(), list(found[row].frames)
            logits[column], frames_of[column] = decoded.logits[place, 0].float(), frame
            iou[column] += SECOND * (decoded.quality[place, 0].float() - iou[column])
            found[row] = found[row]._replace(logits=logits, iou=iou, frames=tuple(frames_of))

    def _frame(self, prompt: Prompt) -> Frame:
        """Where to look: all of the picture, or around a small box."""
        return self._whole if prompt.box is None else self._around(tuple(prompt.box.flatten().tolist()))

    def _around(self, box: tuple[float, float, float, float]) -> Frame:
        """A window around a small box, all of the picture for a large one."""
        longer = max(box[2] - box[0], box[3] - box[1])
        return self._whole if longer >= SMALL_BOX * max(self.image.size) else self._whole.around(box)

    def _asked(self, prompts: Sequence[Prompt]) -> list[Rough]:
        frames, found = [self._frame(prompt) for prompt in prompts], []
        batch = self._batch(frames, prompts)
        decoded = self.model.ask(self._look(frames), batch)
        for row, prompt in enumerate(prompts):
            logits, quality = decoded.logits[row].float(), decoded.quality[row].float().clone()
            if prompt.doubtful:
                quality[0] = -1  # the first mask is for prompts that leave no doubt
            order = _order(logits, quality, batch.points[row], batch.types[row])
            found.append(Rough(logits[order], quality[order], float(decoded.there[row].sigmoid()),
                               (frames[row],) * SHOWN))
        return found

    def _batch(self, frames: Sequence[Frame], prompts: Sequence[Prompt]) -> Prompts:
        """Ragged prompts as one batch; what is missing is marked and never looked at."""
        rows = []
        for frame, prompt in zip(frames, prompts, strict=True):
            points, types = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
            if prompt.points is not None:
                points, types = prompt.points, torch.where(prompt.labels > 0, POSITIVE, NEGATIVE)
            if prompt.box is not None:
                points, types = torch.cat([points, prompt.box]), torch.cat([types, torch.tensor([CORNER, OPPOSITE])])
            rows.append((frame.points_in(points), types))
        T, side = max(1, *(len(types) for _, types in rows)), self.model.mask_side
        points, types = torch.zeros(len(rows), T, 2), torch.full((len(rows), T), -1)
        for row, (where, kinds) in enumerate(rows):
            points[row, :len(where)], types[row, :len(kinds)] = where, kinds
        texts = torch.zeros(len(rows), self.model.config.embed_dim)
        worded = [row for row, prompt in enumerate(prompts) if prompt.text is not None]
        if worded:
            texts[worded] = self.embedder.embed_texts([prompts[row].text for row in worded])
        masks = torch.zeros(len(rows), 1, side, side)
        for row, prompt in enumerate(prompts):
            if prompt.mask is not None:
                masks[row, 0] = frames[row].mask_in(prompt.mask, side)
        return Prompts(points, types, texts, masks, torch.tensor([prompt.mask is not None for prompt in prompts]))


def _order(logits: Tensor, quality: Tensor, points: Tensor, types: Tensor) -> list[int]:
    """The best three of masks (MASKS, s, s): those that agree with the clicks first, then the likelier ones."""
    clicks = (types == POSITIVE) | (types == NEGATIVE)
    value = quality
    if clicks.any():
        x, y = (points[clicks] * logits.shape[-1]).floor().long().clamp(0, logits.shape[-1] - 1).unbind(1)
        value = quality + ((logits[:, y, x] > 0) == (types[clicks] == POSITIVE)).float().mean(1)
    return value.sort(descending=True, stable=True).indices[:SHOWN].tolist()
