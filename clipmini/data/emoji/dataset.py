"""The emoji as a pairs dataset."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from clipmini.data import clipart
from clipmini.data.base import Package, Question, Source, SourceError, option
from clipmini.data.emoji import art, sources, words

if TYPE_CHECKING:
    from clipmini.embedder import Embedder


def _check_styles(styles, cache) -> list[str]:
    """Return the list of styles asked for, or raise with what there is and how to get the rest."""
    there = [style for style in sources.STYLES if sources.source_path(style, cache)]
    asked = sources.available_styles(cache) if styles is None else styles
    wanted = [asked] if isinstance(asked, str) else list(asked)
    bad = [style for style in wanted if style not in there]
    if bad or not wanted:
        ways: dict[str, list[str]] = {}
        for style in sources.STYLES:
            if style not in there:
                ways.setdefault(sources.remedy(style), []).append(style)
        missing = "; ".join(f"{', '.join(found)}: {way}" for way, found in ways.items())
        raise ValueError(f"emoji style {bad} is not here; available: {', '.join(there) or 'none'}. "
                         f"To get the others: {missing or 'all others are here'}.")
    return list(dict.fromkeys(wanted))


def _check_concepts(wanted) -> set[str]:
    """Return the hex codes of concepts given as hex codes, names or characters."""
    table = {key: row.hex for row in words.concepts() for key in (row.emoji, row.name, row.hex)}
    found = {word: table.get(word) or table.get(word.lower(), "") for word in wanted}
    unknown = [word for word, code in found.items() if not code]
    if unknown:
        raise ValueError(f"no emoji concept called {', '.join(map(repr, unknown[:5]))}; "
                         "give names or hex codes as in clipmini.data.emoji.concepts()")
    return set(found.values())


def load(styles=None, concepts=None, language="en", cache=None, progress=True):
    """Return the emoji as a pairs dataset, one row for each picture.

    Args:
        styles: art styles (str or list); None means all of `available_styles()`, which has no line drawings.
        concepts: names or hex codes to keep; None means all. The label list stays the full one.
        language: language of the names, or several: ("en", "zh") gives both, English first.
        cache: folder for what is built once; default see `cache_root`.
        progress: show a bar while a style is drawn (once, some seconds).

    Returns:
        Dataset with columns image (RGBA PNG, 72x72), captions (list of str, first the plain name), label
        (ClassLabel over English names, the same for each style), style, concept (hex), emoji, group,
        subgroup ("" when not known), tags (list of str), and what is true of other concepts too: tag_captions,
        subgroup_captions and group_captions (lists of str, in all the languages). Images are memory-mapped from the
        cache.

    Raises:
        ValueError: an unknown style, concept or language; the message lists what there is.
    """
    import datasets

    wanted = _check_styles(styles, cache)
    keep = None if concepts is None else _check_concepts([concepts] if isinstance(concepts, str) else concepts)
    texts = _texts(language, cache)
    parts = [art.open_style(style, cache, progress) for style in wanted]
    codes = [code for part in parts for code in part["concept"][:]]
    owner = [style for style, part in zip(wanted, parts, strict=True) for _ in range(len(part))]
    table = datasets.Dataset.from_dict(
        {"style": owner, **{key: [texts[code][key] for code in codes] for key in texts[codes[0]]}},
        features=_text_features())
    pictures = datasets.concatenate_datasets(parts)
    rows = datasets.concatenate_datasets([pictures, table], axis=1)
    rows = rows.select_columns(["image", "captions", "label", "style", "concept", "emoji", "group", "subgroup",
                                "tags", "tag_captions", "subgroup_captions", "group_captions"])
    return rows if keep is None else rows.select([i for i, code in enumerate(codes) if code in keep])


def _texts(language, cache) -> dict[str, dict]:
    """Return {hex: the text columns of that concept}."""
    captions = words.phrasings(language, cache)
    first = language if isinstance(language, str) else language[0]
    spoken = [words.emojibase(code, cache) for code in ([language] if isinstance(language, str) else language)]
    groups, tags = words.emojibase("en", cache), words.emojibase(first, cache)
    named = {level: words.categories(level, language, cache) for level in ("group", "subgroup")}
    where = {row.hex: {level: groups.get(row.hex, {}).get(level, "") for level in named} for row in words.concepts()}
    return {row.hex: {
        "captions": captions[row.hex], "label": i, "emoji": row.emoji, **where[row.hex],
        **{f"{level}_captions": named[level].get(where[row.hex][level], []) for level in named},
        "tags": tags.get(row.hex, {}).get("tags", []),
        "tag_captions": [tag for base in spoken for tag in base.get(row.hex, {}).get("tags", [])
                         if not words.ODD.fullmatch(tag)],
    } for i, row in enumerate(words.concepts())}


def _text_features():
    from datasets import ClassLabel, Features, List, Value

    text, names = Value("string"), [row.name for row in words.concepts()]
    return Features({"style": text, "captions": List(text), "label": ClassLabel(names=names),
                     "emoji": text, "group": text, "subgroup": text, "tags": List(text),
                     "tag_captions": List(text), "subgroup_captions": List(text), "group_captions": List(text)})


def without(dataset, style: str):
    """Return the dataset without a style AND without its sisters, which hold the same drawings."""
    gone = sources.sisters(style)
    return dataset.select([i for i, name in enumerate(dataset["style"][:]) if name not in gone])


def renamed(dataset, level: str = "concept", language: str = "en", cache: str | Path | None = None):
    """Return the rows with another label: what is asked for is the concept, subgroup or group, in any language.

    Rows whose category is unknown, or made of parts and flags alone, are left out of the levels "subgroup" and "group".
    A name that two concepts share in that language gets the emoji's code points behind it.

    Raises:
        ValueError: the level or language is unknown, or emojibase-data is not there.
    """
    from datasets import ClassLabel

    if level == "concept":
        names_of, keys = words.names(language), dataset["concept"][:]
    elif level in ("group", "subgroup"):
        found = words.categories(level, language, cache)
        names_of, keys = {key: words[0] for key, words in found.items()}, dataset[level][:]
        odd = ("component", "flags", "")
        parts = {key for key, group in zip(keys, dataset["group"][:], strict=True) if group in odd}
        names_of = {key: name for key, name in names_of.items() if key in set(keys) - parts}
    else:
        raise ValueError(f"level is {level!r}; choose concept, subgroup or group")
    if not names_of:
        raise ValueError(f"there are no {level} names in language {language!r}: they come with emojibase-data; fetch "
                         "it with `clipmini data emoji --fetch`")
    order = list(names_of)
    shown = [names_of[key] for key in order]
    shown = [f"{name} ({key})" if shown.count(name) > 1 else name for key, name in zip(order, shown, strict=True)]
    place = {key: i for i, key in enumerate(order)}
    labels = [place.get(key) for key in keys]
    rows = dataset.remove_columns("label").add_column("label", labels, feature=ClassLabel(names=shown))
    return rows.select([i for i, label in enumerate(labels) if label is not None])


def preview(dataset, columns: int = 24, scale: int = sources.SIZE) -> Image.Image:
    """Return a contact sheet: a row for each style, a column for each of `columns` concepts, evenly spread."""
    styles, codes = dataset["style"][:], dataset["concept"][:]
    place = {(style, code): i for i, (style, code) in enumerate(zip(styles, codes, strict=True))}
    rows, things = list(dict.fromkeys(styles)), list(dict.fromkeys(codes))
    shared = [code for code in things if all((style, code) in place for style in rows)] or things
    step = max(1, len(shared) // columns)
    shown = shared[::step][:columns]
    margin, foot, cell = 120, 44, scale + 8
    sheet = Image.new("RGB", (margin + cell * len(shown), cell * len(rows) + foot), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for y, style in enumerate(rows):
        pen.text((8, y * cell + cell // 2), style, fill="black", font=font, anchor="lm")
        for x, code in enumerate(shown):
            if (style, code) in place:
                image = dataset[place[style, code]]["image"].resize((scale, scale))
                sheet.paste(image, (margin + x * cell + 4, y * cell + 4), image)
    name_of = {row.hex: row.name for row in words.concepts()}
    for x, code in enumerate(shown):
        text = "\n".join(_wrap(name_of[code], 13)[:3])
        pen.multiline_text((margin + x * cell + cell // 2, cell * len(rows) + 2), text, fill="black", font=font,
                           anchor="ma", align="center", spacing=1)
    return sheet


def _wrap(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)


# ---- the source ----------------------------------------------------------------------------------------
LIMITS = ("It knows the drawings and words it was trained on. It has seen no photograph, of people or of anything "
          "else; do not use it to judge any.")


@dataclass(frozen=True)
class Emoji(Source):
    """pool: the art styles there may be, () for all that are installed, with line drawings if lines; clip_art: train on
    data.clipart's pictures too; language: of the names, the first one is the labels'; hold_out_concepts: so many things
    of which no picture and no caption is trained on."""

    name: str = "emoji"
    about: str = "about 1,450 things drawn in up to sixteen art styles, with names in fourteen languages"
    templates: str = "emoji"
    limits: str = LIMITS
    pool: tuple[str, ...] = ()
    lines: bool = False
    clip_art: bool = False
    language: tuple[str, ...] = ("en",)
    hold_out_concepts: int = 0
    hold_out: str | None = option(None, "art style that is never trained on and is measured once, at the end")
    style: tuple[str, ...] = option((), "only this art style (repeatable)")

    def styles(self) -> list[str]:
        """The art styles to train on: all there are, less the held-out style and its sisters. Raises SourceError."""
        if self.hold_out and self.hold_out not in sources.STYLES:
            raise SourceError(f"no art style {self.hold_out!r} to hold out; there are {', '.join(sources.STYLES)}")
        pool = list(self.style or self.pool or sources.available_styles(lines=self.lines))
        gone = sources.sisters(self.hold_out) if self.hold_out else set()
        if (sources.sisters("system") - {"system"}) & set(pool):
            gone = gone | {"system"}  # the same drawings once, not twice
        found = [style for style in pool if style not in gone | sources.MEASURED_ALONE]
        if not found:
            raise SourceError(f"nothing is left to train on once {self.hold_out!r} is held out; "
                              "fetch more styles with `clipmini data emoji --fetch`")
        return found

    def unseen_concepts(self) -> list[str]:
        """The hex codes of the concepts that are held out: drawn with a seed of their own, the same for every run."""
        import torch

        concepts = words.concepts()
        order = torch.randperm(len(concepts), generator=torch.Generator().manual_seed(150)).tolist()
        return [concepts[i].hex for i in order[:self.hold_out_concepts]]

    def training_rows(self, size: int, seed: int, progress: bool = True):
        """Every style of `styles`, as `load` gives it, without the held-out concepts; below them the clip art."""
        gone = set(self.unseen_concepts())
        kept = [row.hex for row in words.concepts() if row.hex not in gone] if gone else None
        rows = load(self.styles(), kept, self.language, progress=progress)
        if not self.clip_art:
            return rows
        return clipart.joined(rows, clipart.split(clipart.load(progress=progress), kept_out=False))

    def held_out_rows(self, size: int):
        """The held-out style; without one, the styles asked for."""
        return load([self.hold_out] if self.hold_out else list(self.style) or None)

    def trained_on(self) -> str:
        """The styles by name, with the versions of their packages."""
        named = (f"{style} {sources.source_version(style)}" for style in self.styles())
        more = f", and clip art: {clipart.SOURCE.trained_on()}" if self.clip_art else ""
        return f"emoji in {len(self.styles())} art styles: {', '.join(named)}{more}"

    def report(self, embedder: "Embedder") -> dict[str, Question]:
        """On the held-out style: among all names, in each language, and among the names of categories."""
        if not self.hold_out or not sources.source_path(self.hold_out):
            return {}
        rows = load([self.hold_out])
        if self.hold_out_concepts:
            return self._unseen_questions(embedder, rows)
        found = {f"{self.hold_out}, one template": Question(rows),
                 f"{self.hold_out}, ensemble": Question(rows, "emoji")}
        for language in self.language:
            for level in ("concept", "subgroup", "group"):
                known = level == "concept" or words.categories(level, language)
                if known and (level, language) != ("concept", "en"):
                    renaming = renamed(rows, level, language)
                    found[f"{self.hold_out}, {level} names in {language}"] = Question(renaming, "emoji")
        return found

    def _unseen_questions(self, embedder: "Embedder", rows) -> dict[str, Question]:
        """Things never seen, among one another: by their bare name, and described by tags and subgroup too."""
        gone = set(self.unseen_concepts())
        rows = rows.select([i for i, code in enumerate(rows["concept"][:]) if code in gone])
        names = rows.features["label"].names
        described = list(names)
        for row in rows.remove_columns("image"):
            parts = dict.fromkeys([names[row["label"]], *row["subgroup_captions"][:1], *row["tags"]])
            described[row["label"]] = as_many_as_fit(parts, embedder.tokenizer)
        seen = [names[label] for label in dict.fromkeys(rows["label"][:])]
        return {f"{self.hold_out}, things never seen, {how}": Question(rows, labels=labels, candidates=seen)
                for how, labels in (("by name", names), ("described", described))}

    def seen(self, trained_on: str) -> list[str]:
        """The styles of the questions that the training had, or whose sisters it had."""
        trained = set(trained_on.replace(",", " ").split())
        asked = [self.hold_out] if self.hold_out else list(self.style) or sources.available_styles()
        return [style for style in asked if trained & sources.sisters(style)]

    def described(self) -> list[str]:
        """How many pictures of each style there are here, with authors and licences."""
        rows = load(list(self.style) or sources.available_styles(lines=True))
        count = rows["style"][:].count
        lines = [f"{len(rows):,} pictures of {len(rows.features['label'].names):,} concepts"]
        for p in sources.PACKAGES:
            here = f"{count(p.style):,} pictures" if count(p.style) else "not here" if p.style else ""
            lines.append(f"  {p.style or '(words)':<18} {here:<15} {p.what}; {p.package} ({p.installer}), {p.author}, "
                         f"{p.licence}")
        return lines

    def preview(self) -> Image.Image:
        """A row for each style."""
        return preview(load(list(self.style) or sources.available_styles(lines=True)))

    def packages(self, trained_on: str | None = None) -> tuple[Package, ...]:
        """All, or the words' and those of the styles that were trained on."""
        if trained_on is None:
            return sources.PACKAGES
        absent = set() if words.emojibase("en") else {"emojibase-data"}
        used = set(trained_on.replace(",", " ").split())
        return tuple(p for p in (*sources.PACKAGES, clipart.PACKAGE_ROW)
                     if p.package not in absent and (not p.style or p.style in used))

    def fetch(self) -> str:
        """Install the npm packages: eleven art styles, tags and categories."""
        try:
            found = sources.fetch_npm()
        except RuntimeError as error:
            raise SourceError(str(error)) from error
        lines = [f"fetched into {found.folder}: " + ", ".join(f"{n} {version}" for n, version in found.here.items())]
        lines += [f"not renewed, so as it was: {n} {found.here[n]} ({why})" for n, why in found.older.items()]
        return "\n".join([*lines, *(f"not to be had, so left out: {n} ({why})" for n, why in found.missing.items())])


def as_many_as_fit(parts, tokenizer) -> str:
    """Words joined by commas, the first ones, as many as the context holds."""
    text = ""
    for part in parts:
        longer = f"{text}, {part}" if text else part
        if len(tokenizer.encode(longer)) + 2 > tokenizer.context_length:
            break
        text = longer
    return text


EMOJI = Emoji()
EMOJI_PIP = replace(EMOJI, name="emoji-pip", about="the two art styles that pip brings", pool=("openmoji", "twemoji"))
