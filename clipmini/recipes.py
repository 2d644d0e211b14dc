"""Named training runs: what `clipmini train NAME` does, from the data to the model card."""

import copy
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from clipmini import __version__, checkpoint
from clipmini.card import card, in_one_line
from clipmini.config import preset
from clipmini.data import emoji, find
from clipmini.data.base import Question, Source, SourceError, configured
from clipmini.data.own.source import is_own
from clipmini.embedder import Embedder, embedded_names, load
from clipmini.model import CLIP
from clipmini.picture_file import shown
from clipmini.plots import mixing_curve, training_curve
from clipmini.tasks import outside
from clipmini.tasks.evaluate import zero_shot_score
from clipmini.tasks.prompts import TEMPLATES
from clipmini.tasks.questions import ask, recorded
from clipmini.tasks.retrieval import pairs_report
from clipmini.tokenizer import Tokenizer
from clipmini.training import Pairs, Run, TrainConfig, diagnose, mixing, read_pairs, together, train
from clipmini.training.distil import targets
from clipmini.training.step import chosen_precision

VALIDATION_ROWS = 256


@dataclass(frozen=True)
class Recipe:
    """One training run.

    data: what it trains on and what it holds out. model: a preset; vision, text, model_options: what differs from it.
    vocabulary: tokens at most. tried: what the search for the recipe found, for the card. init: the name or folder of a
    model to begin with, with its own tokenizer, in place of a new one; mix: whether the best of the weights between
    that one and the trained one is kept (WiSE-FT).
    """

    name: str
    about: str
    data: Source
    train: TrainConfig
    model: str = "light-cbow"
    vision: dict = field(default_factory=dict)
    text: dict = field(default_factory=dict)
    model_options: dict = field(default_factory=dict)
    vocabulary: int = 4096
    tried: tuple[str, ...] = ()
    init: str = ""
    mix: bool = True


EMOJI_TRIED = (
    "Top-1 / top-5 on the validation style fluent-emoji-flat, with its family left out of training (openmoji, noto, "
    "noto-v1, fxemoji, streamline-emojis and the three of emojione are left); light ResNet and CBOW, batches of 128, "
    "one seed each on a busy machine: a point or two means little:",
    "6,000 steps, English: 32 pixels, width 32: 51.9 / 76.9 (after 4,000 steps of them 50.4); width 48: 53.4 / 76.9",
    "the same at 48 pixels: 54.2 after 4,000 of 6,000 steps, where it was stopped; kept",
    "MixStyle on the first two stages: 48.9 after 4,000; mirror images of all but symbols: 45.9 after 4,000; elastic "
    "warps and outlines: 38.9 after 2,000, against 41.4. All slower; not tried for longer",
    "3,000 steps, English and Chinese: 38.5 / 64.0",
    "with tags, subgroups and groups as losses of their own, weight 0.2: 37.5 / 65.5, and the names of 95 subgroups "
    "rise from 5.5 to 48.0, of 8 groups from 15 to 68, in Chinese from 7.4 to 47.7 and from 18 to 67; kept",
    "with 1,024 captions of other concepts as wrong answers: 40.1 / 64.1; kept, with half as many",
    "32 pixels, both languages, a CPU thread each: 8,000 steps 54.8 / 76.0, 14,000 steps 57.7: longer is better",
    "and at 8,000 steps: Noto Emoji's line drawings as a ninth style 54.2 / 74.9. Given up earlier, as they lagged "
    "behind the same step of a plain run: weight decay 0.5 (45.5 at 4,000 against 50.2), half of the batches mixed or "
    "cut and pasted (30.8 at 2,000 against 35.1), mirror images of all but symbols (55.8 at 12,000 against 57.9), no "
    "first stage at 48 pixels (49.6 at 4,000; 1.6 times as fast) and at 64 pixels (33.2 at 2,000)",
    "of what those 8,000 steps got wrong, 36% are things that only two hands drew in training: 29% of those are right, "
    "against 63 to 70% of those with seven pictures or more",
    "an earlier version, five styles, 2,000 steps: recolouring every second step 34.2 / 62.6, the sigmoid loss 34.8 / "
    "60.7, recolouring every step from 10% to 90% of the run 36.3 / 63.1; kept",
    "three minutes of it: one block a stage 42.7 / 69.6, kept; two blocks 30.4 / 56.5: deeper is slower, and minutes "
    "are short",
)

# Colours are what these captions name: no recolouring. Two scenes may share a caption: equal captions are one group.
SHAPES_TRAIN = TrainConfig(minutes=3, colour=0.0, geometry=0.3)
ORDER_TRAIN = replace(SHAPES_TRAIN, hard_negatives=True)
# Grey things on white: nothing to recolour, no other background. A shoe stands on its sole: small turns only.
FASHION_TRAIN = TrainConfig(minutes=3, colour=0.0, background=0.0, geometry=0.3)
FASHION_TRIED = (
    "On 5,000 of the 60,000 training pictures, kept aside; 1,500 steps of 128, one seed each, so that a point means "
    "little:",
    "32 x 32 pixels, small turns and shifts (geometry 0.3): top-1 92.3; kept",
    "without turns and shifts: 92.8; that is within the luck of a seed, and things of yours will not stand as straight",
    "28 x 28 pixels, as the pictures come: 92.1",
    "a supervised network with the same tower, ten outputs and cross-entropy in place of the words: 92.2",
    "not tried: mirror images, as every shoe that we looked at points the same way",
)

# Names, and beside them what is true of many: tags, subgroups, groups. Text is cheap with CBOW: four times as many
# names as pictures a step.
EMOJI_TRAIN = TrainConfig(minutes=20, categories=0.2, other_texts=512)
FINE = {"image_size": 48}
HELD_OUT = replace(emoji.EMOJI, hold_out="twemoji")
BOTH = replace(HELD_OUT, language=("en", "zh"))

RECIPES = {r.name: r for r in (
    Recipe("emoji", "the embedded model: eleven art styles, English and Chinese, Twemoji held out", BOTH,
           replace(EMOJI_TRAIN, minutes=35), vision=FINE, tried=EMOJI_TRIED),
    Recipe("emoji-small", "the same at 32 pixels, for ten minutes", BOTH, replace(EMOJI_TRAIN, minutes=10)),
    Recipe("emoji-sketch", "a candidate for the embedded model: line drawings, clip art, a third of it all sketched",
           replace(BOTH, lines=True, clip_art=True), replace(EMOJI_TRAIN, minutes=90, sketch=0.33), vision=FINE),
    Recipe("emoji-concepts", "150 things held out: no picture and no caption of them is trained on",
           replace(HELD_OUT, hold_out_concepts=150), replace(EMOJI_TRAIN, minutes=8), vision=FINE),
    Recipe("emoji-pip", "OpenMoji and Twemoji alone, the system's font held out",
           replace(emoji.EMOJI_PIP, hold_out="system"), replace(EMOJI_TRAIN, minutes=10)),
    Recipe("emoji-vit", "a ViT with a text Transformer, exportable to transformers", HELD_OUT,
           replace(EMOJI_TRAIN, minutes=15, learning_rate=1e-3, other_texts=0), model="vit-transformer"),
    Recipe("shapes", "one coloured shape a picture, 16 of 64 combinations never seen", find("shapes"), SHAPES_TRAIN,
           vocabulary=600),
    Recipe("shapes-plain", "two objects and their relation, plain training", find("order"), SHAPES_TRAIN,
           model="light-transformer", vocabulary=600),
    Recipe("shapes-order", "two objects and their relation, swapped captions as hard negatives", find("order"),
           ORDER_TRAIN, model="light-transformer", vocabulary=600),
    Recipe("shapes-order-cbow", "the same with a text tower that cannot read word order", find("order"), ORDER_TRAIN,
           vocabulary=600),
    Recipe("fashion", "photographs of ten kinds of clothes, the 10,000 test pictures held out", find("fashion"),
           FASHION_TRAIN, vocabulary=600, tried=FASHION_TRIED),
)}


class RecipeError(ValueError):
    """A recipe that does not exist or does not fit; the message says what there is."""


# Where a trained model goes on, it goes in small steps, and often few: the average forgets its start within them.
FINE_TUNING = {"learning_rate": 3e-4, "warmup": 20, "ema": 0.98}


def choose(name: str | None, data: str | None = None) -> Recipe:
    """The recipe of a name, or the first one that trains on the data of a name, or one for data of one's own. Raises
    RecipeError."""
    if name is None:
        name = next((name for name, r in RECIPES.items() if r.data.name == data), None)
    if name is None and data is not None and is_own(data):
        return Recipe("own", "pictures and captions of one's own", find(data), TrainConfig(minutes=10), vision=FINE)
    if name is None:
        known = dict.fromkeys(r.data.name for r in RECIPES.values())
        raise RecipeError(f"no recipe trains on {data!r}; there is data called {', '.join(known)}")
    if name not in RECIPES:
        raise RecipeError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    trains_on = RECIPES[name].data.name
    if data and data != trains_on:
        raise RecipeError(f"the recipe {name!r} trains on {trains_on}, not on {data!r}; omit one of the two")
    return RECIPES[name]


def customised(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with changed options: fields of TrainConfig, of Recipe, or options of its data. Raises SourceError."""
    training = {k: v for k, v in changes.items() if k in {f.name for f in fields(recipe.train)}}
    if training.get("plan"):
        training |= {"steps": None, "minutes": None}
    if training.get("steps") is not None:
        training.setdefault("minutes", None)
    if training.get("minutes") is not None:
        training.setdefault("steps", None)
    own = {k: v for k, v in changes.items() if k not in training and k in {f.name for f in fields(recipe)}}
    rest = {k: v for k, v in changes.items() if k not in training and k not in own}
    recipe = replace(recipe, data=configured(recipe.data, **rest)) if rest else recipe
    return replace(recipe, train=replace(recipe.train, **training), **own)


def make_tokenizer(recipe: Recipe, dataset) -> Tokenizer:
    """Train the recipe's vocabulary on the captions and templates of the training rows."""
    columns = [name for name in dataset.column_names if name == "captions" or name.endswith("_captions")]
    captions = [caption for column in columns for row in dataset[column][:] for caption in row]
    frames = [t.replace("{}", "") for t in TEMPLATES[recipe.data.templates]]
    return Tokenizer.train(captions + frames * (len(captions) // 100), recipe.vocabulary, context_length=32)


def kept_back(recipe: Recipe, data):
    """(training rows, validation rows) of a recipe."""
    return split(data, min(VALIDATION_ROWS, len(data) // 10), recipe.train.seed)


def split(dataset, rows: int, seed: int):
    """(training rows, validation rows), the latter drawn at random."""
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed)).tolist()
    return dataset.select(sorted(order[rows:])), dataset.select(sorted(order[:rows]))


def validation(model: CLIP, tokenizer: Tokenizer, dataset):
    """model -> share of the validation pictures whose own label is the nearest of all labels; where rows have no label,
    the mean recall of pictures and captions."""
    pixels = Embedder(model, tokenizer).pixels([row["image"] for row in dataset])
    if "label" not in dataset.column_names:
        def recall(trained: CLIP) -> float:
            with torch.no_grad():
                vectors = torch.cat([trained.encode_image(part) for part in pixels.split(256)])
            return pairs_report(Embedder(trained, tokenizer), dataset, vectors)["mean_recall"]
        return recall
    names = dataset.features["label"].names
    labels = torch.tensor(dataset["label"][:])
    return lambda trained: zero_shot_score(trained, tokenizer, pixels, labels, names)


def taught(recipe: Recipe, embedder: Embedder, pairs: Pairs, held) -> outside.Taught | None:
    """What the training taught, for a model that is to say what it does not know; None where rows have no label.

    pairs: what was trained on; held: the rows of `split` that were not.
    """
    if "label" not in held.column_names:
        return None
    words = [caption for rows in (pairs.captions, *pairs.kinds) for row in rows for caption in row]
    unseen = read_pairs(held, embedder.config.vision.image_size).rgba
    return outside.learn(embedder, pairs.rgba, pairs.groups, unseen, held.features["label"].names,
                         [*dict.fromkeys(words), *TEMPLATES[recipe.data.templates]], recipe.train.sketch,
                         recipe.train.seed)


# Steps after which a film keeps the weights, each about half as much again.
FILM_STEPS = (20, 50, 100, 200, 400, 700, 1100, 1700, 2600, 4000, 6000, 9000, 13_000, 18_000)


def begun(recipe: Recipe) -> Embedder | None:
    """The model that a recipe begins with; None where it makes a new one. Raises CheckpointError for one that cannot be
    trained and written here."""
    if not recipe.init:
        return None
    start = load(recipe.init)
    checkpoint.check_whole(start.model, start.tokenizer)  # type: ignore[arg-type]  # that is what it checks
    return start


def recipe_of(embedder: Embedder) -> dict:
    """What a checkpoint says of its recipe; {} where it says nothing, or nothing that is one."""
    found = embedder.meta.get("recipe")
    return found if isinstance(found, dict) else {}


def begun_with(embedder: Embedder) -> Embedder | None:
    """The model that a fine-tuned one began with, where its card names one that is here; else None, with a warning."""
    name = recipe_of(embedder).get("init")
    if not isinstance(name, str) or not name or name not in embedded_names() and not Path(name).is_dir():
        if name:
            warnings.warn(f"the model began with {shown(str(name)[:80])!r}, which is not here, so nothing is compared; "
                          "name one with --before", stacklevel=2)
        return None
    return load(name, packed=True)


def known_before(start: Embedder) -> dict[str, Question]:
    """What a model that is trained on was good at: the first question of its own recipe's report, so that forgetting
    shows; {} where it names no recipe of ours, or its data is not here."""
    name = recipe_of(start).get("name")
    if name not in RECIPES:
        return {}
    try:
        asked = RECIPES[name].data.report(start)
    except SourceError:
        return {}
    return {f"{name}, {question}": asked[question] for question in list(asked)[:1]}


def mix(before, done: Run, score, tokenizer: Tokenizer, earlier: dict[str, Question], folder: Path) -> list[dict]:
    """Put the best of the weights between those before and after training in the place of done.average, by validation;
    draw the curve. earlier: what the model was good at. Returns the curve's rows, the kept one marked."""
    name, question = next(iter(earlier.items()), ("", None))

    def knows(model: CLIP) -> float:
        return recorded(ask(Embedder(model, tokenizer), {name: question}))[name]["top1"]  # type: ignore[dict-item]

    rows = mixing.curve(before, done.average, score, knows if question and question.kind == "labels" else None)
    share = mixing.best(rows)
    done.average = mixing.mixed([before, done.average], [1 - share, share])
    mixing_curve(rows, share).savefig(folder / "wise_ft.png")
    return [{**row, "kept": row["share"] == share} for row in rows]


def run(recipe: Recipe, folder: str | Path, command: str = "", progress: bool = True,
        film: bool = False) -> tuple[Run, dict]:
    """Train, measure what was held out, and leave the finished checkpoint in folder/final.

    command: what the user typed, for the card; film: keep the weights after FILM_STEPS in folder/film. Returns
    (Run, results). An unfinished run in folder is taken up again. Of several processes (training.together) the first
    one measures and writes; the others get no results.
    """
    folder, source = Path(folder), recipe.data
    start = begun(recipe)
    size = start.config.vision.image_size if start else preset(recipe.model, vision=recipe.vision).vision.image_size
    with together.in_turn():  # the first of several processes fetches and decodes, the others find it in the cache
        data, about = source.training_rows(size, recipe.train.seed, progress), source.trained_on()
    results: dict = {}
    earlier = known_before(start) if start and together.first() else {}
    before = copy.deepcopy(start.model) if start and recipe.mix else None
    model: CLIP
    tokenizer: Tokenizer
    if start:
        model, tokenizer = start.model, start.tokenizer  # type: ignore[assignment]  # `begun` has looked
        answers = recorded(ask(start, {**source.report(start), **earlier})) if together.first() else {}
        results = {f"before, {name}": answer for name, answer in answers.items()}
    else:
        tokenizer = make_tokenizer(recipe, data)
        torch.manual_seed(recipe.train.seed)
        model = CLIP(preset(recipe.model, tokenizer, recipe.vision, recipe.text, **recipe.model_options))
    training, held = kept_back(recipe, data)
    pairs = read_pairs(training, model.config.vision.image_size, progress)
    if recipe.train.distil and start:
        pairs.targets = targets(model, tokenizer, pairs)
    score = validation(model, tokenizer, held)
    done = train(model, pairs, tokenizer, recipe.train, folder, TEMPLATES[source.templates], score, progress=progress,
                 film=FILM_STEPS if film else ())
    if not together.first():
        return done, {}
    mixes = mix(before, done, score, tokenizer, earlier, folder) if before else []
    curve = training_curve(done.history, f"{recipe.name}: {recipe.about}")
    curve.savefig(folder / "curve.png")
    words = diagnose(done.history, 100.0, pairs.groups, recipe.train.batch, recipe.train.loss)
    results = write(recipe, folder / "final", Embedder(done.average, tokenizer, recipe.name), (pairs, held), words, {
        "command": command, "data": about, "steps": done.step, "seconds": round(done.seconds),
        **({"wise_ft": mixes} if mixes else {})}, results, earlier)
    curve.savefig(folder / "final" / "curve.png")
    return done, {**results, "doctor": words}


def write(recipe: Recipe, folder: Path, embedder: Embedder, rows: tuple, words: list[str], told: dict, before: dict,
          earlier: dict[str, Question]) -> dict:
    """Measure a trained model and leave its checkpoint in a folder. Returns the results.

    rows: (pairs, held), what it was trained on and what not; words: of the doctor; told: what more its config.json
    says; before: the results of the model that it began with; earlier: what that one was good at.
    """
    (pairs, held), source = rows, recipe.data
    answers = recorded(ask(embedder, {**source.report(embedder), **earlier}))
    results = before | {("after, " if before else "") + name: answer for name, answer in answers.items()}
    meta = {"recipe": json.loads(json.dumps(asdict(recipe), default=str)), "pictures": len(pairs), "results": results,
            "threads": torch.get_num_threads(), "precision": chosen_precision(recipe.train),
            "measured": in_one_line(results), "templates": source.templates, "clipmini": __version__, **told}
    known = taught(recipe, embedder, pairs, held)
    beside = None if known is None else {outside.FILE: outside.as_file(known)}
    text = card(recipe, embedder, meta, words)
    checkpoint.save(folder, embedder.model, embedder.tokenizer, text, meta, beside)  # type: ignore[arg-type]
    return results


def mixture(recipe: Recipe, models: Sequence[str], folder: str | Path, command: str = "",
            progress: bool = True) -> dict:
    """The mean of the weights of models that one recipe made with several seeds from one start (a model soup),
    measured and written into folder as `run` does. Returns the results. Raises RecipeError for models with other
    vocabularies, TrainingError for other towers."""
    parts = [begun(replace(recipe, init=name)) for name in models]
    first, source = parts[0], recipe.data
    assert first is not None
    if len({checkpoint.fingerprint(part.tokenizer) for part in parts if part}) > 1:  # type: ignore[arg-type]
        raise RecipeError("the models have other vocabularies, so their weights have no mean; mix models that began "
                          "with the same weights")
    mean = mixing.mixed([part.model for part in parts if part], [1 / len(parts)] * len(parts))  # type: ignore[misc]
    size = first.config.vision.image_size
    data = source.training_rows(size, recipe.train.seed, progress)
    training, held = kept_back(recipe, data)
    pairs, metas = read_pairs(training, size, progress), [part.meta for part in parts if part]
    recipe = replace(recipe, init=str(recipe_of(first).get("init", "")))
    return write(recipe, Path(folder), Embedder(mean, first.tokenizer, recipe.name), (pairs, held), ["see its parts."],
                 {"command": command, "data": source.trained_on(), "steps": sum(m.get("steps", 0) for m in metas),
                  "seconds": sum(m.get("seconds", 0) for m in metas),
                  "mixed": [_seed(part) for part in parts if part]}, {}, {})


def _seed(part: Embedder) -> str:
    train_config = recipe_of(part).get("train")
    return f"seed {train_config['seed']}" if isinstance(train_config, dict) and "seed" in train_config else part.name
