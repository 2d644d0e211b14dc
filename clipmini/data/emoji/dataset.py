"""The emoji as a pairs dataset."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from clipmini.data.emoji.art import open_style
from clipmini.data.emoji.sources import SIZE, STYLES, available_styles, remedy, sisters
from clipmini.data.emoji.words import ODD, categories, concepts, emojibase, names, phrasings


def _check_styles(styles, cache) -> list[str]:
    """Return the list of styles asked for, or raise with what there is and how to get the rest."""
    there = available_styles(cache)
    wanted = there if styles is None else [styles] if isinstance(styles, str) else list(styles)
    bad = [style for style in wanted if style not in there]
    if bad or not wanted:
        ways: dict[str, list[str]] = {}
        for style in STYLES:
            if style not in there:
                ways.setdefault(remedy(style), []).append(style)
        missing = "; ".join(f"{', '.join(found)}: {way}" for way, found in ways.items())
        raise ValueError(f"emoji style {bad} is not here; available: {', '.join(there) or 'none'}. "
                         f"To get the others: {missing or 'all others are here'}.")
    return list(dict.fromkeys(wanted))


def _check_concepts(wanted) -> set[str]:
    """Return the hex codes of concepts given as hex codes, names or characters."""
    table = {key: row.hex for row in concepts() for key in (row.emoji, row.name, row.hex)}
    found = {word: table.get(word) or table.get(word.lower()) for word in wanted}
    unknown = [word for word, code in found.items() if code is None]
    if unknown:
        raise ValueError(f"no emoji concept called {', '.join(map(repr, unknown[:5]))}; "
                         "give names or hex codes as in clipmini.data.emoji.concepts()")
    return set(found.values())


def load(styles=None, concepts=None, language="en", cache=None, progress=True):
    """Return the emoji as a pairs dataset, one row for each picture.

    Args:
        styles: art styles (str or list); None means all of `available_styles()`.
        concepts: names or hex codes to keep; None means all. The label list stays the full one.
        language: language of the names, or several: ("en", "zh") gives both, English first.
        cache: folder for what is built once; default see `cache_root`.
        progress: show a bar while a style is drawn (once, some seconds).

    Returns:
        Dataset with columns image (RGBA PNG, 72x72), captions (list of str, first the plain name), label
        (ClassLabel over English names, the same for each style), style, concept (hex), emoji, group,
        subgroup ("" when not known), tags (list of str), and what is true of other concepts too: tag_captions,
        subgroup_captions and group_captions (lists of str, in all the languages). Images are memory-mapped from the cache.

    Raises:
        ValueError: an unknown style, concept or language; the message lists what there is.
    """
    import datasets

    wanted = _check_styles(styles, cache)
    keep = _check_concepts([concepts] if isinstance(concepts, str) else concepts) if concepts is not None else None
    words = _words(language, cache)
    parts = [open_style(style, cache, progress) for style in wanted]
    codes = [code for part in parts for code in part["concept"][:]]
    owner = [style for style, part in zip(wanted, parts, strict=True) for _ in range(len(part))]
    table = datasets.Dataset.from_dict(
        {"style": owner, **{key: [words[code][key] for code in codes] for key in words[codes[0]]}},
        features=_text_features())
    pictures = datasets.concatenate_datasets(parts)
    rows = datasets.concatenate_datasets([pictures, table], axis=1)
    rows = rows.select_columns(["image", "captions", "label", "style", "concept", "emoji", "group", "subgroup",
                                "tags", "tag_captions", "subgroup_captions", "group_captions"])
    return rows if keep is None else rows.select([i for i, code in enumerate(codes) if code in keep])


def _words(language, cache) -> dict[str, dict]:
    """Return {hex: the text columns of that concept}."""
    captions = phrasings(language, cache)
    first = language if isinstance(language, str) else language[0]
    spoken = [emojibase(code, cache) for code in ([language] if isinstance(language, str) else language)]
    groups, tags = emojibase("en", cache), emojibase(first, cache)
    named = {level: categories(level, language, cache) for level in ("group", "subgroup")}
    where = {row.hex: {level: groups.get(row.hex, {}).get(level, "") for level in named} for row in concepts()}
    return {row.hex: {
        "captions": captions[row.hex], "label": i, "emoji": row.emoji, **where[row.hex],
        **{f"{level}_captions": named[level].get(where[row.hex][level], []) for level in named},
        "tags": tags.get(row.hex, {}).get("tags", []),
        "tag_captions": [tag for base in spoken for tag in base.get(row.hex, {}).get("tags", []) if not ODD.fullmatch(tag)],
    } for i, row in enumerate(concepts())}


def _text_features():
    from datasets import ClassLabel, Features, List, Value

    text = Value("string")
    return Features({"style": text, "captions": List(text), "label": ClassLabel(names=[row.name for row in concepts()]),
                     "emoji": text, "group": text, "subgroup": text, "tags": List(text),
                     "tag_captions": List(text), "subgroup_captions": List(text), "group_captions": List(text)})


def without(dataset, style: str):
    """Return the dataset without a style AND without its sisters, which hold the same drawings."""
    gone = sisters(style)
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
        names_of, keys = names(language), dataset["concept"][:]
    elif level in ("group", "subgroup"):
        found = categories(level, language, cache)
        names_of, keys = {key: words[0] for key, words in found.items()}, dataset[level][:]
        parts = {key for key, group in zip(keys, dataset["group"][:], strict=True) if group in ("component", "flags", "")}
        names_of = {key: name for key, name in names_of.items() if key in set(keys) - parts}
    else:
        raise ValueError(f"level is {level!r}; choose concept, subgroup or group")
    if not names_of:
        raise ValueError(f"there are no {level} names in language {language!r}: they come with emojibase-data; fetch it with "
                         "`clipmini data emoji --fetch`")
    order = list(names_of)
    shown = [names_of[key] for key in order]
    shown = [f"{name} ({key})" if shown.count(name) > 1 else name for key, name in zip(order, shown, strict=True)]
    place = {key: i for i, key in enumerate(order)}
    labels = [place.get(key) for key in keys]
    rows = dataset.remove_columns("label").add_column("label", labels, feature=ClassLabel(names=shown))
    return rows.select([i for i, label in enumerate(labels) if label is not None])


def preview(dataset, columns: int = 24, scale: int = SIZE) -> Image.Image:
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
    name_of = {row.hex: row.name for row in concepts()}
    for x, code in enumerate(shown):
        text = "\n".join(_wrap(name_of[code], 13)[:3])
        pen.multiline_text((margin + x * cell + cell // 2, cell * len(rows) + 2), text, fill="black", font=font,
                           anchor="ma", align="center", spacing=1)
    return sheet


def _wrap(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)
