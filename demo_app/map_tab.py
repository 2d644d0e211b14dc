"""The tab with the map: thousands of pictures and words as points, neighbours near each other."""

import base64
import io
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import gradio as gr

from clipmini.embedder import assets_folder
from clipmini.image import ENDINGS, open_image
from clipmini.tasks.prompts import clean_labels
from demo_app.parts import LIMITS, Page, friendly_errors, gpu, picture_input
from demo_app.texts import TEXTS, say

NEAR = 12  # neighbours that are listed
MOST_OWN = 500  # pictures of a visitor on a map
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


FILM = "film"  # assets/maps/film: how a model learned, step by step


def map_path(model: str) -> Path:
    """Where the map of a model is, if it has one."""
    return assets_folder() / "maps" / Path(model).name


@lru_cache(maxsize=4)
def opened(path: Path) -> Opened:
    """Read a map folder once. Raises CheckpointError."""
    from clipmini.tasks.maps.folder import read

    data = base64.b64encode((path / "thumbnails.webp").read_bytes()).decode() if path.is_dir() else ""
    return Opened(read(path), f"data:image/webp;base64,{data}")


def points(o: Opened, by: str) -> str:
    """What the canvas needs besides the places, as JSON."""
    from clipmini.tasks.maps.folder import CELL, COLUMNS

    groups = list(dict.fromkeys(o.found.groups))
    number = {name: i for i, name in enumerate(groups)}
    return json.dumps({"pictures": o.found.pictures, "names": o.found.names, "groups": groups, "by": by,
                       "group": [number[g] for g in o.found.groups], "cell": CELL, "columns": COLUMNS, "sprite": o.sprite})


def places(o: Opened, kind: str, gap: bool) -> str:
    """The places in one of the maps, as JSON."""
    return json.dumps(o.found.maps[kind + " without gap" * (not gap)].tolist())


def neighbours(o: Opened, vector, kind: str, gap: bool, own: int | None = None) -> tuple[list, list, str]:
    """The nearest pictures, and half as many words, of a unit vector (E,) -> (thumbnails for a gr.Gallery, rows for a table,
    marks as JSON). Searched apart, for the modality gap makes every word nearer to words than to any picture."""
    from clipmini.tasks.maps import projection as atlas

    found, near, cosines = o.found, [], {}
    for first, end, most in ((0, found.pictures, NEAR), (found.pictures, len(found.names), NEAR // 2)):
        if first == end:
            continue
        nearest = atlas.nearest(vector[None], found.vectors[first:end], min(most + 1, end - first))
        indices, distances = (t[0].tolist() for t in nearest)
        named = {first + i: 1 - d for i, d in zip(indices, distances, strict=True) if first + i != own}
        near += list(named)[:most]
        cosines |= named
    place = None if own is not None else \
        atlas.place(vector[None], found.vectors, found.maps[kind + " without gap" * (not gap)])[0].tolist()
    return (*listed(o, near, cosines), json.dumps({"near": near + ([own] if own is not None else []), "query": place}))


def listed(o: Opened, near: list[int], cosines: dict[int, float]) -> tuple[list, list]:
    """Points as (thumbnails, rows of name, kind, group, cosine)."""
    found = o.found
    gallery = [(found.thumbnail(i), found.names[i]) for i in near[:60] if i < found.pictures]
    return gallery, [[found.names[i], "▣" if i < found.pictures else "T", found.groups[i],
                      f"{cosines[i]:.3f}" if i in cosines else ""] for i in near[:200]]


def own_map(page: Page, files: list[str] | None, lang: str):
    """A map of a visitor's pictures, twice: by PCA at once, then by UMAP where it is installed. Yields Opened."""
    from clipmini.tasks.maps.folder import gather, with_umap

    with friendly_errors(lang):
        if not files or len(files) > MOST_OWN:
            raise ValueError(say(lang, "own_count", n=len(files or []), limit=MOST_OWN))
        names = [Path(file).stem.replace("_", " ") for file in files]
        found = gather(page.model.get(), files, names)
        buffer = io.BytesIO()
        found.thumbnails.save(buffer, "webp", quality=82)
        sprite = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
        yield Opened(found, sprite)
        if find_spec("umap") is not None:
            yield Opened(with_umap(found), sprite)


def build(page: Page) -> None:
    """Draw the tab and connect it; nothing is read before a visitor opens it."""
    word, lang = page.word, page.lang or "en"
    path = map_path(page.model.name)
    there = (path / "points.json").is_file()
    with gr.Tab(word("tab_map"), id="map-tab") as tab:
        gr.Markdown(word("map_about") if there else word("no_map"))
        with gr.Row(equal_height=False, elem_classes="cm-columns"):
            with gr.Column(scale=7, min_width=300):
                view = gr.HTML("", html_template=TEMPLATE, css_template=STYLE, js_on_load=SCRIPT, elem_id="map-view", xy="",
                               marks="", words=json.dumps({k: say(lang, k) for k in ("pictures", "texts")}),
                               box=say(lang, "map_box"), home=say(lang, "map_home"))
                said = gr.Markdown(elem_id="map-said")
                film_path = map_path(FILM)
                filmed = there and (film_path / "points.json").is_file()
                with gr.Accordion(word("film"), open=False, visible=filmed):
                    gr.Markdown(word("film_about"))
                    moment = gr.Slider(0, 1, value=0, step=1, label=word("film_step"), elem_id="film-step", interactive=True)
                    play = gr.Button(word("film_show"), elem_id="film-go")
                with gr.Accordion(word("own_map"), open=not there):
                    files = gr.File(label=word("pictures"), file_count="multiple", file_types=list(ENDINGS), type="filepath",
                                    elem_id="own-files", height=140)
                    with gr.Row():
                        make = gr.Button(word("own_make"), variant="primary", elem_id="own-go")
                        back = gr.Button(word("own_back"), elem_id="own-back", visible=there)
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
        mine = gr.State(None, time_to_live=3600)  # a visitor's own map
    _connect(page, path if there else None, tab, view, (mine, kind, gap, by, query, picture), (gallery, table, gap_said))
    if filmed:
        _connect_film(page, film_path, view, (moment, play), (mine, by), (gap_said, said))
    _connect_own(page, path if there else None, view, (files, make, back, said), (mine, kind, gap, by), gap_said)


def drawn(o: Opened, kind: str, gap: bool, by: str, lang: str) -> tuple:
    """(the canvas with this map on it, the sentence about the gap)"""
    fresh = json.dumps({"near": [], "query": None})
    return gr.HTML(points(o, by), xy=places(o, kind, gap), marks=fresh), gap_sentence(o.found, lang)


def _connect(page: Page, path: Path | None, tab, view, controls, results) -> None:
    mine, kind, gap, by, query, picture = controls
    gallery, table, gap_said = results
    private = {"api_visibility": "private"}
    nothing = gr.skip(), gr.skip(), gr.skip()

    def current(mine) -> Opened | None:
        return mine if mine is not None else opened(path) if path else None

    def show(mine, kind: str, gap: bool, by: str, request: gr.Request):
        with friendly_errors(page.language(request)):
            o = current(mine)
            return drawn(o, kind, gap, by, page.language(request)) if o else (gr.skip(), gr.skip())

    def move(mine, kind: str, gap: bool):
        o = current(mine)
        return gr.HTML(xy=places(o, kind, gap), marks=json.dumps({"near": [], "query": None})) if o else gr.skip()

    def answer(o: Opened | None, vector, kind: str, gap: bool, own: int | None = None):
        if o is None:
            return nothing
        near, rows, marks = neighbours(o, vector, kind, gap, own)
        return near, rows, gr.HTML(marks=marks)

    @gpu
    def search_map(text: str, mine, kind: str, gap: bool, request: gr.Request):
        """The points of the map that are nearest to a text: thumbnails, and a table of names, groups and cosines."""
        with friendly_errors(page.language(request)):
            text = clean_labels([text], limit=1).labels[0]
            return answer(current(mine), page.model.get().embed_texts([text], truncate=True)[0], kind, gap)

    @gpu
    def place_picture(file: str | None, mine, kind: str, gap: bool, request: gr.Request):
        if not file:
            return nothing
        with friendly_errors(page.language(request)):
            return answer(current(mine), page.model.get().embed_images([open_image(file)])[0], kind, gap)

    def pick(mine, kind: str, gap: bool, event: gr.EventData):
        o = current(mine)
        chosen = [i for i in event.points if isinstance(i, int) and 0 <= i < len(o.found.names)] if o else []
        if event.what == "box":
            return *listed(o, chosen, {}), gr.HTML(marks=json.dumps({"near": chosen, "query": None}))
        return answer(o, o.found.vectors[chosen[0]], kind, gap, chosen[0]) if chosen else nothing

    tab.select(show, [mine, kind, gap, by], [view, gap_said], **private)
    by.input(show, [mine, kind, gap, by], [view, gap_said], **private)
    gr.on([kind.input, gap.input], move, [mine, kind, gap], view, **private)
    query.submit(search_map, [query, mine, kind, gap], [gallery, table, view], **private, **LIMITS)
    gr.on([picture.upload, picture.change], place_picture, [picture, mine, kind, gap], [gallery, table, view], **private,
          **LIMITS)
    view.select(pick, [mine, kind, gap], [gallery, table, view], **private)


def _connect_own(page: Page, path: Path | None, view, parts, controls, gap_said) -> None:
    files, make, back, said = parts
    mine, kind, gap, by = controls
    private = {"api_visibility": "private"}

    @gpu
    def map_own(files: list[str] | None, kind: str, gap: bool, by: str, request: gr.Request):
        lang, steps = page.language(request), ("own_pca", "own_umap")
        for step, o in zip(steps, own_map(page, files, lang), strict=False):
            yield o, *drawn(o, kind, gap, by, lang), say(lang, step, n=o.found.pictures)

    def go_back(kind: str, gap: bool, by: str, request: gr.Request):
        return None, *drawn(opened(path), kind, gap, by, page.language(request)), ""

    def warm() -> None:  # while the visitor still looks at the files
        from clipmini.tasks.maps import projection as atlas

        if find_spec("umap") is not None and not atlas.is_warm():
            atlas.warm_up()

    files.upload(warm, None, None, **private)
    make.click(map_own, [files, kind, gap, by], [mine, view, gap_said, said], **private, **LIMITS)
    back.click(go_back, [kind, gap, by], [mine, view, gap_said, said], **private)


def _connect_film(page: Page, path: Path, view, parts, controls, results) -> None:
    moment, play = parts
    mine, by = controls
    gap_said, said = results
    private = {"api_visibility": "private"}

    def start(by: str, request: gr.Request):
        with friendly_errors(page.language(request)):
            o = opened(path)
            steps, fresh = o.found.steps, json.dumps({"near": [], "query": None})
            first = gr.HTML(points(o, by), xy=json.dumps(o.found.maps[f"step {steps[0]}"].tolist()), marks=fresh)
        return o, first, "", step_sentence(o, 0, page.language(request)), gr.Slider(0, len(steps) - 1, value=0)

    def seek(number: int, request: gr.Request):
        o = opened(path)
        steps = o.found.steps
        number = min(max(int(number), 0), len(steps) - 1)
        places_then = json.dumps(o.found.maps[f"step {steps[number]}"].tolist())
        return gr.HTML(xy=places_then), step_sentence(o, number, page.language(request))

    play.click(start, by, [mine, view, gap_said, said, moment], **private)
    moment.input(seek, moment, [view, said], trigger_mode="always_last", **private)


def step_sentence(o: Opened, number: int, lang: str) -> str:
    """Which step of the training is shown."""
    return say(lang, "film_said", step=o.found.steps[number], last=o.found.steps[-1])


def gap_sentence(found, lang: str) -> str:
    """How far pictures and words live apart, in words."""
    from clipmini.tasks.maps import projection as atlas

    images, texts = found.vectors[:found.pictures], found.vectors[found.pictures:]
    if not len(texts):
        return ""
    return TEXTS[lang]["map_gap_said"].format(before=atlas.modality_gap(images, texts),
                                              after=atlas.modality_gap(*atlas.without_gap(images, texts)))
