"""The map's canvas as a component, and what it is told: points, places, marks; each as JSON."""

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import gradio as gr
from PIL import Image

from clipmini.tasks.maps.folder import CELL, COLUMNS, EmbeddingMap, read
from demo_app.texts import TEXTS, say

HERE = Path(__file__).parent
SCRIPT = "\n".join((HERE / "js" / f"{part}.js").read_text(encoding="utf-8")
                   for part in ("data", "view", "draw", "hands", "lists"))
STYLE, TEMPLATE = ((HERE / f"map.{kind}").read_text(encoding="utf-8") for kind in ("css", "html"))
WORDS = ("pictures", "texts", "picture", "word", "other_groups", "said_start", "said_near", "said_pictures", "said_box",
         "said_none", "seen", "canvas", "in", "out", "home", "box", "thumbs", "shapes", "cosine", "name", "near")
NO_MARKS = '{"near": []}'


@dataclass(frozen=True)
class Opened:
    """A map, its thumbnails as a data address, and whether its pictures are a visitor's own."""

    found: EmbeddingMap
    sprite: str
    own: bool = False


def data_address(webp: bytes) -> str:
    """A picture as an address that a page can show without a request."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def as_address(image: Image.Image) -> str:
    """A PIL image as such an address."""
    buffer = BytesIO()
    image.save(buffer, "webp", quality=82)
    return data_address(buffer.getvalue())


@lru_cache(maxsize=4)
def opened(path: Path) -> Opened:
    """Read a map folder once. Raises CheckpointError."""
    found = read(path)
    return Opened(found, data_address((path / "thumbnails.webp").read_bytes()))


def component(lang: str, elem_id: str = "map-view", visible: bool = True) -> gr.HTML:
    """The canvas, empty."""
    return gr.HTML("", html_template=TEMPLATE, css_template=STYLE, js_on_load=SCRIPT, elem_id=elem_id, xy="", marks="",
                   by="group", words=words(lang), visible=visible)


def words(lang: str) -> str:
    """What the canvas says, in a language."""
    return json.dumps({key: say(lang, f"map_js_{key}") for key in WORDS})


def group_name(lang: str, group: str) -> str:
    """A group in the visitor's language; groups of strangers are called as they are."""
    return TEXTS[lang].get(f"map_js_group_{group}", group)


def points(o: Opened, lang: str, still: bool = False) -> str:
    """What the canvas needs besides the places; still: a click asks nothing."""
    found = o.found
    counts = {group: found.groups.count(group) for group in dict.fromkeys(found.groups)}
    groups = sorted(counts, key=lambda group: -counts[group])  # the largest get the colours, where there are too few
    number = {name: i for i, name in enumerate(groups)}
    titles = {name: {level: [(t.x, t.y, t.zh if lang == "zh" else t.en) for t in parts]
                     for level, parts in levels.items()} for name, levels in found.titles.items()}
    return json.dumps({"pictures": found.pictures, "names": found.names, "own": o.own, "still": still,
                       "groups": [group_name(lang, group) for group in groups], "titles": titles,
                       "group": [number[g] for g in found.groups], "cell": CELL, "columns": COLUMNS,
                       "sprite": o.sprite})


def map_name(kind: str, gap: bool) -> str:
    """The key in EmbeddingMap.maps of what a visitor chose."""
    return kind if gap else f"{kind} without gap"


def places(o: Opened, name: str) -> str:
    """Where the points are in one of the maps."""
    return json.dumps({"name": name, "places": [[round(v, 4) for v in xy] for xy in o.found.maps[name].tolist()]})


def marks(near: list[int] | None = None, **more) -> str:
    """Which points stand out; without arguments, none. more: cosines (point -> number), query (where the cross of a
    search is), label and thumb (what it is called, how it looks), own (the point that was clicked), what, note (said
    above the list)."""
    return json.dumps({"near": near or [], **more})


def drawn(o: Opened, name: str, by: str, lang: str, still: bool = False, marks: str = NO_MARKS) -> gr.HTML:
    """The canvas with one of the maps on it."""
    return gr.HTML(points(o, lang, still), xy=places(o, name), marks=marks, by=by, words=words(lang))
