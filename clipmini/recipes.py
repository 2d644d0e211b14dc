"""Named training runs: what `clipmini train NAME` does, from the data to the model card."""

import json
import platform
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from clipmini import __version__, checkpoint
from clipmini.config import preset
from clipmini.embedder import Embedder
from clipmini.model import CLIP, count_parameters
from clipmini.plots import training_curve
from clipmini.tasks.evaluate import compare, evaluate, order_accuracy, zero_shot_score
from clipmini.tasks.metrics import record
from clipmini.tasks.prompts import TEMPLATES
from clipmini.tokenizer import Tokenizer
from clipmini.training.config import TrainConfig
from clipmini.training.doctor import diagnose
from clipmini.training.loop import Run, train
from clipmini.training.pairs import read_pairs
from clipmini.training.step import chosen_precision

VALIDATION_ROWS = 256


@dataclass(frozen=True)
class Recipe:
    """One training run.

    data: "emoji", "emoji-pip" (the two styles that pip brings), "shapes" or "fashion". model: a preset; vision, text,
    model_options: what differs from it. vocabulary: tokens at most. templates: name of the set that wraps some captions.
    hold_out: an art style that is never trained on and is measured once, at the end; hold_out_concepts: so many things
    of which no picture and no caption is trained on; language: of the names, the first one is the labels' (emoji).
    objects: 1 or 2 a scene (shapes); rows: how many scenes. folder: where the idx files are (fashion).
    tried: what the search for the recipe found, for the card.
    """

    name: str
    about: str
    data: str
    train: TrainConfig
    model: str = "light-cbow"
    vision: dict = field(default_factory=dict)
    text: dict = field(default_factory=dict)
    model_options: dict = field(default_factory=dict)
    vocabulary: int = 4096
    templates: str = "emoji"
    hold_out: str | None = None
    hold_out_concepts: int = 0
    language: tuple[str, ...] = ("en",)
    objects: int = 1
    rows: int = 40_000
    folder: str | None = None
    tried: tuple[str, ...] = ()


EMOJI_TRIED = (
    "Top-1 / top-5 on the validation style fluent-emoji-flat, with its family left out of training (openmoji, noto, noto-v1, "
    "fxemoji, streamline-emojis and the three of emojione are left); light ResNet and CBOW, batches of 128, one seed each on a "
    "busy machine: a point or two means little:",
    "6,000 steps, English: 32 pixels, width 32: 51.9 / 76.9 (after 4,000 steps of them 50.4); width 48: 53.4 / 76.9",
    "the same at 48 pixels: 54.2 after 4,000 of 6,000 steps, where it was stopped; kept",
    "MixStyle on the first two stages: 48.9 after 4,000; mirror images of all but symbols: 45.9 after 4,000; elastic warps and "
    "outlines: 38.9 after 2,000, against 41.4. All slower; not tried for longer",
    "3,000 steps, English and Chinese: 38.5 / 64.0",
    "with tags, subgroups and groups as losses of their own, weight 0.2: 37.5 / 65.5, and the names of 95 subgroups rise from "
    "5.5 to 48.0, of 8 groups from 15 to 68, in Chinese from 7.4 to 47.7 and from 18 to 67; kept",
    "with 1,024 captions of other concepts as wrong answers: 40.1 / 64.1; kept, with half as many",
    "32 pixels, both languages, a CPU thread each: 8,000 steps 54.8 / 76.0, 14,000 steps 57.7: longer is better",
    "and at 8,000 steps: Noto Emoji's line drawings as a ninth style 54.2 / 74.9. Given up earlier, as they lagged behind the "
    "same step of a plain run: weight decay 0.5 (45.5 at 4,000 against 50.2), half of the batches mixed or cut and pasted (30.8 "
    "at 2,000 against 35.1), mirror images of all but symbols (55.8 at 12,000 against 57.9), no first stage at 48 pixels (49.6 "
    "at 4,000; 1.6 times as fast) and at 64 pixels (33.2 at 2,000)",
    "of what those 8,000 steps got wrong, 36% are things that only two hands drew in training: 29% of those are right, against "
    "63 to 70% of those with seven pictures or more",
    "an earlier version, five styles, 2,000 steps: recolouring every second step 34.2 / 62.6, the sigmoid loss 34.8 / 60.7, "
    "recolouring every step from 10% to 90% of the run 36.3 / 63.1; kept",
    "three minutes of it: one block a stage 42.7 / 69.6, kept; two blocks 30.4 / 56.5: deeper is slower, and minutes are short",
)

# Colours are what these captions name: no recolouring. Two scenes may share a caption: equal captions are one group.
SHAPES_TRAIN = TrainConfig(minutes=3, colour=0.0, geometry=0.3)
ORDER_TRAIN = replace(SHAPES_TRAIN, hard_negatives=True)
# Grey things on white: nothing to recolour, no other background. A shoe stands on its sole: small turns only.
FASHION_TRAIN = TrainConfig(minutes=3, colour=0.0, background=0.0, geometry=0.3)
FASHION_TRIED = (
    "On 5,000 of the 60,000 training pictures, kept aside; 1,500 steps of 128, one seed each, so that a point means little:",
    "32 x 32 pixels, small turns and shifts (geometry 0.3): top-1 92.3; kept",
    "without turns and shifts: 92.8; that is within the luck of a seed, and things of yours will not stand as straight",
    "28 x 28 pixels, as the pictures come: 92.1",
    "a supervised network with the same tower, ten outputs and cross-entropy in place of the words: 92.2",
    "not tried: mirror images, as every shoe that we looked at points the same way",
)

# Names, and beside them what is true of many: tags, subgroups, groups. Text is cheap with CBOW: four times as many names
# as pictures a step.
EMOJI_TRAIN = TrainConfig(minutes=20, categories=0.2, other_texts=512)
BOTH = ("en", "zh")
FINE = {"image_size": 48}

RECIPES = {r.name: r for r in (
    Recipe("emoji", "the embedded model: eleven art styles, English and Chinese, Twemoji held out", "emoji",
           replace(EMOJI_TRAIN, minutes=35), vision=FINE, hold_out="twemoji", language=BOTH, tried=EMOJI_TRIED),
    Recipe("emoji-small", "the same at 32 pixels, for ten minutes", "emoji", replace(EMOJI_TRAIN, minutes=10), hold_out="twemoji",
           language=BOTH),
    Recipe("emoji-concepts", "150 things held out: no picture and no caption of them is trained on", "emoji",
           replace(EMOJI_TRAIN, minutes=8), vision=FINE, hold_out="twemoji", hold_out_concepts=150),
    Recipe("emoji-pip", "OpenMoji and Twemoji alone, the system's font held out", "emoji-pip",
           replace(EMOJI_TRAIN, minutes=10), hold_out="system"),
    Recipe("emoji-vit", "a ViT with a text Transformer, exportable to transformers", "emoji",
           replace(EMOJI_TRAIN, minutes=15, learning_rate=1e-3, other_texts=0), model="vit-transformer", hold_out="twemoji"),
    Recipe("shapes", "one coloured shape a picture, 16 of 64 combinations never seen", "shapes", SHAPES_TRAIN, vocabulary=600,
           templates="shapes"),
    Recipe("shapes-plain", "two objects and their relation, plain training", "shapes", SHAPES_TRAIN, model="light-transformer",
           vocabulary=600, templates="plain", objects=2),
    Recipe("shapes-order", "two objects and their relation, swapped captions as hard negatives", "shapes", ORDER_TRAIN,
           model="light-transformer", vocabulary=600, templates="plain", objects=2),
    Recipe("shapes-order-cbow", "the same with a text tower that cannot read word order", "shapes", ORDER_TRAIN, vocabulary=600,
           templates="plain", objects=2),
    Recipe("fashion", "photographs of ten kinds of clothes, the 10,000 test pictures held out", "fashion", FASHION_TRAIN,
           vocabulary=600, templates="fashion", tried=FASHION_TRIED),
)}


class RecipeError(ValueError):
    """A recipe that cannot be run here; the message says what is missing and how to get it."""


def emoji_styles(recipe: Recipe) -> list[str]:
    """The art styles a recipe trains on: all there are, or pip's two, less the held-out style and its sisters."""
    from clipmini.data import emoji

    if recipe.hold_out and recipe.hold_out not in emoji.STYLES:
        raise RecipeError(f"no art style {recipe.hold_out!r} to hold out; there are {', '.join(emoji.STYLES)}")
    pool = ["openmoji", "twemoji"] if recipe.data == "emoji-pip" else emoji.available_styles()
    gone = emoji.sisters(recipe.hold_out) if recipe.hold_out else set()
    if (emoji.sisters("system") - {"system"}) & set(pool):
        gone = gone | {"system"}  # the same drawings once, not twice
    styles = [style for style in pool if style not in gone]
    if not styles:
        raise RecipeError(f"nothing is left to train on once {recipe.hold_out!r} is held out; "
                          "fetch more styles with `clipmini data emoji --fetch`")
    return styles


def unseen_concepts(recipe: Recipe) -> list[str]:
    """The hex codes of the concepts that a recipe holds out: drawn with a seed of their own, the same for every run."""
    from clipmini.data import emoji

    order = torch.randperm(len(emoji.concepts()), generator=torch.Generator().manual_seed(150)).tolist()
    return [emoji.concepts()[i].hex for i in order[:recipe.hold_out_concepts]]


def load_data(recipe: Recipe, progress: bool = True):
    """The recipe's training data -> (pairs dataset, words about it for the card)."""
    if recipe.data.startswith("emoji"):
        from clipmini.data import emoji

        styles = emoji_styles(recipe)
        gone = set(unseen_concepts(recipe))
        kept = [row.hex for row in emoji.concepts() if row.hex not in gone] if gone else None
        return (emoji.load(styles, kept, recipe.language, progress=progress),
                f"emoji in {len(styles)} art styles: {', '.join(styles)}")
    if recipe.data == "fashion":
        from clipmini.data import fashion

        return fashion.load("train", recipe.folder, progress=progress), "Fashion-MNIST's training pictures"
    from clipmini.data import shapes

    size = preset(recipe.model, vision=recipe.vision).vision.image_size
    data = shapes.make(recipe.rows, recipe.train.seed, size=size, objects=recipe.objects, pairs="seen")
    if recipe.objects == 2:  # the label names the first object alone: here the caption says what is the same
        data = data.remove_columns("label")
    return data, f"{recipe.rows:,} generated scenes of {recipe.objects} object(s), 48 of 64 colour-shape combinations"


def make_tokenizer(recipe: Recipe, dataset) -> Tokenizer:
    """Train the recipe's vocabulary on the captions and templates of the training rows."""
    columns = [name for name in dataset.column_names if name == "captions" or name.endswith("_captions")]
    captions = [caption for column in columns for row in dataset[column][:] for caption in row]
    frames = [t.replace("{}", "") for t in TEMPLATES[recipe.templates]]
    return Tokenizer.train(captions + frames * (len(captions) // 100), recipe.vocabulary, context_length=32)


def split(dataset, rows: int, seed: int):
    """(training rows, validation rows), the latter drawn at random."""
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed)).tolist()
    return dataset.select(sorted(order[rows:])), dataset.select(sorted(order[:rows]))


def validation(model: CLIP, tokenizer: Tokenizer, dataset):
    """model -> share of the validation pictures whose own label is the nearest of all labels."""
    names = dataset.features["label"].names
    pixels = Embedder(model, tokenizer).pixels([row["image"] for row in dataset])
    labels = torch.tensor(dataset["label"][:])
    return lambda trained: zero_shot_score(trained, tokenizer, pixels, labels, names)


FILM_STEPS = (20, 50, 100, 200, 400, 700, 1100, 1700, 2600, 4000, 6000, 9000, 13_000, 18_000)  # each about half as much again


def run(recipe: Recipe, folder: str | Path, command: str = "", progress: bool = True, film: bool = False) -> tuple[Run, dict]:
    """Train, measure what was held out, and leave the finished checkpoint in folder/final.

    command: what the user typed, for the card; film: keep the weights after FILM_STEPS in folder/film. Returns
    (Run, results). An unfinished run in folder is taken up again.
    """
    folder = Path(folder)
    if recipe.hold_out and not recipe.data.startswith("emoji"):
        raise RecipeError(f"{recipe.name!r} has no art styles, so {recipe.hold_out!r} cannot be held out; leave --hold-out away")
    if recipe.folder and recipe.data != "fashion":
        raise RecipeError(f"{recipe.name!r} reads no files from {recipe.folder!r}; --folder is for fashion, leave it away")
    data, about = load_data(recipe, progress)
    tokenizer = make_tokenizer(recipe, data)
    torch.manual_seed(recipe.train.seed)
    model = CLIP(preset(recipe.model, tokenizer, recipe.vision, recipe.text, **recipe.model_options))
    training, held = split(data, min(VALIDATION_ROWS, len(data) // 10), recipe.train.seed)
    pairs = read_pairs(training, model.config.vision.image_size, progress)
    # Scenes with two objects have no single name, and order is what they are about: no validation score.
    score = validation(model, tokenizer, held) if recipe.objects == 1 else None
    done = train(model, pairs, tokenizer, recipe.train, folder, TEMPLATES[recipe.templates], score, progress=progress,
                 film=FILM_STEPS if film else ())
    curve = training_curve(done.history, f"{recipe.name}: {recipe.about}")
    curve.savefig(folder / "curve.png")
    embedder = Embedder(done.average, tokenizer, recipe.name)
    results = measure(recipe, embedder)
    words = diagnose(done.history, scale_max=100.0, groups=pairs.groups, batch=recipe.train.batch, loss=recipe.train.loss)
    meta = {"recipe": json.loads(json.dumps(asdict(recipe))), "command": command, "data": about, "pictures": len(pairs),
            "steps": done.step, "seconds": round(done.seconds), "threads": torch.get_num_threads(), "results": results,
            "precision": chosen_precision(recipe.train), "measured": in_one_line(results),
            "templates": recipe.templates, "clipmini": __version__}
    checkpoint.save(folder / "final", done.average, tokenizer, card(recipe, embedder, meta, words), meta)
    curve.savefig(folder / "final" / "curve.png")
    return done, {**results, "doctor": words}


def measure(recipe: Recipe, embedder: Embedder) -> dict:
    """What the recipe promises to measure: the held-out style or pictures, the unseen combinations, or the word order."""
    if recipe.data.startswith("emoji"):
        from clipmini.data import emoji

        if not recipe.hold_out or recipe.hold_out not in emoji.available_styles():
            return {}
        return measure_emoji(recipe, embedder, emoji.load([recipe.hold_out]))
    if recipe.data == "fashion":
        from clipmini.data import fashion

        reports = compare(embedder, fashion.load("test", recipe.folder), {"one template": "plain", "ensemble": "fashion"})
        return {f"test pictures, {name}": record(report) for name, report in reports.items()}
    from clipmini.data import shapes

    size = embedder.config.vision.image_size
    if recipe.objects == 2:
        return {"word order": order_accuracy(embedder, shapes.make(2000, 10_001, size=size, objects=2, pairs="seen"))}
    return {f"{which} combinations": record(evaluate(
        embedder, shapes.make(2000, 10_002, size=size, objects=1, pairs=which), ("a {}",))) for which in ("seen", "unseen")}


def measure_emoji(recipe: Recipe, embedder: Embedder, pictures) -> dict:
    """Accuracy on a style: among all names, in each of the recipe's languages, and among the names of categories."""
    from clipmini.data import emoji

    if recipe.hold_out_concepts:
        return measure_unseen_concepts(recipe, embedder, pictures)
    style = recipe.hold_out
    reports = compare(embedder, pictures, {"one template": "plain", "ensemble": "emoji"})
    found = {f"{style}, {name}": record(report) for name, report in reports.items()}
    for language in recipe.language:
        for level in ("concept", "subgroup", "group"):
            if (level, language) == ("concept", "en") or level != "concept" and not emoji.categories(level, language):
                continue
            report = evaluate(embedder, emoji.renamed(pictures, level, language), "emoji")
            found[f"{style}, {level} names in {language}"] = record(report)
    return found


def measure_unseen_concepts(recipe: Recipe, embedder: Embedder, pictures) -> dict:
    """Accuracy on things never seen, among one another: by their bare name, and described by tags and subgroup too."""
    gone = set(unseen_concepts(recipe))
    rows = pictures.select([i for i, code in enumerate(pictures["concept"][:]) if code in gone])
    names = rows.features["label"].names
    described = list(names)
    for row in rows.remove_columns("image"):
        words = dict.fromkeys([names[row["label"]], *row["subgroup_captions"][:1], *row["tags"]])
        described[row["label"]] = as_many_as_fit(words, embedder.tokenizer)
    seen = [names[label] for label in dict.fromkeys(rows["label"][:])]
    return {f"{recipe.hold_out}, things never seen, {how}": record(evaluate(embedder, rows, labels=labels, candidates=seen))
            for how, labels in (("by name", names), ("described", described))}


def as_many_as_fit(words, tokenizer: Tokenizer) -> str:
    """Words joined by commas, the first ones, as many as the context holds."""
    text = ""
    for word in words:
        longer = f"{text}, {word}" if text else word
        if len(tokenizer.encode(longer)) + 2 > tokenizer.context_length:
            break
        text = longer
    return text


DRAWN_LIMITS = ("It knows the drawings and words it was trained on. It has seen no photograph, of people or of anything else; "
                "do not use it to judge any.")
FASHION_LIMITS = ("It knows ten kinds of clothes, each alone on white, in grey and 28 pixels wide, and forty words "
                  "for them. Whatever else it is shown, it calls the least wrong of the labels offered.")


def card(recipe: Recipe, embedder: Embedder, meta: dict, words: list[str]) -> str:
    """The model card: what it is, how it was made, what it can do, what not."""
    config = embedder.config
    threads = f"{meta['threads']} CPU thread{'s' * (meta['threads'] > 1)}"
    about = f"{recipe.about[0].upper()}{recipe.about[1:]}. Trained from nothing by clipmini {__version__}."
    lines = [f"# {recipe.name}", "", about, "",
             "| | |", "|---|---|",
             f"| image tower | {config.vision.tower}, {config.vision.image_size} x {config.vision.image_size} pixels |",
             f"| text tower | {config.text.tower}, {config.text.vocab_size:,} tokens |",
             f"| parameters | {count_parameters(embedder.model):,} |",
             f"| data | {meta['data']}; {meta['pictures']:,} pictures |",
             f"| training | {meta['steps']:,} steps of {recipe.train.batch} pairs, {meta['seconds'] / 60:.1f} minutes on "
             f"{threads}, in {meta['precision']}; `--steps {meta['steps']}` repeats it to the bit on the same machine with as "
             "many threads |",
             f"| seed | {recipe.train.seed} |", f"| command | `{meta['command'] or 'clipmini train ' + recipe.name}` |",
             f"| made on | {time.strftime('%Y-%m-%d')}, {platform.system()}, torch {torch.__version__} |", "",
             "![training curve](curve.png)", "", "## Measured", ""]
    lines += [f"- {name}: {sentence(result)}" for name, result in meta["results"].items()] or ["- nothing was held out"]
    lines += ["", "The doctor says: " + " ".join(words), ""]
    if recipe.tried:
        lines += ["## What was tried", "", recipe.tried[0], "", *(f"- {line}" for line in recipe.tried[1:]), ""]
    if recipe.data != "shapes":
        lines += ["## Pictures and words", "", *sources_of(meta["data"]), ""]
    lines += ["## Limits", "", FASHION_LIMITS if recipe.data == "fashion" else DRAWN_LIMITS, ""]
    return "\n".join(lines)


def sources_of(about: str) -> list[str]:
    """The packages behind the data that `about` names, as lines with author and licence."""
    if about.startswith("Fashion-MNIST"):
        from clipmini.data.fashion import SOURCE as s

        return [f"- pictures and labels: Fashion-MNIST, {s.author}, {s.licence}; phrasings: this package"]
    from clipmini.data.emoji.sources import SOURCES
    from clipmini.data.emoji.words import emojibase

    absent = set() if emojibase("en") else {"emojibase-data"}
    used = set(about.replace(",", " ").split())
    return [f"- {s.style or 'words'}: {s.package}, {s.author}, {s.licence}" for s in SOURCES
            if s.package not in absent and (not s.style or s.style in used)]


def in_one_line(results: dict) -> dict:
    """The best held-out accuracy for the app's header, in English and Chinese; {} where no labels were measured."""
    held = {name: r for name, r in results.items() if "top1" in r}
    if not held:
        return {}
    name = next((name for name in held if name.endswith("ensemble")), list(held)[-1])
    r = held[name]
    style = name.split(",")[0]
    return {"en": f"right on {r['top1']:.0%} of {r['n']:,} pictures it never saw ({style}), among {r['classes']:,} names",
            "zh": f"在 {r['n']:,} 张从未见过的图片（{style}）上，从 {r['classes']:,} 个名称中选对 {r['top1']:.0%}"}


def sentence(result: dict) -> str:
    """One measured result in words."""
    if "top1" in result:
        return (f"top-1 {result['top1']:.1%}, top-5 {result['top5']:.1%} of {result['n']:,} pictures among "
                f"{result['classes']:,} names (95% interval of top-1: {result['top1_low']:.1%} to {result['top1_high']:.1%})")
    return (f"true caption preferred: relation {result['relation']:.1%}, binding {result['binding']:.1%} of {result['n']:,} "
            "scenes (chance 50%)")


def customised(recipe: Recipe, **changes) -> Recipe:
    """The recipe with changed options; fields of TrainConfig go to its training part."""
    training = {k: v for k, v in changes.items() if hasattr(recipe.train, k)}
    if training.get("steps") is not None:
        training.setdefault("minutes", None)
    if training.get("minutes") is not None:
        training.setdefault("steps", None)
    rest = {k: v for k, v in changes.items() if k not in training}
    return replace(recipe, train=replace(recipe.train, **training), **rest)
