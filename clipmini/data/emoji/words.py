"""The concepts and what they are called: names, aliases, tags, groups, in fourteen languages."""

import functools
import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from clipmini.data.emoji import sources

MAX_TAG_OWNERS = 3             # a tag of more concepts ("face") names none of them and is no caption


@dataclass(frozen=True)
class Concept:
    """One thing that is drawn: `hex` is its code points without variation selectors, like '1f43b-200d-2744'."""

    hex: str
    emoji: str
    name: str
    aliases: tuple[str, ...]


def hex_code(emoji: str) -> str:
    """Return code points in hex, joined by '-', without U+FE0F (sources disagree on where they write it).

    >>> hex_code("\\u2764\\ufe0f")
    '2764'
    """
    return "-".join(f"{ord(char):x}" for char in emoji if char != "\ufe0f")


def squash(name: str) -> str:
    """Reduce a name to its letters and digits, so that spellings compare equal.

    >>> squash("piñata"), squash("eight-o'clock")
    ('pinata', 'eightoclock')
    """
    return re.sub("[^a-z0-9]", "", unicodedata.normalize("NFKD", name.lower()))


def clean_name(code: str, language: str = "en") -> str:
    """Turn ':Mrs._Claus:' into 'mrs. claus'; other languages keep their capitals (German nouns)."""
    name = " ".join(code.strip(":").replace("_", " ").replace("’", "'").split())
    return name.lower() if language == "en" else name


ZWJ, PERSON = "\u200d", "\U0001f9d1"
HAIR = "\U0001f9b0\U0001f9b1\U0001f9b2\U0001f9b3"
# Not what a person would write below a picture: code points, chat codes, Unicode's old descriptions, abuse.
ODD = re.compile(r"[a-z]|[+-]?\d+|u[0-9a-f]{4}|[a-z ]+\d+|lower left .*|.*vertical bar|.*black square for.*"
                 r"|.*circle for record"
                 r"|harambe|hankey|flipper|mega|mag|mag right|facepunch|iphone|fu"
                 r"|.*\b(shit|damn|hell|wtf|omg|stfu|fuck|bitch)\b.*")


def is_concept(emoji: str) -> bool:
    """Keep one emoji for each idea: no national flags, skin tones, hair, genders, families or directions.

    A neutral person with one attribute (astronaut, farmer) stays: it is no variant of another concept.
    """
    if any("\U0001f3fb" <= char <= "\U0001f3ff" or "\U0001f1e6" <= char <= "\U0001f1ff" for char in emoji):
        return False                                                   # skin tones; letters that spell flags
    if "\U000e007f" in emoji:
        return False                                                   # flags of regions
    if ZWJ not in emoji:
        return True
    parts = emoji.split(ZWJ)
    if parts[0] == PERSON:
        return len(parts) == 2 and parts[1] not in HAIR and parts[1] not in "\U0001f384\U0001f9d2"
    if set("\u2640\u2642\u26a7\U0001f468\U0001f469") & set(emoji) or parts[-1] == "\u27a1\ufe0f":
        return False
    return True


@functools.lru_cache(maxsize=1)
def concepts() -> tuple[Concept, ...]:
    """Return all concepts, ordered by code points; it depends on the `emoji` package alone."""
    from emoji import EMOJI_DATA, STATUS

    kept = {emoji: data for emoji, data in EMOJI_DATA.items()
            if data["status"] == STATUS["fully_qualified"] and is_concept(emoji)}
    names = {emoji: clean_name(data["en"]) for emoji, data in kept.items()}
    taken = {squash(clean_name(data["en"])) for data in EMOJI_DATA.values()}
    aliases = {emoji: _good_aliases(data.get("alias", ()), taken) for emoji, data in kept.items()}
    owners = [alias for found in aliases.values() for alias in found]
    rows = [Concept(hex_code(emoji), emoji, names[emoji],
                    tuple(alias for alias in aliases[emoji] if owners.count(alias) == 1)) for emoji in kept]
    return tuple(sorted(rows, key=lambda row: [int(part, 16) for part in row.hex.split("-")]))


def _good_aliases(codes, taken: set[str]) -> list[str]:
    """Drop aliases that repeat a name: for the package 'cat' is the cat's FACE too, and would mislead."""
    found = {squash(name): name for name in map(clean_name, codes) if not ODD.fullmatch(name)}
    return [name for key, name in found.items() if key and key not in taken]


def languages() -> list[str]:
    """Return the languages that names exist in."""
    from emoji import LANGUAGES

    return list(LANGUAGES)


def names(language: str) -> dict[str, str]:
    """Return {hex: name} in one language; a concept without a name there keeps its English one.

    Raises:
        ValueError: the language is unknown.
    """
    import emoji

    if language not in emoji.LANGUAGES:
        raise ValueError(f"no names in language {language!r}; there are: {', '.join(emoji.LANGUAGES)}")
    if language == "en":
        return {row.hex: row.name for row in concepts()}
    emoji.config.load_language(language)
    found = {row.hex: emoji.EMOJI_DATA[row.emoji].get(language, "") for row in concepts()}
    return {row.hex: clean_name(found[row.hex], language) or row.name for row in concepts()}


def emojibase(language: str, cache: str | Path | None = None) -> dict[str, dict]:
    """Return {hex: {tags, group, subgroup}} of emojibase-data, or {} when it or the language is not there."""
    folder = sources.npm_folder(cache, "emojibase-data")
    if not (folder / language / "data.json").is_file():
        return {}
    meta = json.loads((folder / "meta/groups.json").read_text("utf-8"))
    rows = json.loads((folder / language / "data.json").read_text("utf-8"))
    return {hex_code(row["emoji"]): {
        "label": clean_name(row["label"], language),
        "tags": [clean_name(tag, language) for tag in row.get("tags", ())],
        "group": meta["groups"].get(str(row.get("group")), ""),
        "subgroup": meta["subgroups"].get(str(row.get("subgroup")), "")} for row in rows}


def categories(level: str, language: str | tuple[str, ...] = "en",
               cache: str | Path | None = None) -> dict[str, list[str]]:
    """Return {key: phrasings} of emojibase's groups or subgroups, their name in the first language at the head.

    level: "group" (8 that hold concepts) or "subgroup" (95). {} when emojibase-data is not there.

    In English "animals & nature" is also called by its parts and in the singular, where no other category claims that
    word.
    """
    folder = sources.npm_folder(cache, "emojibase-data")
    wanted = (language,) if isinstance(language, str) else tuple(language)
    found: dict[str, dict[str, None]] = {}
    for code in wanted:
        file = folder / code / "messages.json"
        rows = json.loads(file.read_text("utf-8"))[f"{level}s"] if file.is_file() else []
        own = {row["key"]: clean_name(row["message"], code) for row in rows}
        others = [word for name in own.values() for word in {name, *_looser(name)}] if code == "en" else []
        for key, name in own.items():
            more = [word for word in _looser(name) if others.count(word) == 1] if code == "en" else []
            found.setdefault(key, {}).update(dict.fromkeys([name, *more]))
    return {key: list(names) for key, names in found.items()}


def _looser(name: str) -> list[str]:
    """The parts of a category's name, and each in the singular.

    >>> _looser("animals & nature")
    ['animals', 'animal', 'nature']
    """
    parts = [part.strip() for part in re.split(r"[&/,]", name)]
    endings = (("ies", "y"), ("sses", "ss"), ("ss", "ss"), ("s", ""))
    single = [next((part.removesuffix(end) + new for end, new in endings if part.endswith(end)), part)
              for part in parts]
    return list(dict.fromkeys(word for pair in zip(parts, single, strict=True) for word in pair))


def phrasings(language: str | tuple[str, ...] = "en", cache: str | Path | None = None) -> dict[str, list[str]]:
    """Return {hex: distinct plain phrasings}, the name in the first language at the head.

    Tags are phrasings only where at most MAX_TAG_OWNERS concepts carry them; all tags are in column tags.
    """
    wanted = (language,) if isinstance(language, str) else tuple(language)
    out: dict[str, dict[str, str]] = {row.hex: {} for row in concepts()}  # the inner ones keep order and drop repeats
    for code in wanted:
        for row_hex, name in names(code).items():
            out[row_hex].setdefault(squash(name) or name, name)
    for code in wanted:
        for row_hex, more in _more_phrasings(code, cache).items():
            for name in more:
                out[row_hex].setdefault(squash(name) or name, name)
    return {row_hex: list(found.values()) for row_hex, found in out.items()}


def _more_phrasings(language: str, cache) -> dict[str, list[str]]:
    """Aliases (English only), then emojibase's label and its rare tags that are not another concept's name."""
    base = emojibase(language, cache)
    taken = set(names(language).values())
    owners: dict[str, int] = {}
    for row in concepts():
        for tag in base.get(row.hex, {}).get("tags", ()):
            owners[tag] = owners.get(tag, 0) + 1
    out = {}
    for row in concepts():
        entry = base.get(row.hex, {"tags": (), "label": ""})
        known = set(row.name.split())                                  # "way" for the milky way adds nothing
        rare = [tag for tag in entry["tags"] if owners[tag] <= MAX_TAG_OWNERS and tag not in taken
                and not ODD.fullmatch(tag) and not known.issuperset(tag.split())]
        label = [entry["label"]] if entry["label"] and entry["label"] not in taken else []
        out[row.hex] = [*(row.aliases if language == "en" else ()), *label, *rare]
    return out
