"""What a request asks, looked at before work starts: types, files, sizes; and errors as words."""

import inspect
import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from anyio.to_thread import run_sync
from gradio.exceptions import InvalidPathError
from PIL import Image

from clipmini.image import MAX_PIXELS
from demo_app.server import limits
from demo_app.server.limits import shortened
from demo_app.server.log import log_unforeseen
from demo_app.texts import language_of, say

MOST_QUOTED = 800  # characters of a message
OWN_FILE = re.compile(r"https?://[^/]+(?:/[\w./-]*)?/gradio_api/file=")


def problem(function, data: list, lang: str) -> str | None:
    """Why an endpoint cannot be asked with these values, in words; None where it can."""
    named = list(zip(function.inputs, _names(function), strict=True))
    given = [(block, name) for block, name in named if not isinstance(block, gr.State)]
    if len(data) not in (len(named), len(given)):
        return say(lang, "server_inputs", n=len(data), limit=len(given), names=", ".join(name for _, name in given))
    asked = named if len(data) == len(named) else given
    for number, ((block, name), value) in enumerate(zip(asked, data, strict=True), 1):
        wanted = _wrong(block, value, function.api_visibility == "public")
        if wanted:
            return say(lang, "server_wrong_type", n=number, name=name, value=shortened(value),
                       wanted=say(lang, f"server_wants_{wanted}"))
    letters = sum(len(value) for value in data if isinstance(value, str))
    if letters > limits.TEXT_CHARACTERS:
        return say(lang, "server_letters", n=letters, limit=limits.TEXT_CHARACTERS)
    return None


def _names(function) -> list[str]:
    """What the inputs of an endpoint are called: as the function calls them."""
    names = list(inspect.signature(function.fn).parameters)[:len(function.inputs)]
    return names + [f"input {n + 1}" for n in range(len(names), len(function.inputs))]


def _is_text(value) -> bool:
    return value is None or isinstance(value, str)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_file(value) -> bool:
    _make_local(value)
    return value is None or (isinstance(value, dict) and isinstance(value.get("path"), str)
                             and not value["path"].lower().startswith(("http:", "https:", "data:")))


def _make_local(value) -> None:
    """An address of a file of this app, as agents give it, becomes its path: nothing is fetched. gradio then looks
    whether the path is one of its own."""
    if isinstance(value, dict) and isinstance(value.get("path"), str) and OWN_FILE.match(value["path"]):
        value["path"] = unquote(OWN_FILE.sub("", value["path"], count=1))
        value.pop("url", None)


def _are_files(value) -> bool:
    return value is None or (isinstance(value, list) and all(v is not None and _is_file(v) for v in value))


RULES: tuple[tuple[tuple[type, ...], Callable[[Any], bool], str], ...] = (
    ((gr.Textbox,), _is_text, "text"),
    ((gr.Radio,), _is_text, "text"),
    ((gr.Slider,), _is_number, "number"),
    ((gr.Number,), lambda value: value is None or _is_number(value), "number"),
    ((gr.Checkbox,), lambda value: value is None or isinstance(value, bool), "switch"),
    ((gr.Image,), _is_file, "file"),
    ((gr.File,), _are_files, "files"))
EMPTY = (gr.Image, gr.File, gr.Number)  # what a program may leave empty; each endpoint says what that means


def _wrong(block, value, public: bool) -> str:
    """What a component wants in place of a value; nothing where the value will do. public: the value is a program's;
    the page sends nothing for what is not yet set."""
    if value is None and public and not isinstance(block, EMPTY):
        return "switch" if isinstance(block, gr.Checkbox) else "text"
    if isinstance(block, gr.Dropdown) and not block.multiselect:
        return "" if _is_text(value) else "text"
    return next((wanted for kinds, right, wanted in RULES if isinstance(block, kinds) and not right(value)), "")


def pictures(blocks: list, values: list) -> Iterator[str]:
    """The files among the values that a function is called with."""
    for block, value in zip(blocks, values, strict=False):
        if isinstance(block, (gr.Image, gr.File)):
            yield from (str(v) for v in (value if isinstance(value, list) else [value]) if v)


def pixels_of(path: str) -> int:
    """How many pixels a picture file says it has; 0 for what is no picture: it is refused later, in words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(Path(path)) as image:
                return min(image.width * image.height, MAX_PIXELS)
        except Exception:  # a damaged header may raise anything
            return 0


def budget(sizes: list[int], texts: list[str], lang: str) -> str | None:
    """Why so many pictures and texts are too much for one request, in words. sizes: pixels of each picture."""
    if sum(sizes) > limits.REQUEST_PIXELS:
        return say(lang, "server_pixels", n=len(sizes), pixels=sum(sizes) // 1_000_000,
                   limit=limits.REQUEST_PIXELS // 1_000_000)
    words = max((len([w for w in text.replace("\n", ",").split(",") if w.strip()]) for text in texts), default=0)
    if len(sizes) > 1 and len(sizes) * words > limits.REQUEST_PAIRS:
        return say(lang, "server_pairs", n=len(sizes), words=words, pairs=len(sizes) * words,
                   limit=limits.REQUEST_PAIRS)
    return None


def as_error(error: Exception, name: str, lang: str) -> gr.Error:
    """Any exception of a job as a message for the visitor; what nobody foresaw is noted by number and place."""
    if isinstance(error, gr.Error):
        if len(error.message) > MOST_QUOTED:
            error.message = f"{error.message[:MOST_QUOTED]}... ({len(error.message):,})"
        error.print_exception = False
        return error
    if isinstance(error, (InvalidPathError, FileNotFoundError)):
        words = say(lang, "server_no_file")
    else:
        number = log_unforeseen(error, name)
        words = say(lang, "server_unforeseen", kind=type(error).__name__, number=number)
    return gr.Error(words, title=say(lang, "error"), print_exception=False)


def guard(demo: gr.Blocks, lang: str | None) -> None:
    """Have the page's jobs looked at: budget and room for decoding before a function runs, words after it failed."""
    gate = limits.Gate(limits.PIXELS_AT_ONCE)
    process, call = demo.process_api, demo.call_function

    def tongue(request) -> str:
        one = request[0] if isinstance(request, list) and request else request
        return lang or (language_of(one) if isinstance(one, gr.Request) else "en")

    async def process_api(block_fn, *args, **options):
        try:
            return await process(block_fn, *args, **options)
        except Exception as error:
            name = str(getattr(block_fn, "api_name", None) or getattr(block_fn, "name", ""))
            raise as_error(error, name, tongue(options.get("request"))) from None

    async def call_function(block_fn, processed_input, iterator=None, requests=None, *args, **options):
        inputs = getattr(block_fn, "inputs", [])
        paths = list(pictures(inputs, processed_input))
        if not paths:
            return await call(block_fn, processed_input, iterator, requests, *args, **options)
        sizes = await run_sync(lambda: [pixels_of(path) for path in paths])
        texts = [v for b, v in zip(inputs, processed_input, strict=False)
                 if isinstance(b, gr.Textbox) and isinstance(v, str)]
        refusal = budget(sizes, texts, tongue(requests))
        if refusal:
            raise gr.Error(refusal, title=say(tongue(requests), "error"), print_exception=False)
        async with gate.room(max(sizes)):
            return await call(block_fn, processed_input, iterator, requests, *args, **options)

    demo.process_api, demo.call_function = process_api, call_function  # type: ignore[method-assign, assignment]
