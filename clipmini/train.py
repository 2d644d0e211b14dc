"""Training: the batch, the step, the loop that survives a power cut, and the doctor who reads the curve.

Every random choice of step k comes from (seed, k), so a resumed run draws what the interrupted one would have drawn and
ends with the same bits. Not here: several machines; two CPU cores have no use for them.
"""

import copy
import csv
import ctypes
import json
import math
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipmini import checkpoint
from clipmini.files import remove_leftovers, written_whole
from clipmini.image import augment, open_image, premultiplied
from clipmini.loss import ambiguity, clip_loss, duplicate_floor, matching_loss, multi_positive_loss, random_loss, sigmoid_loss
from clipmini.model import CLIP, no_decay
from clipmini.tokenizer import Tokenizer

LOSSES = ("multi", "clip", "sigmoid")
PRECISIONS = ("auto", "float32", "bfloat16")
TIMED_STEPS = 30  # a budget in minutes becomes steps once these are done


class TrainingError(RuntimeError):
    """Training that cannot start or go on; the message says why and what to change."""


@dataclass(frozen=True)
class TrainConfig:
    """The recipe.

    steps or minutes: the budget; minutes are turned into steps after the first TIMED_STEPS steps.
    batch: pairs a step. warmup: steps of rising learning rate; a cosine down to 0 follows.
    ema: decay of the averaged weights, which are what is evaluated and saved. clip: bound of the gradient's norm.
    loss: "multi" (same label = same answer), "clip" or "sigmoid".
    chunk: pairs at a time through the towers; smaller than batch turns on the gradient cache.
    plain, wrapped: how often a caption is the row's first one; how often it is put into a template.
    precision: of the towers' products while training: "float32", "bfloat16", or "auto": bfloat16 where the processor is quick
    in it. Weights, losses, averages and everything after training are float32.
    geometry, colour, background: augmentation strengths, 0 to 1. hard_negatives: use the rows' swapped captions.
    other_texts: captions of further concepts a step, wrong answers to every picture of the batch (text is cheap with CBOW).
    categories: weight of what else is true of a row ("fruit", "food"): each kind a loss of its own, beside 1 for the names.
    evaluate_every: steps between scores and saves.
    """

    steps: int | None = None
    minutes: float | None = None
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    beta2: float = 0.98
    warmup: int = 100
    ema: float = 0.998
    clip: float = 1.0
    loss: str = "multi"
    chunk: int | None = None
    precision: str = "auto"
    plain: float = 0.6
    wrapped: float = 0.3
    geometry: float = 1.0
    colour: float = 1.0
    background: float = 1.0
    hard_negatives: bool = False
    other_texts: int = 0
    categories: float = 0.0
    evaluate_every: int = 200
    seed: int = 0

    def __post_init__(self):
        if (self.steps is None) == (self.minutes is None):
            raise TrainingError(f"give a budget in steps or in minutes, not both (steps={self.steps}, minutes={self.minutes})")
        if self.loss not in LOSSES:
            raise TrainingError(f"loss is {self.loss!r}; choose one of {', '.join(LOSSES)}")
        if self.precision not in PRECISIONS:
            raise TrainingError(f"precision is {self.precision!r}; choose one of {', '.join(PRECISIONS)}")
        budget = self.minutes if self.steps is None else self.steps
        if not (0 < budget < math.inf and self.batch >= 2 and self.evaluate_every >= 1 and self.seed >= 0):
            raise TrainingError("steps, minutes and evaluate_every must be positive, batch at least 2 and seed at least 0 "
                                f"(got steps={self.steps}, minutes={self.minutes}, evaluate_every={self.evaluate_every}, "
                                f"batch={self.batch}, seed={self.seed})")
        if self.chunk is not None and self.chunk < 1 or not 0 < self.learning_rate < math.inf:
            raise TrainingError(f"chunk and learning_rate must be positive (got {self.chunk} and {self.learning_rate})")
        if self.other_texts < 0 or not 0 <= self.categories < math.inf:
            raise TrainingError(f"other_texts and categories cannot be negative (got {self.other_texts} and {self.categories})")
        if self.loss == "sigmoid" and (self.hard_negatives or self.other_texts or self.categories):
            raise TrainingError("the sigmoid loss has no place for hard negatives, other texts and categories; "
                                "choose the loss 'clip' or 'multi'")


# ---------------------------------------------------------------- data


@dataclass
class Pairs:
    """A pairs data set in memory: decoded once, augmented for ever.

    rgba: uint8 (rows, S, S, 4) premultiplied; captions: for each row its phrasings, the plain one first;
    groups (rows,) int64: equal numbers mean the same concept; negatives: for each row false captions, or empty lists.
    kinds: what else is true of a row, and of others too: for each kind (tags, subgroup, group) a list of captions a row.
    """

    rgba: Tensor
    captions: list[list[str]]
    groups: Tensor
    negatives: list[list[str]] = field(default_factory=list)
    kinds: list[list[list[str]]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rgba)


def group_numbers(dataset, captions: list[list[str]]) -> Tensor:
    """The concept of each row: its label, or where there is none the number of its first caption."""
    if "label" in dataset.column_names:
        return torch.tensor(dataset["label"][:])
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(phrasings[0], len(numbers)) for phrasings in captions])


def read_pairs(dataset, image_size: int, progress: bool = False) -> Pairs:
    """Decode a pairs dataset (columns image, captions, optional label, *_captions and *_negatives) for training.

    Pictures are kept a quarter larger than image_size, so that zooming in does not blur.
    Raises TrainingError naming the row when a picture is broken or a row has no caption.
    """
    from tqdm import tqdm

    side = image_size * 5 // 4
    rgba = np.empty((len(dataset), side, side, 4), dtype=np.uint8)
    captions = [[c for c in row or () if c and c.strip()] for row in dataset["captions"][:]]
    empty = next((i for i, row in enumerate(captions) if not row), None)
    if empty is not None:
        raise TrainingError(f"row {empty} of the data has no caption; give it one or remove the row")
    rows = iter(dataset.select_columns("image"))
    for i in tqdm(range(len(dataset)), desc="decoding", disable=not progress, leave=False):
        try:  # around next, too: datasets decodes there, and raises whatever PIL does
            rgba[i] = premultiplied(open_image(next(rows)["image"], keep_alpha=True), side)
        except Exception as error:
            raise TrainingError(f"row {i} of the data has a picture that cannot be read ({error}); "
                                "replace it or remove the row") from error
    columns = [name for name in dataset.column_names if name.endswith("_negatives")]
    negatives = [sum(parts, []) for parts in zip(*(dataset[name][:] for name in columns), strict=True)]
    kinds = [dataset[name][:] for name in dataset.column_names if name.endswith("_captions")]
    return Pairs(torch.from_numpy(rgba), captions, group_numbers(dataset, captions), negatives, [k for k in kinds if any(k)])


@dataclass
class Batch:
    """pixels (B, 3, S, S), ids (B, T), groups (B,), negative_ids (M, T) or None; kinds: for each its ids (B, T) and which
    caption is true of which picture, (B, B) bool."""

    pixels: Tensor
    ids: Tensor
    groups: Tensor
    negative_ids: Tensor | None = None
    kinds: list[tuple[Tensor, Tensor]] = field(default_factory=list)


def seed_of(*numbers: int) -> int:
    """One seed from several whole numbers; neighbouring numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def rows_of_step(rows: int, batch: int, step: int, seed: int) -> Tensor:
    """The rows of step number `step`: each epoch is a new permutation, cut into whole batches -> (batch,) int64."""
    per_epoch = rows // batch
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed_of(seed, epoch, 1)))
    return order[place * batch:(place + 1) * batch]


def choose_caption(phrasings: list[str], rng: np.random.Generator, plain: float) -> str:
    """The first phrasing with probability `plain`, else another one."""
    first, which = rng.random(2)
    if len(phrasings) > 1 and first >= plain:
        return phrasings[1 + int(which * (len(phrasings) - 1))]
    return phrasings[0]


def wrap(caption: str, templates: tuple[str, ...], wrapped: float, rng: np.random.Generator) -> str:
    """The caption, with probability `wrapped` put into a template."""
    often, which = rng.random(2)
    return templates[int(which * len(templates))].replace("{}", caption) if often < wrapped else caption


def strengths(config: TrainConfig, step: int, total: int) -> tuple[float, float]:
    """Geometry and colour strength of a step. Colours are left alone for the first and the last 10%: the start is
    hard enough without, and the end should look like what will be asked."""
    disturbed = max(TIMED_STEPS - 1, 0.1 * total) < step < 0.9 * total  # the total is known by then
    return config.geometry, config.colour if disturbed else 0.0


def draw(pairs: Pairs, tokenizer: Tokenizer, model: CLIP, config: TrainConfig, step: int, total: int,
         templates: tuple[str, ...] = ("{}",)) -> Batch:
    """The batch of one step: rows, augmented pixels and one caption for each row."""
    rows = rows_of_step(len(pairs), config.batch, step, config.seed)
    names = [pairs.captions[r] for r in rows.tolist()]
    rng = np.random.default_rng((config.seed, step))
    generator = torch.Generator().manual_seed(seed_of(config.seed, step))
    vision = model.config.vision
    geometry, colour = strengths(config, step, total)
    pixels = augment(pairs.rgba[rows], vision.image_size, vision.mean, vision.std, generator, geometry, colour, config.background)

    def write(phrasings: list[str], plain: float = config.plain) -> str:
        return choose_caption(phrasings, rng, plain)

    def encode(captions: list[str]) -> Tensor:
        return tokenizer([wrap(caption, templates, config.wrapped, rng) for caption in captions], truncate=True)

    texts = encode([write(phrasings) for phrasings in names])
    kinds = []
    for kind in pairs.kinds if config.categories else ():
        facts = [kind[r] or name for r, name in zip(rows.tolist(), names, strict=True)]
        said = [write(row, plain=1 / len(row)) for row in facts]
        kinds.append((encode(said), what_is_true(said, [{*row, *name} for row, name in zip(facts, names, strict=True)])))
    wrong = [c for r in rows.tolist() for c in pairs.negatives[r]] if config.hard_negatives and pairs.negatives else []
    others = [write(pairs.captions[r]) for r in other_rows(pairs.groups, rows, config, rng)]
    negative_ids = tokenizer(wrong, truncate=True) if wrong else encode(others) if others else None
    return Batch(pixels, texts, pairs.groups[rows], negative_ids, kinds)


def what_is_true(said: list[str], facts: list[set[str]]) -> Tensor:
    """Which caption is true of which picture: (pictures, captions) bool.

    >>> what_is_true(["fruit", "food"], [{"fruit", "food"}, {"food", "bread"}]).tolist()
    [[True, True], [False, True]]
    """
    known = np.array([[caption in about for caption in said] for about in facts])  # as a list torch is ten times slower
    return torch.from_numpy(known)


def other_rows(groups: Tensor, rows: Tensor, config: TrainConfig, rng: np.random.Generator) -> list[int]:
    """Random rows whose concept is not in the batch, at most other_texts of them."""
    if not config.other_texts:
        return []
    drawn = torch.from_numpy(rng.integers(0, len(groups), config.other_texts))
    return drawn[~torch.isin(groups[drawn], groups[rows])].tolist()


# ---------------------------------------------------------------- one step


def encodings(model: CLIP, batch: Batch) -> list[tuple]:
    """What a step sends through the towers, in the order that `objective` takes it: (encoder, input) pairs."""
    texts = [batch.ids, *(ids for ids, _ in batch.kinds), *([] if batch.negative_ids is None else [batch.negative_ids])]
    return [(model.encode_image, batch.pixels), *((model.encode_text, ids) for ids in texts)]


def objective(model: CLIP, config: TrainConfig, batch: Batch, vectors: list[Tensor]) -> Tensor:
    """The configured loss of the unit vectors of `encodings`, in nats."""
    image, text, *rest = vectors
    if config.loss == "sigmoid":
        return sigmoid_loss(image, text, model.scale, model.logit_bias, batch.groups)
    negatives = None if batch.negative_ids is None else rest.pop()
    if config.loss == "clip":
        loss = clip_loss(image, text, model.scale, negatives)
    else:
        loss = multi_positive_loss(image, text, model.scale, batch.groups, negatives)
    for texts, (_, true) in zip(rest, batch.kinds, strict=True):
        loss = loss + config.categories * matching_loss(image, texts, model.scale, true)
    return loss


def quick_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 (AVX512-BF16, AMX): products then run two to four times as
    fast as in float32. Without them they run hundreds of times slower."""
    found = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask() for ask in found if ask)


def chosen_precision(config: TrainConfig) -> str:
    """The precision that "auto" means on this computer, or the one that was asked for."""
    if config.precision != "auto":
        return config.precision
    return "bfloat16" if quick_bfloat16() else "float32"


def mixed_precision(config: TrainConfig):
    """The context in which the towers run."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=chosen_precision(config) == "bfloat16")


def plain_backward(model: CLIP, batch: Batch, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """Forward and backward in one go. Returns the loss and the image vectors (B, E)."""
    with mixed_precision(config):
        vectors = [encode(x) for encode, x in encodings(model, batch)]
    loss = objective(model, config, batch, vectors)
    loss.backward()
    return loss.detach(), vectors[0].detach()


def cached_backward(model: CLIP, batch: Batch, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """The same gradient with the memory of one chunk (GradCache, Gao et al. 2021).

    Gradient accumulation would not do: it forgets the negatives between chunks. Here all vectors are computed first
    without a graph, the loss gives the gradient of each vector, and each chunk is run again to carry it on.
    Exact unless a tower has BatchNorm, whose statistics would be a chunk's: that is a TrainingError.
    """
    if any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        raise TrainingError("the gradient cache is not exact with BatchNorm (towers 'light' and 'resnet'); "
                            "use vision.tower='vit', or leave chunk unset")
    passes = encodings(model, batch)
    with torch.no_grad(), mixed_precision(config):
        vectors = [torch.cat([encode(part) for part in inputs.split(config.chunk)]) for encode, inputs in passes]
    leaves = [v.requires_grad_() for v in vectors]
    loss = objective(model, config, batch, leaves)
    loss.backward()  # fills the leaves' gradients, and those of logit_scale and logit_bias
    for (encode, inputs), leaf in zip(passes, leaves, strict=True):
        for part, gradient in zip(inputs.split(config.chunk), leaf.grad.split(config.chunk), strict=True):
            with mixed_precision(config):
                again = encode(part)
            again.backward(gradient)
    return loss.detach(), leaves[0].detach()


def make_optimizer(model: CLIP, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW in one fused kernel; gains, biases, positions and the scale are not decayed."""
    named = list(model.named_parameters())
    groups = [{"params": [p for n, p in named if not no_decay(n, p)], "weight_decay": config.weight_decay},
              {"params": [p for n, p in named if no_decay(n, p)], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), eps=1e-6, fused=True)


def learning_rate(config: TrainConfig, step: int, total: int) -> float:
    """Linear warm-up, then half a cosine down to 0."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, total - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@torch.no_grad()
def update_average(average: CLIP, model: CLIP, decay: float, step: int) -> None:
    """average <- decay * average + (1 - decay) * model; young averages forget faster."""
    decay = min(decay, (1 + step) / (10 + step))
    ours, theirs = list(average.state_dict().values()), list(model.state_dict().values())
    floats = [i for i, t in enumerate(ours) if t.is_floating_point()]
    torch._foreach_lerp_([ours[i] for i in floats], [theirs[i] for i in floats], 1 - decay)
    for i in set(range(len(ours))) - set(floats):
        ours[i].copy_(theirs[i])


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep freed memory. Each step frees and asks for the same large blocks; given back to the
    kernel they return page by page, and page faults can cost as much as the arithmetic. Does nothing elsewhere."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(-1, 2**31 - 1) and libc.mallopt(-3, 2**30))  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
    except (OSError, AttributeError):
        return False


# ---------------------------------------------------------------- the loop


@dataclass
class Run:
    """All that must survive a power cut. total is None until a budget in minutes has been timed."""

    model: CLIP
    average: CLIP
    optimizer: torch.optim.AdamW
    step: int = 0
    total: int | None = None
    seconds: float = 0.0
    best: float = -math.inf
    history: list[dict] = field(default_factory=list)


def description(model: CLIP, pairs: Pairs, config: TrainConfig, templates: tuple[str, ...]) -> dict:
    """What makes two runs the same run, as JSON."""
    recipe = {"model": model.config.to_dict(), "train": asdict(config), "rows": len(pairs),
              "captions": sum(len(c) for c in pairs.captions), "templates": list(templates)}
    return json.loads(json.dumps(recipe))


def save_state(folder: Path, run: Run) -> None:
    """state.pt, written whole or not at all."""
    state = {"model": run.model.state_dict(), "average": run.average.state_dict(), "optimizer": run.optimizer.state_dict(),
             "step": run.step, "total": run.total, "seconds": run.seconds, "best": run.best, "history": run.history}
    with written_whole(folder / "state.pt", "training state") as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # how torch reports a full disk
            raise OSError(f"torch.save: {error}") from error
    write_csv(folder / "curve.csv", run.history)


def resume_state(folder: Path, run: Run, recipe: dict) -> bool:
    """Continue where state.pt left off, if there is one of the same recipe. Raises TrainingError when recipes differ."""
    if not (folder / "state.pt").exists():
        return False
    try:
        known = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        differing = [k for part in ("model", "train") for k in recipe[part] if known[part].get(k) != recipe[part][k]]
        differing += [k for k in ("rows", "captions", "templates") if known[k] != recipe[k]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{str(folder / 'run.json')!r} is missing or damaged ({error!r}); "
                            "delete the folder to start anew") from error
    if differing:
        raise TrainingError(f"{str(folder)!r} holds a run with another recipe ({', '.join(differing)} differ); "
                            "repeat its options, or choose another --out")
    try:
        state = torch.load(folder / "state.pt", weights_only=True)
        run.model.load_state_dict(state["model"])
        run.average.load_state_dict(state["average"])
        run.optimizer.load_state_dict(state["optimizer"])
        for name in ("step", "total", "seconds", "best", "history"):
            setattr(run, name, state[name])
    except Exception as error:
        raise TrainingError(f"{str(folder / 'state.pt')!r} is damaged ({error}); delete the folder to start anew") from error
    return True


def write_csv(path: Path, history: list[dict]) -> None:
    """The curve, one row a step."""
    with written_whole(path, "curve") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(HISTORY), restval="")
        writer.writeheader()
        writer.writerows(history)


HISTORY = {"step": "", "loss": "nats", "ln_n": "nats, what guessing costs: ln N, less for repeats", "scale": "exp(logit_scale)",
           "learning_rate": "", "gradient": "norm before clipping", "crowding": "length of the mean picture vector, 1: all alike",
           "pairs_per_second": "", "score": "on the validation pictures, where there are any"}


def train(model: CLIP, pairs: Pairs, tokenizer: Tokenizer, config: TrainConfig, folder: str | Path,
          templates: tuple[str, ...] = ("{}",), evaluate=None, card=None, progress: bool = True,
          stop_after: int | None = None, film: tuple[int, ...] = ()) -> Run:
    """Train a model; resume by itself if `folder` holds an unfinished run of the same recipe.

    pairs: what read_pairs gives. folder: receives run.json, state.pt, curve.csv and the checkpoints best/ (highest score)
    and last/. templates: wrap some of the captions. evaluate: model -> score, higher is better; called on the averaged
    weights. card: run -> text of the model card. stop_after: leave after this many steps in all, as if interrupted.
    film: steps after which the averaged weights are kept in film/, to be looked at later.
    Returns the finished Run. Raises TrainingError (too few rows, another recipe in the folder, loss not a number).
    """
    from tqdm import tqdm

    folder = Path(folder)
    if len(pairs) < config.batch:
        raise TrainingError(f"the data has {len(pairs)} rows, fewer than one batch of {config.batch}; "
                            "choose a smaller batch or more data")
    if config.loss == "sigmoid" and not model.config.sigmoid:
        raise TrainingError("the sigmoid loss needs a model with logit_bias: set sigmoid=True in its CLIPConfig")
    if config.hard_negatives and not any(pairs.negatives):
        raise TrainingError("hard_negatives needs swapped captions, and the data has none; use scenes of two objects, "
                            "or train without")
    keep_freed_memory()
    remove_leftovers(folder)
    average = copy.deepcopy(model).eval()
    run = Run(model.train(), average, make_optimizer(model, config), total=config.steps)
    recipe = description(model, pairs, config, templates)
    if resume_state(folder, run, recipe):
        done = f"{str(folder)!r} is finished" if run.step == run.total else f"taking up {str(folder)!r} at step {run.step:,}"
        print(done, file=sys.stderr) if progress else None
    else:
        with written_whole(folder / "run.json", "run description") as temporary:
            temporary.write_text(json.dumps(recipe, indent=2), encoding="utf-8")
    bar = tqdm(total=run.total, initial=run.step, disable=not progress, unit="step", dynamic_ncols=True)
    last_time, began = time.perf_counter(), run.seconds
    started = last_time
    with bar, finishing_the_step() as interrupted:
        while run.total is None or run.step < run.total:
            if stop_after is not None and run.step >= stop_after:
                break
            try:
                _one_step(run, pairs, tokenizer, config, templates)
            except TrainingError:
                write_csv(folder / "curve.csv", run.history)  # for the doctor; the saved weights stay the last good ones
                raise
            now = time.perf_counter()
            run.seconds = began + now - started
            run.history[-1]["pairs_per_second"] = round(config.batch / (now - last_time), 1)
            last_time = now
            if run.total is None and run.step == TIMED_STEPS:
                run.total = _steps_in(config.minutes, run.history, config.batch, run.seconds)
                bar.total = run.total
            if run.step % config.evaluate_every == 0 or run.step == run.total:
                _score_and_save(run, tokenizer, evaluate, folder, card)
            elif interrupted.is_set():
                save_state(folder, run)
            if run.step in film:
                checkpoint.save(folder / "film" / f"step-{run.step:06d}", run.average, tokenizer, meta={"step": run.step})
            _show(bar, run)
            if interrupted.is_set():
                raise KeyboardInterrupt
    return run


@contextmanager
def finishing_the_step():
    """While inside, the first Ctrl-C only sets the event that is given, so that a step is never cut in two and its work
    can be saved; the second one stops at once. Outside the main thread signals are left alone."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    usual = signal.getsignal(signal.SIGINT)

    def note(_number, _frame):
        interrupted.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, usual)


def guessing_loss(batch: Batch, config: TrainConfig) -> float:
    """The loss of a model that knows nothing: ln N; less where concepts repeat, more with negatives and categories.

    For the sigmoid loss that of the best constant answer, N times the entropy of a yes: near 1 + ln N.
    """
    N = len(batch.groups)
    same = batch.groups[:, None] == batch.groups
    if config.loss == "sigmoid":
        yes = same.float().mean()
        return N * (torch.special.entr(yes) + torch.special.entr(1 - yes)).item()
    wrong = 0 if batch.negative_ids is None else len(batch.negative_ids)
    names = (random_loss(N) + random_loss(N + wrong)) / 2 - (ambiguity(same).item() if config.loss == "multi" else 0.0)
    kinds = [random_loss(N) - (ambiguity(true) + ambiguity(true.t())).item() / 2 for _, true in batch.kinds]
    return names + config.categories * sum(kinds)


def _one_step(run: Run, pairs: Pairs, tokenizer: Tokenizer, config: TrainConfig, templates: tuple[str, ...]) -> None:
    """Draw, forward, backward, update; appends a row to run.history."""
    total = run.total or 10**9  # not yet timed: still inside warm-up, where the total does not matter
    batch = draw(pairs, tokenizer, run.model, config, run.step, total, templates)
    rate = learning_rate(config, run.step, total)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    backward = cached_backward if config.chunk and config.chunk < config.batch else plain_backward
    loss, image = backward(run.model, batch, config)
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip)
    row = {"step": run.step + 1, "loss": loss.item(), "ln_n": guessing_loss(batch, config), "scale": run.model.scale.item(),
           "learning_rate": rate, "gradient": norm.item(), "crowding": image.mean(0).norm().item(), "pairs_per_second": 0.0,
           "score": ""}
    run.history.append(row)
    if not (math.isfinite(row["loss"]) and math.isfinite(row["gradient"])):
        raise TrainingError("; ".join(diagnose(run.history)))
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.model.clamp_scale_()
    update_average(run.average, run.model, config.ema, run.step)
    run.step += 1


def _steps_in(minutes: float, history: list[dict], batch: int, used: float) -> int:
    """How many steps fit into the minutes, from the median speed of the steps so far. 6% are kept back: for scores
    and saves, for recolouring, which starts later, and for a processor that slows down once it is warm."""
    speeds = sorted(row["pairs_per_second"] for row in history[5:])
    seconds_left = minutes * 60 * 0.94 - used
    return max(TIMED_STEPS, TIMED_STEPS + int(seconds_left * speeds[len(speeds) // 2] / batch))


def _score_and_save(run: Run, tokenizer: Tokenizer, evaluate, folder: Path, card) -> None:
    finished = run.step == run.total
    score = None if evaluate is None else float(evaluate(run.average))
    meta = {"step": run.step, "total": run.total, "seconds": round(run.seconds, 1), "score": score}
    text = card(run) if card else ""
    if score is not None:
        run.history[-1]["score"] = score
        if score > run.best:
            run.best = score
            checkpoint.save(folder / "best", run.average, tokenizer, text, meta)
    if finished:
        checkpoint.save(folder / "last", run.average, tokenizer, text, meta)
    save_state(folder, run)


def _show(bar, run: Run) -> None:
    row = run.history[-1]
    scores = [r["score"] for r in run.history[-1000:] if r["score"] != ""]
    bar.set_postfix_str(f"loss {row['loss']:.2f} (ln N {row['ln_n']:.2f}) scale {row['scale']:.0f} "
                        f"{row['pairs_per_second']:.0f} pairs/s" + (f" score {scores[-1]:.3f}" if scores else ""), refresh=False)
    bar.update(1)


@torch.inference_mode()
def zero_shot_score(model: CLIP, tokenizer: Tokenizer, pixels: Tensor, labels: Tensor, names: list[str],
                    batch: int = 256) -> float:
    """Share of pictures whose own name is the nearest of all names: a validation score for `train`.

    pixels (N, 3, S, S) preprocessed; labels (N,) int64 into names.
    """
    texts = torch.cat([model.encode_text(tokenizer(names[i:i + batch], truncate=True)) for i in range(0, len(names), batch)])
    images = torch.cat([model.encode_image(part) for part in pixels.split(batch)])
    return ((images @ texts.t()).argmax(1) == labels).float().mean().item()


# ---------------------------------------------------------------- the doctor


def read_csv(path: str | Path) -> list[dict]:
    """A curve.csv back as the list of rows that `train` keeps."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            lacking = [name for name in HISTORY if name not in (rows.fieldnames or ())]
            if lacking:
                raise ValueError(f"it has no column {lacking[0]!r}")
            return [{k: (v if v == "" else float(v)) for k, v in row.items()} for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"cannot read the curve {str(path)!r} ({error}); give the folder of a run, which holds the "
                            "curve.csv that `clipmini train` wrote") from error


def diagnose(history: list[dict], scale_max: float = 100.0, groups: Tensor | None = None, batch: int | None = None,
             loss: str = "clip") -> list[str]:
    """Read a curve and say in words what it shows.

    history: rows of `train`. scale_max: the clamp of the scale. groups, batch: with them and the plain loss, the floor
    that repeated captions set is computed. Returns at least one sentence.
    """
    if not history:
        return ["nothing to read: the curve is empty"]
    broken = next((r for r in history if not (math.isfinite(r["loss"]) and math.isfinite(r["gradient"]))), None)
    if broken:
        before = [r for r in history if r["step"] < broken["step"]][-1:]
        scale = f" The scale was {before[0]['scale']:.0f} the step before." if before else ""
        return [f"the loss or its gradient stopped being a number at step {broken['step']:.0f}.{scale} "
                "Lower the learning rate, lengthen the warm-up, and train in float32."]
    tail = history[-max(1, len(history) // 20):]
    loss_now = sum(r["loss"] for r in tail) / len(tail)
    chance = tail[-1]["ln_n"]
    found = []
    if len(history) >= 100 and loss_now > 0.95 * chance:
        found.append(f"stuck at ln N: the loss is {loss_now:.2f} and guessing costs {chance:.2f}. Give it more steps, a smaller "
                     "batch, a higher learning rate after a warm-up, milder augmentation, or check that captions match pictures.")
    if sum(r["crowding"] for r in tail) / len(tail) > 0.95:
        found.append("collapse: all pictures get nearly the same vector (mean longer than 0.95). Lower the learning rate, "
                     "and check that the pictures really differ.")
    if sum(r["scale"] >= 0.999 * scale_max for r in tail) > len(tail) / 2:
        found.append(f"the scale stands at its clamp of {scale_max:.0f}: usual late in a long run, memorising in a short one. "
                     "Add augmentation or data if the validation score falls.")
    if groups is not None and batch and loss != "multi":
        floor = duplicate_floor(groups, batch)
        if floor > 0.02:
            found.append(f"repeated captions: with batches of {batch}, plain InfoNCE cannot fall below {floor:.2f} on this data. "
                         "Use the loss 'multi', which counts copies as right answers.")
    if not found and len(history) < 100 and loss_now > 0.8 * chance:
        found.append(f"too short to tell: after {len(history)} steps the loss is {loss_now:.2f}, guessing costs {chance:.2f}. "
                     "Give it some hundred steps.")
    scores = [r["score"] for r in history if r["score"] != ""]
    if len(scores) >= 4 and max(scores) - scores[-1] > 0.02:
        found.append(f"the validation score fell from {max(scores):.3f} to {scores[-1]:.3f}: overfitting; best/ keeps the peak.")
    return found or [f"healthy: the loss fell to {loss_now:.2f}, guessing costs {chance:.2f}."]
