"""The map's canvas as a component, and what it is told: points, places, marks; each as JSON."""

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import gradio as gr

from clipmini.embedder import assets_folder
from clipmini.tasks.maps.folder import CELL, COLUMNS, EmbeddingMap, read
from demo_app.texts import say

HERE = Path(__file__).parent
SCRIPT, STYLE, TEMPLATE = ((HERE / f"map.{kind}").read_text(encoding="utf-8") for kind in ("js", "css", "html"))


@dataclass(frozen=True)
class Opened:
    """A map and its thumbnails as a data address."""

    found: EmbeddingMap
    sprite: str


def map_path(model: str) -> Path:
    """Where the map of a model is, if it has one."""
    return assets_folder() / "maps" / Path(model).name


def data_address(webp: bytes) -> str:
    """A picture as an address that a page can show without a request."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


@lru_cache(maxsize=4)
def opened(path: Path) -> Opened:
    """Read a map folder once. Raises CheckpointError."""
    found = read(path)
    return Opened(found, data_address((path / "thumbnails.webp").read_bytes()))


def component(lang: str) -> gr.HTML:
    """The canvas, empty."""
    return gr.HTML("", html_template=TEMPLATE, css_template=STYLE, js_on_load=SCRIPT, elem_id="map-view", xy="",
                   marks="", words=json.dumps({k: say(lang, k) for k in ("pictures", "texts")}),
                   box=say(lang, "map_box"), home=say(lang, "map_home"))


def points(o: Opened, by: str) -> str:
    """What the canvas needs besides the places."""
    groups = list(dict.fromkeys(o.found.groups))
    number = {name: i for i, name in enumerate(groups)}
    return json.dumps({"pictures": o.found.pictures, "names": o.found.names, "groups": groups, "by": by,
                       "group": [number[g] for g in o.found.groups], "cell": CELL, "columns": COLUMNS,
                       "sprite": o.sprite})


def map_name(kind: str, gap: bool) -> str:
    """The key in EmbeddingMap.maps of what a visitor chose."""
    return kind if gap else f"{kind} without gap"


def places(o: Opened, name: str) -> str:
    """Where the points are in one of the maps."""
    return json.dumps(o.found.maps[name].tolist())


def marks(near: list[int] | None = None, query: list[float] | None = None) -> str:
    """Which points stand out, and where the cross of a search is; without arguments, nothing."""
    return json.dumps({"near": near or [], "query": query})


def drawn(o: Opened, name: str, by: str) -> gr.HTML:
    """The canvas with one of the maps on it."""
    return gr.HTML(points(o, by), xy=places(o, name), marks=marks())
