"""The tab with the map: thousands of pictures and words as points, neighbours near each other."""

import io
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import gradio as gr
from torch import Tensor

from clipmini.image import ENDINGS, open_image
from clipmini.tasks.maps import projection
from clipmini.tasks.maps.folder import EmbeddingMap, gather, with_umap
from clipmini.tasks.prompts import clean_labels
from demo_app.map import canvas
from demo_app.map.canvas import Opened, drawn, map_path, opened
from demo_app.map.neighbours import listed, neighbours
from demo_app.page import PRIVATE, Page, friendly_errors, gpu, picture_input
from demo_app.page import QUICK as LIMITS
from demo_app.texts import say
from demo_app.views import view as as_view

MOST_OWN = 500  # pictures of a visitor on a map
FILM = "film"  # assets/maps/film: how a model learned, step by step


def own_map(page: Page, files: list[str] | None, lang: str) -> Iterator[Opened]:
    """A map of a visitor's pictures, twice: by PCA at once, then by UMAP where it is installed."""
    with friendly_errors(lang):
        if not files or len(files) > MOST_OWN:
            raise ValueError(say(lang, "own_count", n=len(files or []), limit=MOST_OWN))
        names = [Path(file).stem.replace("_", " ") for file in files]
        found = gather(page.model.get(), files, names)
        buffer = io.BytesIO()
        found.thumbnails.save(buffer, "webp", quality=82)
        sprite = canvas.data_address(buffer.getvalue())
        yield Opened(found, sprite)
        if find_spec("umap") is not None:
            yield Opened(with_umap(found), sprite)


def gap_sentence(found: EmbeddingMap, lang: str) -> str:
    """How far pictures and words live apart, in words."""
    images, texts = found.vectors[:found.pictures], found.vectors[found.pictures:]
    if not len(texts):
        return ""
    return say(lang, "map_gap_said", before=projection.modality_gap(images, texts),
               after=projection.modality_gap(*projection.without_gap(images, texts)))


class Controls(NamedTuple):
    """What a visitor sets. mine: a map of their own or the film, as Opened, or None for the map of the page's model."""

    mine: gr.State
    kind: gr.Radio
    gap: gr.Checkbox
    by: gr.Radio


class Results(NamedTuple):
    """What a visitor sees."""

    view: gr.HTML
    said: gr.Markdown
    gap_said: gr.Markdown
    gallery: gr.Gallery
    table: gr.Dataframe


def build(page: Page) -> None:
    """Draw the tab and connect it; nothing is read before a visitor opens it."""
    word, path = page.word, map_path(page.model.name)
    there = (path / "points.json").is_file()
    filmed = there and (map_path(FILM) / "points.json").is_file()
    with as_view(page, "map") as tab:
        gr.Markdown(word("map_about") if there else word("no_map"))
        with gr.Row(equal_height=False, elem_classes="cm-columns"):
            with gr.Column(scale=7, min_width=300):
                view = canvas.component(page.lang or "en")
                said = gr.Markdown(elem_id="map-said")
                film = _film(page, filmed)
                own = _own(page, there)
            with gr.Column(scale=4, min_width=280):
                kind, gap, by = _choices(page)
                query = gr.Textbox(label=word("map_search"), placeholder="something to eat", elem_id="map-query",
                                   max_lines=1)
                picture = picture_input(word("map_place"), "map-picture")
                gallery, table = _neighbours(page)
                results = Results(view, said, gr.Markdown(elem_id="map-gap-said"), gallery, table)
        controls = Controls(gr.State(None, time_to_live=3600), kind, gap, by)
    stored = path if there else None
    _connect_controls(page, stored, tab, controls, results)
    _connect_search(page, stored, query, picture, controls, results)
    if filmed:
        _connect_film(page, *film, controls, results)
    _connect_own(page, path, *own, controls, results)


def _film(page: Page, filmed: bool) -> tuple[gr.Slider, gr.Button]:
    """The folded part with the film: the moment, and the button."""
    with gr.Accordion(page.word("film"), open=False, visible=filmed):
        gr.Markdown(page.word("film_about"))
        return (gr.Slider(0, 1, value=0, step=1, label=page.word("film_step"), elem_id="film-step", interactive=True),
                gr.Button(page.word("film_show"), elem_id="film-go"))


def _own(page: Page, there: bool) -> tuple[gr.File, gr.Button, gr.Button]:
    """The folded part for a visitor's own pictures: files, and the buttons that make a map and go back to the first."""
    word = page.word
    with gr.Accordion(word("own_map"), open=not there):
        files = gr.File(label=word("pictures"), file_count="multiple", file_types=list(ENDINGS), type="filepath",
                        elem_id="own-files", height=140)
        with gr.Row():
            return (files, gr.Button(word("own_make"), variant="primary", elem_id="own-go"),
                    gr.Button(word("own_back"), elem_id="own-back", visible=there))


def _choices(page: Page) -> tuple[gr.Radio, gr.Checkbox, gr.Radio]:
    """Which map, with the modality gap or without, and what the colours mean."""
    word = page.word
    return (gr.Radio([("UMAP", "umap"), ("PCA", "pca")], value="umap", label=word("map_kind"), elem_id="map-kind"),
            gr.Checkbox(True, label=word("map_gap"), info=word("map_gap_info"), elem_id="map-gap"),
            gr.Radio([(word("map_by_group"), "group"), (word("map_by_kind"), "kind")], value="group",
                     label=word("map_by"), elem_id="map-by"))


def _neighbours(page: Page) -> tuple[gr.Gallery, gr.Dataframe]:
    """Where neighbours are listed."""
    lang = page.lang or "en"
    return (gr.Gallery(label=page.word("map_near"), columns=4, height=260, interactive=False, allow_preview=False,
                       elem_id="map-gallery", buttons=[]),
            gr.Dataframe(headers=[say(lang, "map_name"), " ", say(lang, "map_group"), say(lang, "cosine")],
                         interactive=False, max_height=300, elem_id="map-table", show_label=False, wrap=True))


def _current(mine: Opened | None, stored: Path | None) -> Opened | None:
    """The map that a visitor looks at, if there is one."""
    return mine if mine is not None else opened(stored) if stored else None


def _connect_controls(page: Page, stored: Path | None, tab: gr.Tab, c: Controls, r: Results) -> None:
    """Draw the map when the tab is opened, and again when another one or other colours are chosen."""
    def show(mine, kind: str, gap: bool, by: str, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            o = _current(mine, stored)
            if o is None:
                return gr.skip(), gr.skip()
            return drawn(o, canvas.map_name(kind, gap), by), gap_sentence(o.found, lang)

    def move(mine, kind: str, gap: bool):
        o = _current(mine, stored)
        return gr.HTML(xy=canvas.places(o, canvas.map_name(kind, gap)), marks=canvas.marks()) if o else gr.skip()

    tab.select(show, list(c), [r.view, r.gap_said], **PRIVATE)
    c.by.input(show, list(c), [r.view, r.gap_said], **PRIVATE)
    gr.on([c.kind.input, c.gap.input], move, [c.mine, c.kind, c.gap], r.view, **PRIVATE)


def _connect_search(page: Page, stored: Path | None, query: gr.Textbox, picture: gr.Image, c: Controls,
                    r: Results) -> None:
    """List and mark the neighbours of a text, of a picture, or of a point that is clicked; or the points in a frame."""
    where, lists, nothing = [c.mine, c.kind, c.gap], [r.gallery, r.table, r.view], (gr.skip(), gr.skip(), gr.skip())

    def answer(o: Opened | None, vector: Tensor, kind: str, gap: bool, own: int | None = None):
        if o is None:
            return nothing
        near, rows, marks = neighbours(o, vector, kind, gap, own)
        return near, rows, gr.HTML(marks=marks)

    @gpu
    def search_map(text: str, mine, kind: str, gap: bool, request: gr.Request):
        """The points of the map that are nearest to a text: thumbnails, and a table of names, groups and cosines."""
        with friendly_errors(page.language(request)):
            text = clean_labels([text], limit=1).labels[0]
            vector = page.model.get().embed_texts([text], truncate=True)[0]
            return answer(_current(mine, stored), vector, kind, gap)

    @gpu
    def place_picture(file: str | None, mine, kind: str, gap: bool, request: gr.Request):
        if not file:
            return nothing
        with friendly_errors(page.language(request)):
            vector = page.model.get().embed_images([open_image(file)])[0]
            return answer(_current(mine, stored), vector, kind, gap)

    def pick(mine, kind: str, gap: bool, event: gr.EventData):
        o = _current(mine, stored)
        if o is None:
            return nothing
        chosen = [i for i in event.points if isinstance(i, int) and 0 <= i < len(o.found.names)]
        if event.what == "box":
            return *listed(o, chosen, {}), gr.HTML(marks=canvas.marks(chosen))
        return answer(o, o.found.vectors[chosen[0]], kind, gap, chosen[0]) if chosen else nothing

    query.submit(search_map, [query, *where], lists, **PRIVATE, **LIMITS)
    gr.on([picture.upload, picture.change], place_picture, [picture, *where], lists, **PRIVATE, **LIMITS)
    r.view.select(pick, where, lists, **PRIVATE)


def _connect_film(page: Page, moment: gr.Slider, play: gr.Button, c: Controls, r: Results) -> None:
    """Put the film on the canvas, and show the step that the slider is at."""
    path = map_path(FILM)

    def sentence(steps: list[int], number: int, lang: str) -> str:
        return say(lang, "film_said", step=steps[number], last=steps[-1])

    def start(by: str, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            o = opened(path)
            steps = o.found.steps
            first = drawn(o, f"step {steps[0]}", by)
        return o, first, "", sentence(steps, 0, lang), gr.Slider(0, len(steps) - 1, value=0)

    def seek(number: int, request: gr.Request):
        o = opened(path)
        steps = o.found.steps
        number = min(max(int(number), 0), len(steps) - 1)
        return gr.HTML(xy=canvas.places(o, f"step {steps[number]}")), sentence(steps, number, page.language(request))

    play.click(start, c.by, [c.mine, r.view, r.gap_said, r.said, moment], **PRIVATE)
    moment.input(seek, moment, [r.view, r.said], trigger_mode="always_last", **PRIVATE)


def _connect_own(page: Page, stored: Path, files: gr.File, make: gr.Button, back: gr.Button, c: Controls,
                 r: Results) -> None:
    """Make a map of a visitor's pictures, and go back to the stored one where there is one."""
    outputs = [c.mine, r.view, r.gap_said, r.said]

    @gpu
    def map_own(files: list[str] | None, kind: str, gap: bool, by: str, request: gr.Request):
        lang = page.language(request)
        for step, o in zip(("own_pca", "own_umap"), own_map(page, files, lang), strict=False):
            yield (o, drawn(o, canvas.map_name(kind, gap), by), gap_sentence(o.found, lang),
                   say(lang, step, n=o.found.pictures))

    def go_back(kind: str, gap: bool, by: str, request: gr.Request):
        o = opened(stored)
        return None, drawn(o, canvas.map_name(kind, gap), by), gap_sentence(o.found, page.language(request)), ""

    def warm() -> None:  # while the visitor still looks at the files
        if find_spec("umap") is not None and not projection.is_warm():
            projection.warm_up()

    files.upload(warm, None, None, **PRIVATE)
    make.click(map_own, [files, c.kind, c.gap, c.by], outputs, **PRIVATE, **LIMITS)
    back.click(go_back, [c.kind, c.gap, c.by], outputs, **PRIVATE)
