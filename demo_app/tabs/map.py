"""The tab with the map: thousands of pictures and words as points, neighbours near each other, for any model."""

from collections.abc import Iterator
from contextlib import closing
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from torch import Tensor

from clipmini.image import ENDINGS, open_image
from clipmini.tasks.maps import projection
from clipmini.tasks.maps.folder import EmbeddingMap
from clipmini.tasks.prompts import clean_labels
from demo_app.map import canvas, made
from demo_app.map.canvas import Opened, as_address, drawn, opened
from demo_app.map.neighbours import marked, nearest_points
from demo_app.map.stored import FILM, shipped, stored_path
from demo_app.page import LIMITS, PRIVATE, Page, friendly_errors, gpu, picture_input
from demo_app.shelf import Model
from demo_app.texts import say

MOST_OWN = 500  # pictures of a visitor on a map
MAPS: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "maps"}  # one is made, one says that it waits
# Words to click: at least 10 of the 12 drawings that the shipped model finds nearest are right, and mostly all 12
# (tests/test_maps_search.py). It reads Chinese; of other models that is not known, so they are asked in English.
TRY = ("fruit", "vegetable", "vehicle", "heart", "clock", "arrow", "sad face", "hands", "zodiac")
TRY_ZH = (("水果", "fruit"), ("汽车", "car"), ("心", "heart"), ("时钟", "clock"), ("箭头", "arrow"), ("月亮", "moon"),
          ("星座", "zodiac"), ("手", "hands"), ("钱", "money"))


def chosen(page: Page) -> Model:
    """The model whose map is shown."""
    return page.model


def of_model(model: Model) -> Opened | None:
    """The map of a model, where it is stored or was made. Raises CheckpointError."""
    path = stored_path(model.name)
    return opened(path) if path else made.ready(model.get())


def current(page: Page, mine: Opened | None, lang: str) -> Opened:
    """The map that a visitor looks at. Raises ValueError where there is none yet."""
    o = mine or of_model(chosen(page))
    if o is None:
        raise ValueError(say(lang, "map_js_not_yet", model=chosen(page).name))
    return o


def gap_sentence(found: EmbeddingMap, lang: str) -> str:
    """How far pictures and words live apart, in words."""
    images, texts = found.vectors[:found.pictures], found.vectors[found.pictures:]
    if not len(texts):
        return ""
    return say(lang, "map_gap_said", before=projection.modality_gap(images, texts),
               after=projection.modality_gap(*projection.without_gap(images, texts)))


def status(lang: str, key: str, aloud: bool = True, **values) -> str:
    """A sentence; aloud: a screen reader says it when it changes, which would be tiresome every second."""
    role = ' role="status"' if aloud else ""
    return f'<p{role} class="cm-small">{escape(say(lang, f"map_js_{key}", **values), quote=False)}</p>'


def title(o: Opened, lang: str) -> str:
    """Whose map it is."""
    found = o.found
    return status(lang, "own" if o.own else "of", model=found.model, n=found.pictures,
                  m=len(found.names) - found.pictures, how="UMAP" if found.by_umap else "PCA")


def progress(step: made.Step, lang: str, model: str) -> str:
    """How far a map is, in words."""
    aloud = step.note not in ("pictures", "words", "placing")
    return status(lang, f"step_{step.note}", aloud, done=step.done, total=step.total, model=model, why=step.why)


class Controls(NamedTuple):
    """What a visitor sets. mine: a map of their own pictures as Opened, or None for the map of the model."""

    mine: gr.State
    kind: gr.Radio
    gap: gr.Checkbox
    by: gr.Radio


class Results(NamedTuple):
    """What a visitor sees."""

    view: gr.HTML
    gap_said: gr.Markdown
    said: gr.HTML


def build(page: Page) -> None:
    """Draw the tab and connect it; nothing is read before a visitor opens it."""
    word, lang = page.word, page.lang or "en"
    with gr.Tab(word("tab_map"), id="map-tab") as tab:
        gr.Markdown(word("map_about"))
        said = gr.HTML(elem_id="map-said")
        query = gr.Textbox(label=word("map_search"), placeholder="fruit", elem_id="map-query", max_lines=1)
        with gr.Row(elem_id="map-try"):
            tries = [gr.Button(word(f"map_js_try_{i}"), size="sm", min_width=70, elem_id=f"map-try-{i}")
                     for i in range(len(TRY))]
        view = canvas.component(lang)
        with gr.Row(equal_height=False):
            kind, gap, by = _choices(page)
        results = Results(view, gr.Markdown(elem_id="map-gap-said"), said)
        with gr.Accordion(word("map_place"), open=False):
            picture = picture_input(word("picture"), "map-picture")
        own = _own(page)
        film = _film(page, lang)
        gr.api(_search_map(page), api_name="search_map", **LIMITS)
        controls = Controls(gr.State(None, time_to_live=3600), kind, gap, by)
    _connect_map(page, tab, controls, results)
    _connect_search(page, query, tries, picture, controls, results)
    _connect_own(page, *own, controls, results)
    _connect_film(page, *film, controls)


def _choices(page: Page) -> tuple[gr.Radio, gr.Checkbox, gr.Radio]:
    """Which map, with the modality gap or without, and what the colours mean."""
    word = page.word
    return (gr.Radio([("UMAP", "umap"), ("PCA", "pca")], value="umap", label=word("map_kind"), elem_id="map-kind",
                     min_width=140),
            gr.Checkbox(True, label=word("map_gap"), info=word("map_gap_info"), elem_id="map-gap", min_width=200),
            gr.Radio([(word("map_by_group"), "group"), (word("map_by_kind"), "kind")], value="group",
                     label=word("map_by"), elem_id="map-by", min_width=200))


def _own(page: Page) -> tuple[gr.File, gr.Button, gr.Button]:
    """The folded part for a visitor's own pictures: files, and the buttons that make a map and go back to the first."""
    word = page.word
    with gr.Accordion(word("own_map"), open=False):
        files = gr.File(label=word("pictures"), file_count="multiple", file_types=list(ENDINGS), type="filepath",
                        elem_id="own-files", height=140)
        with gr.Row():
            return (files, gr.Button(word("own_make"), variant="primary", elem_id="own-go"),
                    gr.Button(word("own_back"), elem_id="own-back"))


def _film(page: Page, lang: str) -> tuple[gr.Button, gr.Slider, gr.HTML, gr.HTML]:
    """The folded part with the film: its button, its moment, its own canvas, a sentence."""
    there = (shipped(FILM) / "points.json").is_file()
    with gr.Accordion(page.word("film"), open=False, visible=there):
        gr.Markdown(page.word("film_about"))
        return (gr.Button(page.word("film_show"), elem_id="film-go"),
                gr.Slider(0, 1, value=0, step=1, label=page.word("film_step"), elem_id="film-step", visible=False,
                          interactive=True),
                gr.HTML(elem_id="film-said"), canvas.component(lang, "film-view", visible=False))


def _connect_map(page: Page, tab: gr.Tab, c: Controls, r: Results) -> None:
    """Draw the map when the tab is opened, after it was made where there is none; move its points and colour them."""
    def show(mine, kind: str, gap: bool, by: str, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            o = mine or of_model(chosen(page))
            if o is None:
                return gr.HTML(words=canvas.words(lang)), "", status(lang, "step_none", model=chosen(page).name)
            return drawn(o, canvas.map_name(kind, gap), by, lang), gap_sentence(o.found, lang), title(o, lang)

    @gpu
    def make(mine, kind: str, gap: bool, by: str, request: gr.Request):
        lang, model = page.language(request), chosen(page)
        with friendly_errors(lang):
            if mine or stored_path(model.name):
                yield (gr.skip(),) * 3
                return
            with closing(_steps(made.sample_map(model.get()), kind, gap, by, lang)) as steps:
                for _, *outputs in steps:
                    yield outputs

    def move(mine, kind: str, gap: bool, request: gr.Request):
        o = mine or of_model(chosen(page))
        return gr.HTML(xy=canvas.places(o, canvas.map_name(kind, gap)), marks=canvas.marks()) if o else gr.skip()

    tab.select(show, list(c), list(r), **PRIVATE).then(make, list(c), list(r), show_progress="hidden", **PRIVATE,
                                                       **MAPS)
    c.by.input(lambda by: gr.HTML(by=by), c.by, r.view, **PRIVATE)
    gr.on([c.kind.input, c.gap.input], move, [c.mine, c.kind, c.gap], r.view, **PRIVATE)


def _steps(made_so_far: Iterator[made.Step], kind: str, gap: bool, by: str, lang: str) -> Iterator[tuple]:
    """What the page shows of each Step: (the map, view, gap sentence, sentence). Closing it ends the work."""
    model, last, skip = "", None, gr.skip()
    with closing(made_so_far) as steps:  # type: ignore[type-var]
        for step in steps:
            if step.o is None or step.o is last:
                yield skip, skip, skip, progress(step, lang, model)
                continue
            last, model = step.o, step.o.found.model
            told = title(last, lang) if step.note == "umap" else progress(step, lang, model)
            yield last, drawn(last, canvas.map_name(kind, gap), by, lang), gap_sentence(last.found, lang), told


def _connect_search(page: Page, query: gr.Textbox, tries: list[gr.Button], picture: gr.Image, c: Controls,
                    r: Results) -> None:
    """List and mark the neighbours of a text, of a picture, or of a point that is clicked; or the points in a frame."""
    where: list = [c.mine, c.kind, c.gap]

    @gpu
    def search(text: str, mine, kind: str, gap: bool, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            text, vector = _text_vector(page, text)
            return gr.HTML(marks=marked(current(page, mine, lang), vector, kind, gap, text))

    def suggest(number: int):
        def say_it(request: gr.Request):
            if page.language(request) != "zh":
                return TRY[number]
            return TRY_ZH[number][0 if chosen(page).name == made.SAMPLES else 1]
        return say_it

    @gpu
    def place_picture(file: str | None, mine, kind: str, gap: bool, request: gr.Request):
        lang = page.language(request)
        if not file:
            return gr.HTML(marks=canvas.marks())
        with friendly_errors(lang):
            image = open_image(file)
            vector = chosen(page).get().embed_images([image])[0]
            image.thumbnail((88, 88))
            return gr.HTML(marks=marked(current(page, mine, lang), vector, kind, gap, Path(file).stem,
                                        thumb=as_address(image)))

    def pick(mine, kind: str, gap: bool, event: gr.EventData, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            found = (o := current(page, mine, lang)).found
            points = [i for i in event.points if isinstance(i, int) and 0 <= i < len(found.names)]
            if event.what == "box":
                return gr.HTML(marks=canvas.marks(points, what="box"))
            if not points:
                return gr.skip()
            i = points[0]
            return gr.HTML(marks=marked(o, found.vectors[i], kind, gap, found.names[i], i))

    query.submit(search, [query, *where], r.view, **PRIVATE, **LIMITS)
    for number, button in enumerate(tries):
        button.click(suggest(number), None, query, **PRIVATE).then(search, [query, *where], r.view, **PRIVATE,
                                                                     **LIMITS)
    gr.on([picture.upload, picture.clear], place_picture, [picture, *where], r.view, **PRIVATE, **LIMITS)
    r.view.select(pick, where, r.view, trigger_mode="always_last", **PRIVATE)


def _text_vector(page: Page, text: str) -> tuple[str, Tensor]:
    """A visitor's text, cleaned, and its vector (E,). Raises PromptError, CheckpointError."""
    text = clean_labels([text], limit=1).labels[0]
    return text, chosen(page).get().embed_texts([text], truncate=True)[0]


def _search_map(page: Page):
    def search_map(text: str) -> list[dict]:
        """The pictures of the map that are nearest to a text, nearest first.

        Args:
            text: what to look for.

        Returns:
            A list of {"name": str, "group": str, "cosine": float}.
        """
        with friendly_errors("en"):
            text, vector = _text_vector(page, text)
            o = current(page, None, "en")
            return [{"name": o.found.names[i], "group": o.found.groups[i], "cosine": round(c, 4)}
                    for i, c in nearest_points(o, vector, words=False).items()]
    return search_map


def _connect_own(page: Page, files: gr.File, make: gr.Button, back: gr.Button, c: Controls, r: Results) -> None:
    """Make a map of a visitor's pictures, and go back to the model's."""
    @gpu
    def map_own(paths: list[str] | None, kind: str, gap: bool, by: str, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            if not paths or len(paths) > MOST_OWN:
                raise ValueError(say(lang, "own_count", n=len(paths or []), limit=MOST_OWN))
            names = [Path(path).stem.replace("_", " ") for path in paths]
            yield from _steps(made.own_map(chosen(page).get(), paths, names), kind, gap, by, lang)

    def go_back(kind: str, gap: bool, by: str, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            o = current(page, None, lang)
            return None, drawn(o, canvas.map_name(kind, gap), by, lang), gap_sentence(o.found, lang), title(o, lang)

    make.click(map_own, [files, c.kind, c.gap, c.by], [c.mine, *r], show_progress="hidden", **PRIVATE, **MAPS)
    back.click(go_back, [c.kind, c.gap, c.by], [c.mine, *r], **PRIVATE)


def _connect_film(page: Page, play: gr.Button, moment: gr.Slider, said: gr.HTML, view: gr.HTML, c: Controls) -> None:
    """Put the film on its own canvas, and show the step that the slider is at: no other map knows of it."""
    path = shipped(FILM)

    def sentence(found: EmbeddingMap, number: int, lang: str) -> str:
        return status(lang, "film", step=found.steps[number], last=found.steps[-1], model=found.model)

    def start(by: str, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            o = opened(path)
            steps = o.found.steps
            first = canvas.points(o, lang, still=True)
            return (gr.HTML(first, xy=canvas.places(o, f"step {steps[0]}"), by=by, words=canvas.words(lang), visible=True),
                    sentence(o.found, 0, lang), gr.Slider(0, len(steps) - 1, value=0, visible=True))

    def seek(number: int, request: gr.Request):
        o = opened(path)
        steps = o.found.steps
        number = min(max(int(number), 0), len(steps) - 1)
        return (gr.HTML(xy=canvas.places(o, f"step {steps[number]}")),
                sentence(o.found, number, page.language(request)))

    play.click(start, c.by, [view, said, moment], **PRIVATE)
    moment.input(seek, moment, [view, said], trigger_mode="always_last", **PRIVATE)
