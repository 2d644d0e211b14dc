"""The tab with the map: thousands of pictures and words as points, neighbours near each other."""

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import gradio as gr

from clipmini.embedder import assets_folder
from clipmini.image import open_image
from clipmini.tasks.prompts import clean_labels
from demo_app.parts import LIMITS, Page, friendly_errors, gpu, picture_input
from demo_app.texts import TEXTS, say

NEAR = 12  # neighbours that are listed
SCRIPT = (Path(__file__).parent / "map.js").read_text(encoding="utf-8")
TEMPLATE = """<div class="cm-map"><div class="cm-map-stage"><canvas tabindex="0" role="img" aria-label="map"></canvas>
<div class="cm-map-tip"><canvas width="64" height="64"></canvas><span></span></div></div>
<div class="cm-map-bar"><label><input type="checkbox" class="cm-map-box"> ${box}</label>
<button type="button" class="cm-map-home">${home}</button></div><div class="cm-map-legend"></div></div>"""
STYLE = """
.cm-map-stage { position: relative; }
.cm-map-stage > canvas { width: 100%; height: 560px; display: block; touch-action: none; cursor: crosshair;
  border: 1px solid var(--border-color-primary); border-radius: 8px; background: var(--background-fill-primary); }
.cm-map-tip { display: none; position: absolute; pointer-events: none; gap: 8px; align-items: center; max-width: 190px;
  padding: 6px; border-radius: 8px; background: var(--background-fill-primary); border: 1px solid var(--border-color-primary);
  box-shadow: 0 2px 8px rgba(0, 0, 0, .25); font-size: 13px; }
.cm-map-bar { display: flex; gap: 16px; align-items: center; margin: 6px 0; font-size: 13px; }
.cm-map-bar button, .cm-map-legend button { border: 1px solid var(--border-color-primary); border-radius: 12px; padding: 2px 10px;
  background: none; font-size: 12px; color: inherit; }
.cm-map-legend { display: flex; flex-wrap: wrap; gap: 6px; }
.cm-map-legend i { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 6px; }
.cm-map-legend button[aria-pressed="false"] { opacity: .4; text-decoration: line-through; }
"""


@dataclass(frozen=True)
class Opened:
    """found: a mapfolder.MapFolder; sprite: its thumbnails as a data address."""

    found: object
    sprite: str


def map_path(model: str) -> Path:
    """Where the map of a model is, if it has one."""
    return assets_folder() / "maps" / Path(model).name


@lru_cache(maxsize=4)
def opened(path: Path) -> Opened:
    """Read a map folder once. Raises CheckpointError."""
    from clipmini.tasks.mapfolder import read

    data = base64.b64encode((path / "thumbnails.webp").read_bytes()).decode() if path.is_dir() else ""
    return Opened(read(path), f"data:image/webp;base64,{data}")


def points(path: Path, by: str) -> str:
    """What the canvas needs besides the places, as JSON."""
    from clipmini.tasks.mapfolder import CELL, COLUMNS

    o = opened(path)
    groups = list(dict.fromkeys(o.found.groups))
    number = {name: i for i, name in enumerate(groups)}
    return json.dumps({"pictures": o.found.pictures, "names": o.found.names, "groups": groups, "by": by,
                       "group": [number[g] for g in o.found.groups], "cell": CELL, "columns": COLUMNS, "sprite": o.sprite})


def places(path: Path, kind: str, gap: bool) -> str:
    """The places in one of the maps, as JSON."""
    return json.dumps(opened(path).found.maps[kind + " without gap" * (not gap)].tolist())


def neighbours(path: Path, vector, kind: str, gap: bool, own: int | None = None) -> tuple[list, list, str]:
    """The nearest pictures, and half as many words, of a unit vector (E,) -> (thumbnails for a gr.Gallery, rows for a table,
    marks as JSON). Searched apart, for the modality gap makes every word nearer to words than to any picture."""
    from clipmini.tasks import atlas

    found, near, cosines = opened(path).found, [], {}
    for first, end, most in ((0, found.pictures, NEAR), (found.pictures, len(found.names), NEAR // 2)):
        nearest = atlas.nearest(vector[None], found.vectors[first:end], min(most + 1, end - first))
        indices, distances = (t[0].tolist() for t in nearest)
        named = {first + i: 1 - d for i, d in zip(indices, distances, strict=True) if first + i != own}
        near += list(named)[:most]
        cosines |= named
    place = None if own is not None else \
        atlas.place(vector[None], found.vectors, found.maps[kind + " without gap" * (not gap)])[0].tolist()
    return (*listed(path, near, cosines), json.dumps({"near": near + ([own] if own is not None else []), "query": place}))


def listed(path: Path, near: list[int], cosines: dict[int, float]) -> tuple[list, list]:
    """Points as (thumbnails, rows of name, group, cosine)."""
    found = opened(path).found
    gallery = [(found.thumbnail(i), found.names[i]) for i in near[:60] if i < found.pictures]
    return gallery, [[found.names[i], "▣" if i < found.pictures else "T", found.groups[i],
                      f"{cosines[i]:.3f}" if i in cosines else ""] for i in near[:200]]


def build(page: Page) -> None:
    """Draw the tab and connect it; nothing is read before a visitor opens it."""
    word, lang = page.word, page.lang or "en"
    path = map_path(page.model.name)
    with gr.Tab(word("tab_map"), id="map-tab") as tab:
        gr.Markdown(word("map_about") if (path / "points.json").is_file() else word("no_map"))
        if not (path / "points.json").is_file():
            return
        with gr.Row(equal_height=False, elem_classes="cm-columns"):
            with gr.Column(scale=7, min_width=300):
                view = gr.HTML("", html_template=TEMPLATE, css_template=STYLE, js_on_load=SCRIPT, elem_id="map-view", xy="",
                               marks="", words=json.dumps({k: say(lang, k) for k in ("pictures", "texts")}),
                               box=say(lang, "map_box"), home=say(lang, "map_home"))
            with gr.Column(scale=4, min_width=280):
                kind = gr.Radio([("UMAP", "umap"), ("PCA", "pca")], value="umap", label=word("map_kind"), elem_id="map-kind")
                gap = gr.Checkbox(True, label=word("map_gap"), info=word("map_gap_info"), elem_id="map-gap")
                by = gr.Radio([(word("map_by_group"), "group"), (word("map_by_kind"), "kind")], value="group",
                              label=word("map_by"), elem_id="map-by")
                query = gr.Textbox(label=word("map_search"), placeholder="something to eat", elem_id="map-query", max_lines=1)
                picture = picture_input(word("map_place"), "map-picture")
                gallery = gr.Gallery(label=word("map_near"), columns=4, height=260, interactive=False, allow_preview=False,
                                     elem_id="map-gallery", buttons=[])
                table = gr.Dataframe(headers=[say(lang, "map_name"), " ", say(lang, "map_group"), say(lang, "cosine")],
                                     interactive=False, max_height=300, elem_id="map-table", show_label=False, wrap=True)
                gap_said = gr.Markdown(elem_id="map-gap-said")
    _connect(page, path, tab, view, (kind, gap, by, query, picture), (gallery, table, gap_said))


def _connect(page: Page, path: Path, tab, view, controls, results) -> None:
    kind, gap, by, query, picture = controls
    gallery, table, gap_said = results
    private = {"api_visibility": "private"}

    def show(kind: str, gap: bool, by: str, request: gr.Request):
        with friendly_errors(page.language(request)):
            found = opened(path).found
            return gr.HTML(points(path, by), xy=places(path, kind, gap)), gap_sentence(found, page.language(request))

    def move(kind: str, gap: bool):
        return gr.HTML(xy=places(path, kind, gap), marks=json.dumps({"near": [], "query": None}))

    @gpu
    def search_map(text: str, kind: str, gap: bool, request: gr.Request):
        """The points of the map that are nearest to a text: thumbnails, and a table of names, groups and cosines."""
        with friendly_errors(page.language(request)):
            text = clean_labels([text], limit=1).labels[0]
            vector = page.model.get().embed_texts([text], truncate=True)[0]
            near, rows, marks = neighbours(path, vector, kind, gap)
        return near, rows, gr.HTML(marks=marks)

    @gpu
    def place_picture(file: str | None, kind: str, gap: bool, request: gr.Request):
        if not file:
            return gr.skip(), gr.skip(), gr.skip()
        with friendly_errors(page.language(request)):
            near, rows, marks = neighbours(path, page.model.get().embed_images([open_image(file)])[0], kind, gap)
        return near, rows, gr.HTML(marks=marks)

    def pick(kind: str, gap: bool, event: gr.EventData):
        found = opened(path).found
        chosen = [i for i in event.points if isinstance(i, int) and 0 <= i < len(found.names)]
        if event.what == "box":
            return *listed(path, chosen, {}), gr.HTML(marks=json.dumps({"near": chosen, "query": None}))
        if not chosen:
            return gr.skip(), gr.skip(), gr.skip()
        near, rows, marks = neighbours(path, found.vectors[chosen[0]], kind, gap, chosen[0])
        return near, rows, gr.HTML(marks=marks)

    tab.select(show, [kind, gap, by], [view, gap_said], **private)
    by.input(show, [kind, gap, by], [view, gap_said], **private)
    gr.on([kind.input, gap.input], move, [kind, gap], view, **private)
    query.submit(search_map, [query, kind, gap], [gallery, table, view], api_name="search_map", **LIMITS)
    gr.on([picture.upload, picture.change], place_picture, [picture, kind, gap], [gallery, table, view], **private, **LIMITS)
    view.select(pick, [kind, gap], [gallery, table, view], **private)


def gap_sentence(found, lang: str) -> str:
    """How far pictures and words live apart, in words."""
    from clipmini.tasks import atlas

    images, texts = found.vectors[:found.pictures], found.vectors[found.pictures:]
    if not len(texts):
        return ""
    return TEXTS[lang]["map_gap_said"].format(before=atlas.modality_gap(images, texts),
                                              after=atlas.modality_gap(*atlas.without_gap(images, texts)))
