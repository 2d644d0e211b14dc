"""The tab with the map: thousands of pictures and words as points, neighbours near each other, for any model."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from torch import Tensor

from clipmini.image import ENDINGS, open_image
from clipmini.tasks.maps.folder import EmbeddingMap
from clipmini.tasks.prompts import clean_labels
from demo_app.map import canvas, made
from demo_app.map.canvas import Opened, as_address, drawn, opened
from demo_app.map.neighbours import marked, marked_by_names, nearest_points
from demo_app.map.said import gap_sentence, progress, status, title
from demo_app.map.stored import FILM, shipped, stored_path
from demo_app.page import PRIVATE, QUICK, Asked, Kept, Page, friendly_errors, gpu
from demo_app.saving import Offer, Saved
from demo_app.shelf import AUTOMATIC, Model, Picked
from demo_app.texts import say
from demo_app.views import answers, endpoint, view, who

MOST_OWN = 500  # pictures of a visitor on a map
SAME = 0.9995  # cosine of one of them (vectors are kept in float16) and the picture of the bench, if that is it
MAPS: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "maps"}  # one is made, one says that it waits
# Words to click: at least 10 of the 12 drawings that the shipped model finds nearest are right, and mostly all 12
# (tests/test_maps_search.py). It reads Chinese; of other models that is not known, so they are asked in English.
TRY = ("fruit", "vegetable", "vehicle", "heart", "clock", "arrow", "sad face", "hands", "zodiac")
TRY_ZH = (("水果", "fruit"), ("乐器", "musical instrument"), ("心", "heart"), ("时钟", "clock"), ("箭头", "arrow"),
          ("月亮", "moon"), ("星座", "zodiac"), ("手", "hands"), ("按钮", "button"))


def chosen(page: Page, choice: str, mine: Opened | None = None) -> Model:
    """The model whose map is shown: by itself the page's own, or who made the visitor's own map. Raises ValueError for
    one that is not on the shelf."""
    if choice != AUTOMATIC:
        return page.shelf.pick(choice, None).model
    reader = page.shelf.reader if mine else None
    return reader if reader and mine and mine.found.model == reader.name else page.model


def of_maker(page: Page, asked: Asked, mine: Opened | None, *_) -> Asked:
    """The same question to the model whose map is shown."""
    if asked.model.why or (maker := chosen(page, AUTOMATIC, mine)) is asked.model.model:
        return asked  # it was chosen, or it is the page's own
    return replace(asked, model=Picked(maker, ""))


def of_model(model: Model) -> Opened | None:
    """The map of a model, where it is stored or was made. Raises CheckpointError."""
    path = stored_path(model.name)
    return opened(path) if path else made.ready(model.get())


def current(model: Model, mine: Opened | None, lang: str) -> Opened:
    """The map that a visitor looks at. Raises ValueError where there is none yet."""
    o = theirs(mine, model) or of_model(model)
    if o is None:
        raise ValueError(say(lang, "map_js_not_yet", model=model.name))
    return o


def theirs(mine: Opened | None, model: Model) -> Opened | None:
    """A visitor's own map, if this model made it."""
    return mine if mine is not None and mine.found.model == model.get().name else None


class Controls(NamedTuple):
    """What a visitor sets. mine: a map of their own pictures as Opened, or None for the map of the model; sought: the
    text that is marked, and the picture and the model at that time: with others the picture is marked again."""

    mine: gr.State
    sought: gr.State
    kind: gr.Radio
    gap: gr.Checkbox
    by: gr.Radio
    choice: gr.Dropdown


class Results(NamedTuple):
    """What a visitor sees."""

    view: gr.HTML
    gap_said: gr.Markdown
    said: gr.HTML


def build(page: Page) -> None:
    """Draw the view and connect it; nothing is read before a visitor opens it."""
    word, lang = page.word, page.lang or "en"
    with view(page, "map"):
        gr.Markdown(word("map_about"), elem_classes="cm-about")
        said = gr.HTML(elem_id="map-said")
        query = gr.Textbox(label=word("map_search"), placeholder="fruit", elem_id="map-query", max_lines=1)
        with gr.Row(elem_id="map-try"):
            tries = [gr.Button(word(f"map_js_try_{i}"), size="sm", min_width=70, elem_id=f"map-try-{i}")
                     for i in range(len(TRY))]
        shown = canvas.component(lang)
        with gr.Row(equal_height=False):
            kind, gap, by = _choices(page)
        results = Results(shown, gr.Markdown(elem_id="map-gap-said"), said)
        own = _own(page)
        film = _film(page, lang)
        states = gr.State(None, time_to_live=3600), gr.State(("", None, ""))
        controls = Controls(*states, kind, gap, by, page.bench.choice)
        drawn_now = gr.State("")
    page.kept.update({"map": Kept(kind), "gap": Kept(gap), "by": Kept(by)})
    _connect_map(page, drawn_now, controls, results)
    page.saved["map"] = Offer(partial(saved, page), [controls.mine, kind, gap], blind=True)
    _connect_search(page, query, tries, controls, results)
    _connect_own(page, *own, controls, results, drawn_now)
    _connect_film(page, *film, controls)
    text = partial(gr.Textbox, "a dog", label=page.word("map_search"), visible=False)
    endpoint(page, "map", "search_map", _search_map(page), [text, page.bench.choice], {"found": gr.JSON})
    endpoint(page, "map", "map_pictures", _map_pictures(page), [own[0], page.bench.choice], {"map": gr.JSON}, MAPS)


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
        gr.Markdown(word("own_about"))
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


def _connect_map(page: Page, drawn_now: gr.State, c: Controls, r: Results) -> None:
    """Draw the map of the model, after it was made where there is none, and put the picture on it; move its points and
    colour them."""
    def show(asked: Asked, mine, sought: tuple, now: str, kind: str, gap: bool, by: str) -> Iterator[tuple]:
        model, lang = asked.model.model, asked.lang
        o = theirs(mine, model) or of_model(model)
        if o is None:
            yield gr.HTML(words=canvas.words(lang)), "", status(lang, "step_none", model=model.name), now
            with closing(_steps(made.sample_map(model.get()), kind, gap, by, lang)) as steps:
                for o, *outputs in steps:  # noqa: B007 (the last one is put on the canvas)
                    yield *outputs, now
            o = of_model(model)
        assert o is not None
        name, text = canvas.map_name(kind, gap), sought[0] if sought[1:] == (asked.picture, model.name) else ""
        marks = (marked(o, _text_vector(model, text)[1], kind, gap, text) if text else
                 _marks_of_picture(asked, o, kind, gap))
        if now == (key := f"{id(o)} {lang}"):
            yield gr.HTML(marks=marks), gr.skip(), gr.skip(), now
        else:
            whole = drawn(o, name, by, lang, marks=marks)
            yield whole, gap_sentence(o.found, lang), title(o, lang), key

    def move(mine, kind: str, gap: bool, choice: str):
        model = chosen(page, choice, mine)
        o = theirs(mine, model) or of_model(model)
        return gr.HTML(xy=canvas.places(o, canvas.map_name(kind, gap)), marks=canvas.marks()) if o else gr.skip()

    answers(page, "map", show, [], [r.view, r.gap_said, r.said, drawn_now], MAPS,
            given=[c.mine, c.sought, drawn_now, c.kind, c.gap, c.by], blind=True, instead=partial(of_maker, page))
    c.by.input(lambda by: gr.HTML(by=by), c.by, r.view, **PRIVATE)
    gr.on([c.kind.input, c.gap.input], move, [c.mine, c.kind, c.gap, c.choice], r.view, **PRIVATE)


def saved(page: Page, asked: Asked, mine: Opened | None, kind: str, gap: bool) -> Saved:
    """The map with the modality gap and without, and a row for each point of the one that is shown."""
    found = current(of_maker(page, asked, mine).model.model, mine, asked.lang).found

    def figures() -> list:
        from clipmini.plots import map_of

        return [map_of(found, kind)]
    places = found.maps[canvas.map_name(kind, gap)].tolist()
    rows = [(name, "picture" if i < found.pictures else "word", group, x, y)
            for i, (name, group, (x, y)) in enumerate(zip(found.names, found.groups, places, strict=True))]
    return Saved(figures, ("name", "kind", "group", "x", "y"), rows)


def _marks_of_picture(asked: Asked, o: Opened, kind: str, gap: bool) -> str:
    """Where the picture of the bench is on the map, and who is near it; a photo on a map of drawings is read by the
    model for photos. Raises ImageError."""
    if not asked.picture:
        return canvas.marks()
    image, name, embedder = open_image(asked.picture), Path(asked.picture).stem, asked.embedder
    reader = embedder if o.own or asked.reader is None else asked.reader.embedder
    vector = reader.embed_images([image])[0]
    if o.own and (cosines := o.found.vectors[:o.found.pictures] @ vector).max() > SAME:
        return marked(o, vector, kind, gap, name, int(cosines.argmax()))
    image.thumbnail((88, 88))
    if reader is embedder:
        return marked(o, vector, kind, gap, name, thumb=as_address(image), quiet=True)
    note = say(asked.lang, "map_read_by", model=embedder.name, reader=reader.name)
    return marked_by_names(o, reader, vector, kind, gap, name, as_address(image), note)


def _steps(made_so_far: Iterator[made.Step], kind: str, gap: bool, by: str, lang: str) -> Iterator[tuple]:
    """What the page shows of each Step: (the map, view, gap sentence, sentence). Closing it ends the work."""
    model, last, skip, start = "", None, gr.skip(), time.monotonic()
    with closing(made_so_far) as steps:  # type: ignore[type-var]
        for step in steps:
            if step.note != "pictures" or not step.done:
                start = time.monotonic()
            if step.o is None or step.o is last:
                yield skip, skip, skip, progress(step, lang, model, time.monotonic() - start)
                continue
            last, model = step.o, step.o.found.model
            told = title(last, lang) if step.note == "umap" else progress(step, lang, model)
            yield last, drawn(last, canvas.map_name(kind, gap), by, lang), gap_sentence(last.found, lang), told


def _connect_search(page: Page, query: gr.Textbox, tries: list[gr.Button], c: Controls, r: Results) -> None:
    """List and mark the neighbours of a text, or of a point that is clicked; or the points in a frame."""
    picture = page.bench.picture
    where: list = [c.mine, c.kind, c.gap, c.choice]

    @gpu
    def search(text: str, picture: str | None, mine, kind: str, gap: bool, choice: str, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            model = chosen(page, choice, mine)
            text, vector = _text_vector(model, text)
            found = marked(current(model, mine, lang), vector, kind, gap, text)
            return gr.HTML(marks=found), (text, picture, model.name)

    def suggest(number: int):
        def say_it(choice: str, request: gr.Request):
            if page.language(request) != "zh":
                return TRY[number]
            return TRY_ZH[number][0 if chosen(page, choice).name == made.SAMPLES else 1]
        return say_it

    def pick(mine, kind: str, gap: bool, choice: str, event: gr.EventData, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            found = (o := current(chosen(page, choice, mine), mine, lang)).found
            points = [i for i in event.points if isinstance(i, int) and 0 <= i < len(found.names)]
            if event.what == "box":
                return gr.HTML(marks=canvas.marks(points, what="box"))
            if not points:
                return gr.skip()
            i = points[0]
            return gr.HTML(marks=marked(o, found.vectors[i], kind, gap, found.names[i], i))

    find: dict[str, Any] = {"fn": search, "inputs": [query, picture, *where], "outputs": [r.view, c.sought]}
    query.submit(**find, **PRIVATE, **QUICK)
    for number, button in enumerate(tries):
        button.click(suggest(number), c.choice, query, **PRIVATE).then(**find, **PRIVATE, **QUICK)
    r.view.select(pick, where, r.view, trigger_mode="always_last", **PRIVATE)


def _text_vector(model: Model, text: str) -> tuple[str, Tensor]:
    """A visitor's text, cleaned, and its vector (E,). Raises PromptError, CheckpointError."""
    text = clean_labels([text], limit=1).labels[0]
    return text, model.get().embed_texts([text], truncate=True)[0]


def _search_map(page: Page):
    def search_map(text: str, model: str, request: gr.Request) -> list[dict]:
        """Which pictures of the map are nearest to a text?

        Args:
            text: what to look for.
            model: "automatic", or a name on the shelf.

        Returns:
            A list of {"name": str, "group": str, "cosine": float}, nearest first.
        """
        lang = page.language(request)
        with friendly_errors(lang):
            picked = chosen(page, model)
            text, vector = _text_vector(picked, text)
            o = current(picked, None, lang)
            return [{"name": o.found.names[i], "group": o.found.groups[i], "cosine": round(c, 4)}
                    for i, c in nearest_points(o, vector, words=False).items()]
    return search_map


def _map_pictures(page: Page):
    def map_pictures(pictures: list[str] | None, model: str, request: gr.Request) -> dict:
        """A map of pictures: what is alike lies near each other.

        Args:
            pictures: files, at most 500; their names become words of the map.
            model: "automatic", or a name on the shelf.

        Returns:
            The model, how the map was made (UMAP or PCA), and for each picture and word its name, kind and place.
        """
        lang = page.language(request)
        with friendly_errors(lang):
            paths, names = _named(pictures, lang)
            *_, last = made.own_map(page.shelf.pick_for(model, paths).embedder, paths, names)
        found = last.o.found
        kinds = ["picture" if i < found.pictures else "word" for i in range(len(found.names))]
        points = [{"name": name, "kind": kind, "x": x, "y": y}
                  for name, kind, (x, y) in zip(found.names, kinds, found.maps["umap"].tolist(), strict=True)]
        return {"model": found.model, "method": "UMAP" if found.by_umap else "PCA", "points": points}
    return map_pictures


def _named(paths: list[str] | None, lang: str) -> tuple[list[str], list[str]]:
    """A visitor's files and their names. Raises ValueError for none and for too many."""
    if not paths or len(paths) > MOST_OWN:
        raise ValueError(say(lang, "own_count", n=len(paths or []), limit=MOST_OWN))
    return paths, [Path(path).stem.replace("_", " ") for path in paths]


def _connect_own(page: Page, files: gr.File, make: gr.Button, back: gr.Button, c: Controls, r: Results,
                 drawn_now: gr.State) -> None:
    """Make a map of a visitor's pictures, and go back to the model's."""
    @gpu
    def map_own(paths: list[str] | None, kind: str, gap: bool, by: str, choice: str, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            paths, names = _named(paths, lang)
            maker = page.shelf.pick_for(choice, paths).embedder
            head = f"<p>{who(maker.name, lang)}</p>"
            for step in _steps(made.own_map(maker, paths, names), kind, gap, by, lang):
                yield *step, "own", head

    def go_back(kind: str, gap: bool, by: str, choice: str, request: gr.Request):
        lang = page.language(request)
        with friendly_errors(lang):
            o = current(chosen(page, choice), None, lang)
            return (None, drawn(o, canvas.map_name(kind, gap), by, lang), gap_sentence(o.found, lang), title(o, lang),
                    f"{id(o)} {lang}")

    _, stamp, head = page.views["map"]  # at the end the picture of the bench gets its place and its neighbours
    make.click(None, None, None, js="() => document.getElementById('map-said').scrollIntoView()", **PRIVATE)
    make.click(map_own, [files, c.kind, c.gap, c.by, c.choice], [c.mine, *r, drawn_now, head], show_progress="hidden",
               **PRIVATE, **MAPS).success(None, stamp, stamp, js="(stamp) => cm.again('map', stamp)", **PRIVATE)
    back.click(go_back, [c.kind, c.gap, c.by, c.choice], [c.mine, *r, drawn_now], **PRIVATE)


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
            return (gr.HTML(first, xy=canvas.places(o, f"step {steps[0]}"), by=by, words=canvas.words(lang),
                            visible=True),
                    sentence(o.found, 0, lang), gr.Slider(0, len(steps) - 1, value=0, visible=True))

    def seek(number: int, request: gr.Request):
        o = opened(path)
        steps = o.found.steps
        number = min(max(int(number), 0), len(steps) - 1)
        return (gr.HTML(xy=canvas.places(o, f"step {steps[number]}")),
                sentence(o.found, number, page.language(request)))

    play.click(start, c.by, [view, said, moment], **PRIVATE)
    moment.input(seek, moment, [view, said], trigger_mode="always_last", **PRIVATE)
