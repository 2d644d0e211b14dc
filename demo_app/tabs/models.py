"""The tab of models: which can answer and what each is good at, one fetched by a click, and two side by side."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from clipmini.embedder import assets_folder, embedded_names
from clipmini.families import devise
from clipmini.tasks.prompts import TEMPLATES
from demo_app import style
from demo_app.fetching import PERMISSION
from demo_app.halves import half
from demo_app.page import CAUSED, PRIVATE, SLOW, Asked, Kept, Page, first_templates, friendly_errors
from demo_app.published import BY_NAME, PUBLISHED, file_bytes, readable
from demo_app.saving import Offer, Saved
from demo_app.shelf import AUTOMATIC, Shelf, state
from demo_app.tabs import zero_shot
from demo_app.texts import Told, say, say_error
from demo_app.views import answers, endpoint, view

FETCHING: dict[str, Any] = {"concurrency_limit": 4, "concurrency_id": "fetch"}
CHOSEN = "chosen"  # of the pair: whoever answers in the other views
HEADS = ("model", "size", "licence", "good", "imagenet", "state")


def asked_of(page: Page, asked: Asked, choice: str) -> Asked:
    """The same question to another model of the shelf, with its own templates where the first ones were left."""
    if choice == CHOSEN:
        return asked
    picked = page.shelf.pick(choice, asked.need_picture())
    before, templates = first_templates(asked.embedder), asked.templates
    if templates.split("\n") == list(TEMPLATES[before]):
        templates = "\n".join(TEMPLATES[first_templates(picked.embedder)])
    return replace(asked, model=picked, templates=templates)


def card(asked: Asked) -> str:
    """One model's answer, as HTML: its name and size, the bars, what makes it doubtful."""
    prediction, *_ = zero_shot.answer(asked)
    return half(asked.lang, asked.embedder.name, style.model_line(asked.lang, asked.embedder, ""), prediction,
                zero_shot.doubts(asked, prediction))


def side_by_side(page: Page, asked: Asked, *choices: str) -> str:
    """The answers of the chosen models to one question, beside each other, on a phone below each other."""
    halves = [card(asked_of(page, asked, choice or AUTOMATIC)) for choice in choices]
    return f'<div class="cm-halves">{"".join(halves)}</div>'


def saved(page: Page, asked: Asked, *choices: str) -> Saved:
    """The strips of each, and a row for each model and label."""
    pair = [asked_of(page, asked, choice or AUTOMATIC) for choice in choices]
    both = [zero_shot.saved(each) for each in pair]
    rows = [(each.embedder.name, *row) for each, one in zip(pair, both, strict=True) for row in one.rows]
    return Saved(lambda: [figure for one in both for figure in one.figures()], ("model", *both[0].columns), rows)


def ready(shelf: Shelf, lang: str) -> list[tuple[str, str]]:
    """What can be compared: (words, name) of the one that is chosen for all views, and of those that can answer now."""
    able = set(shelf.ready)
    named = [(label, name) for label, name in shelf.labels(partial(say, lang)) if name in able]
    return [(say(lang, "models_choice_chosen"), CHOSEN), *named]


def second(shelf: Shelf) -> str:
    """The model that is compared first: one that is not the page's own, where there is one."""
    able = [name for name in shelf.ready if name not in (AUTOMATIC, shelf.own.name)]
    return next((name for name in able if name in BY_NAME), able[0] if able else AUTOMATIC)


def table(shelf: Shelf, lang: str) -> str:
    """Every model with its size, licence, what it is good at, published accuracy and state, as HTML."""
    rows = [_own_row(shelf, name, lang) for name in shelf.choices if name not in BY_NAME and name != AUTOMATIC]
    if shelf.own.name not in (*shelf.choices, "emoji"):
        rows.insert(0, _own_row(shelf, shelf.own.name, lang))
    for p in PUBLISHED:
        said = state(p.name)
        accuracy = f"{p.imagenet:.1f} % ({p.source})" if p.imagenet else say(lang, "models_no_number")
        shown = say(lang, f"state_{said}") + (f": pip install {' '.join(p.missing)}" if said == "packages" else "")
        rows.append((p.title, p.size, f"{p.licence}: {say(lang, p.stated)}", say(lang, p.good), accuracy, shown))
    names = [say(lang, f"models_head_{key}") for key in HEADS]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join('<tr><th scope="row">' + escape(row[0]) + "</th>" + "".join(
        f'<td data-label="{escape(name)}">{escape(cell)}</td>' for name, cell in zip(names[1:], row[1:], strict=True))
        + "</tr>" for row in rows)
    return f'<table class="cm-models"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _own_row(shelf: Shelf, name: str, lang: str) -> tuple[str, ...]:
    """The row of a model that is here already; what is not known of it yet is not said."""
    known = name in embedded_names()
    embedder = shelf.own.try_get()[0] if name == shelf.own.name else None
    source = assets_folder() / name if known else embedder.source if embedder else None
    stored = file_bytes(source, embedder.meta.get("file", "") if embedder else "")
    licence = "models_licence_own" if known else "models_none_stated"
    good = f"models_good_{name}" if known or name == devise.NAME else "models_good_own"
    title = say(lang, f"models_choice_{name}") if name == devise.NAME else name
    return (shelf.own.called if name == shelf.own.name else title, readable(stored) if stored else "–",
            say(lang, licence), say(lang, good), "–", say(lang, "state_ready"))


def fetchable(lang: str) -> list[tuple[str, str]]:
    """(words, name) of the published CLIPs that one click fetches."""
    return [(f"{p.title}, {p.size}: {say(lang, p.good)}", p.name) for p in PUBLISHED if state(p.name) == "download"]


def bar(lang: str, name: str, done: int, total: int) -> str:
    """How far a download is, as HTML."""
    title = BY_NAME[name].title
    said = (say(lang, "models_progress", title=title, done=readable(done), total=readable(total)) if total
            else say(lang, "models_asking", title=title))
    value = f' value="{done}" max="{total}"' if total else ""
    return f'<div role="status">{escape(said)}<progress aria-label="{escape(title)}"{value}></progress></div>'


def fetching(page: Page, name: str, lang: str, headers) -> Iterator[tuple[str, bool]]:
    """(HTML of what to tell, whether it is over): what the click does. headers: the visitor's, who must sit here."""
    try:
        if refusal := PERMISSION.refusal(headers):
            raise Told(refusal)
        for progress in page.shelf.fetch(name):
            yield bar(lang, name, progress.done_bytes, progress.total_bytes), False
        yield f'<p role="status">{escape(say(lang, "models_done", title=BY_NAME[name].title))}</p>', True
    except CAUSED as error:
        title = BY_NAME[name].title if name in BY_NAME else name[:80]
        said = say(lang, "models_failed", title=title, why=say_error(lang, error))
        yield f'<p class="cm-problem" role="alert">{escape(said)}</p>', True


def build(page: Page) -> None:
    """Draw the view and connect it."""
    lang, word, shelf = page.lang or "en", page.word, page.shelf
    with view(page, "models"):
        gr.Markdown(word("models_about"))
        with gr.Row():
            pair = [gr.Dropdown(ready(shelf, lang), value=value, label=word(f"models_{side}"), filterable=False,
                                elem_id=f"models-{side}", min_width=240)
                    for side, value in (("left", CHOSEN), ("right", second(shelf)))]
        both = gr.HTML(elem_id="models-both")
        gr.Markdown(word("models_shelf"), elem_classes="cm-part")
        with gr.Row(equal_height=True):
            which = gr.Dropdown(fetchable(lang), label=word("models_which"), filterable=False, elem_id="models-which",
                                scale=3, min_width=240, visible=False)
            button = gr.Button(visible=False, variant="primary", elem_id="models-fetch", min_width=160)
            stop = gr.Button(word("models_stop"), visible=False, elem_id="models-stop", min_width=80)
        told = gr.HTML(elem_id="models-told")
        rows = gr.HTML(table(shelf, lang), elem_id="models-table")
    for side, component in zip(("left", "right"), pair, strict=True):
        page.kept[side] = Kept(component, lambda: [CHOSEN, *shelf.ready])
    answers(page, "models", partial(side_by_side, page), pair, [both], SLOW, doubt=False)
    page.saved["models"] = Offer(partial(saved, page), pair)
    _connect_fetching(page, pair, rows, which, button, stop, told)
    _endpoint(page, pair)


def _connect_fetching(page: Page, pair: list, rows: gr.HTML, which: gr.Dropdown, button: gr.Button, stop: gr.Button,
                      told: gr.HTML) -> None:
    """The button fetches, the other one stops it; what is ready then stands in every list of models."""
    lists = [rows, which, button, *pair, page.bench.choice]

    def labelled(name: str | None, lang: str, offered: bool):
        about = BY_NAME.get(name or "")
        said = say(lang, "models_fetch", title=about.title, size=about.size) if about else ""
        return gr.update(value=said, visible=bool(about) and offered)

    def stand(lang: str, refusal: str) -> list:
        """Every list as it is now."""
        found = [] if refusal else fetchable(lang)
        first = found[0][1] if found else None
        able, every = ready(page.shelf, lang), page.shelf.labels(partial(say, lang))
        return [table(page.shelf, lang), gr.update(choices=found, value=first, visible=bool(found)),
                labelled(first, lang, not refusal), *[gr.update(choices=able)] * 2, gr.update(choices=every)]

    def arrive(request: gr.Request):
        lang, refusal = page.language(request), PERMISSION.refusal(request.headers)
        note = refusal or ("" if fetchable(lang) else "models_nothing_to_fetch")
        return [f"<p>{escape(say(lang, note))}</p>" if note else "", *stand(lang, refusal)[:-1]]

    def fetch(name: str, request: gr.Request):
        lang = page.language(request)
        for said, over in fetching(page, name, lang, request.headers):
            rest = stand(lang, PERMISSION.refusal(request.headers)) if over else [gr.skip()] * len(lists)
            yield [said, gr.update(visible=not over), *rest]

    def stopped(request: gr.Request):
        return f'<p role="status">{escape(say(page.language(request), "models_stopped"))}</p>', gr.update(visible=False)

    def name_button(name: str, request: gr.Request):
        return labelled(name, page.language(request), True)

    page.demo.load(arrive, None, [told, *lists[:-1]], **PRIVATE)  # the bench's own list comes from the address
    which.input(name_button, which, button, **PRIVATE)
    running = button.click(fetch, which, [told, stop, *lists], show_progress="hidden", **PRIVATE, **FETCHING)
    stop.click(stopped, None, [told, stop], cancels=[running], **PRIVATE)


def _endpoint(page: Page, pair: list) -> None:
    def compare_models(picture: str | None, labels: str, templates: str, none_of_these: bool, first: str, second: str,
                       request: gr.Request) -> dict:
        """Two models on the same picture and labels.

        Args:
            picture: the picture.
            labels: separated by commas or new lines.
            templates: sentences around a label, {} is its place, separated by new lines.
            none_of_these: whether everyday words compete with the labels.
            first: "automatic", or the name of a model that is ready.
            second: likewise.

        Returns:
            For each of the two the model that answered and, for each label, its probability, cosine, logit and prompts.
        """
        lang, found = page.language(request), {}
        with friendly_errors(lang):
            for key, choice in (("first", first), ("second", second)):
                name = AUTOMATIC if choice == CHOSEN else choice  # nothing is chosen for a program
                asked = page.asked(picture, labels, templates, none_of_these, name, lang)
                prediction, scale, times, _ = zero_shot.answer(asked)
                found[key] = {"model": asked.embedder.name} | zero_shot.as_data(prediction, scale, times, lang)
        return found

    inputs = [*page.bench.asked[:4], *pair]
    endpoint(page, "models", "compare_models", compare_models, inputs, {"answers": gr.JSON}, SLOW)
