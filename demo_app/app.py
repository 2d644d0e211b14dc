"""The app. `python -m demo_app.app` or `clipmini app` starts it; demo is the gr.Blocks for hosts that want it."""

import os
import sys

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported: the app talks to nobody
TOLD_OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface-hub is imported; models are fetched by another process

import argparse  # noqa: E402
import logging  # noqa: E402
import re  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from importlib.util import find_spec  # noqa: E402
from ipaddress import ip_network  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, cast  # noqa: E402
from urllib.parse import urlsplit  # noqa: E402

if __name__ == "__main__" and not __package__:  # run as a file, as a Space does: the packages are beside our folder
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from demo_app.server import folder, memory  # noqa: E402

memory.keep_together()
folder.settle()  # before gradio is imported: its files go into a folder that ends with this process

import gradio as gr  # noqa: E402

from clipmini.files import CheckpointError  # noqa: E402
from clipmini.tasks.index import NoIndexError  # noqa: E402
from demo_app import saving, searched, start, style, tabs, workbench  # noqa: E402
from demo_app.map import stored  # noqa: E402
from demo_app.names import naming  # noqa: E402
from demo_app.page import CAUSED, PRIVATE, Page, samples_folder  # noqa: E402
from demo_app.server import checks, http, limits, log, run  # noqa: E402
from demo_app.server.line import Line  # noqa: E402
from demo_app.server.reconnect import reconnecting  # noqa: E402
from demo_app.shelf import AUTOMATIC, OWN, Model, Shelf  # noqa: E402
from demo_app.texts import LANGUAGES, TEXTS, say  # noqa: E402

I18N = gr.I18n(**{tag: TEXTS[tag[:2]] for tag in ("en", "zh", "zh-CN", "zh-TW")})
MAX_FILE_SIZE = "20mb"
ONE_HOUR = 3600  # seconds
USER = "class"  # who logs in with --password


def build_demo(model: str | Model = "emoji", lang: str | None = None, instead: start.Instead | None = None
               ) -> gr.Blocks:
    """The page. model: embedded name or checkpoint folder; lang: "en", "zh", or None to follow the browser; instead:
    the model that the page should have started with.

    A model that cannot be loaded is told on the page and at the button.
    """
    word = cast(Callable[[str], str], I18N) if lang is None else TEXTS[lang].__getitem__
    with gr.Blocks(title="clipmini", delete_cache=(ONE_HOUR, ONE_HOUR), analytics_enabled=False) as demo:
        own = model if isinstance(model, Model) else Model(model)
        shelf = Shelf(own, Model)
        with gr.Column(elem_classes="cm-hero"):
            gr.Markdown(f"# {word('title')}", elem_id="title")
            sentence = gr.Markdown(word(style.sentence_key(own.try_get()[0])), elem_classes="cm-sentence")
            line = gr.HTML(style.model_line(lang or "en", *own.try_get(), shelf.reads_photos), elem_id="model")
        with gr.Row(equal_height=False, elem_classes="cm-columns"):
            with gr.Column(scale=4, min_width=280, elem_id="bench"):
                bench, drawn = workbench.draw(word, lang or "en", own, shelf)
            page = Page(demo, own, shelf, lang, word, bench)
            with gr.Column(scale=7, min_width=300, elem_id="views-column"):
                gr.HTML('<div id="announce" class="cm-hidden" role="status" aria-live="polite"></div>',
                        elem_id="announce-box")
                with gr.Tabs(overflow_behavior="wrap", elem_id="views") as views:
                    for name in tabs.TABLE:
                        tabs.tab(name).build(page)
                saving.build(page)
        arrived = workbench.connect(page, drawn, views)
        _connect_head(page, arrived, sentence, line, instead)
    return served(demo, own, lang)


def served(demo: gr.Blocks, own: Model, lang: str | None) -> gr.Blocks:
    """The page with the app's own queue and checks; gradio's direct routes, which know neither, are closed."""
    checks.guard(demo, lang)
    demo.queue(api_open=False)
    demo._queue = Line(demo, lambda: own.try_get()[0] is not None, lang)
    return demo


def _connect_head(page: Page, arrived, sentence: gr.Markdown, line: gr.HTML, instead: start.Instead | None) -> None:
    """The head says which model answers: the page's own, or the one that was chosen. arrived: the event after which the
    choice is that of the address."""
    def head(choice: str, request: gr.Request):
        lang = page.language(request)
        try:
            model = page.model if choice == AUTOMATIC else page.shelf.pick(choice, None).model
        except CAUSED:  # the bench says why
            return gr.skip(), gr.skip()
        embedder, problem = model.try_get()
        note = style.fallback(lang, *instead) if instead else ""
        reader = page.shelf.reads_photos if choice == AUTOMATIC else ""
        return say(lang, style.sentence_key(embedder)), style.model_line(lang, embedder, problem, reader) + note

    arrived.then(head, page.bench.choice, [sentence, line], **PRIVATE)
    page.bench.choice.change(head, page.bench.choice, [sentence, line], trigger_mode="always_last", **PRIVATE)


def launch_kwargs(lang: str | None = None, proxies: Sequence[str] = (), password: str = "", mcp: bool = False
                  ) -> dict[str, Any]:
    """What demo.launch needs besides the address. proxies: whose X-Forwarded headers are obeyed; password: of the user
    "class", nothing for none; mcp: whether the endpoints are tools for agents too."""
    script = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")
    return {"auth": (USER, password) if password else None, "auth_message": say(lang or "en", "server_login"),
            "app_kwargs": http.app_kwargs(proxies), "theme": style.theme(), "css": style.CSS,
            "head": f"<script>{script}</script>{naming(lang)}{reconnecting(lang)}",
            "i18n": I18N, "max_file_size": MAX_FILE_SIZE, "strict_cors": True,
            "state_session_capacity": limits.SESSIONS_KEPT,
            "run_history": False, "footer_links": ["api", "settings"], "allowed_paths": [str(samples_folder())],
            "ssr_mode": False, "enable_monitoring": False, "pwa": False, "mcp_server": mcp}


demo = build_demo()


def port(text: str) -> int:
    """A port number from the command line."""
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 1 to 65535")
    return int(text)


def root_path(text: str) -> str:
    """Where a proxy serves the app, from the command line: a path, its slashes put right, or a whole address."""
    text = text.strip()
    address = urlsplit("/" + text.lstrip("/") if text.startswith("/") else text)  # //clip is a path too, and no host
    path = "/" + "/".join(part for part in address.path.split("/") if part)
    odd = re.search(r"[^\w.~!$&'()*+,;=@%/-]", path, re.ASCII) or {".", ".."} & set(path.split("/"))
    whole = address.scheme in ("http", "https") and address.netloc
    if odd or address.query or address.fragment or (address.scheme or address.netloc) and not whole:
        raise argparse.ArgumentTypeError(f"{text!r} is no place for the app; give a path, such as /clipmini, or a "
                                         "whole address, such as https://example.org/clipmini")
    path = "" if path == "/" else path
    return f"{address.scheme}://{address.netloc}{path}" if whole else path


def proxy(text: str) -> str:
    """The address or network of a proxy, from the command line."""
    try:
        return str(ip_network(text.strip(), strict=False))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no address of a proxy; give one such as 127.0.0.1, or a network "
                                         "such as 10.0.0.0/8") from None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="clipmini app", description="Classify pictures in the browser, offline.")
    start.add_options(p)
    p.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
                   help="address to listen at (0.0.0.0: the whole network)")
    p.add_argument("--port", type=port, help="port (default: the first free one from 7860)")
    p.add_argument("--root-path", type=root_path, default=os.environ.get("GRADIO_ROOT_PATH"),
                   help="where a proxy serves the app, such as /clipmini")
    p.add_argument("--proxy", type=proxy, action="append", default=[], metavar="ADDRESS",
                   help="obey the X-Forwarded headers of this proxy, such as 127.0.0.1; it may be repeated")
    p.add_argument("--password", default=os.environ.get("CLIPMINI_PASSWORD", ""),
                   help=f'ask visitors for this password, with the user name "{USER}"; other users of this computer '
                   "see the option, but not the variable CLIPMINI_PASSWORD, which does the same")
    p.add_argument("--share", action="store_true", help="make a public link; this one needs the network")
    p.add_argument("--no-browser", action="store_true", help="do not open the browser")
    p.add_argument("--mcp", action="store_true",
                   help="offer the endpoints to agents as tools too (Model Context Protocol, at /gradio_api/mcp/; "
                   "extra mcp)")
    p.add_argument("--quiet", action="store_true", help="write no line for each request")
    p.add_argument("--lang", choices=LANGUAGES, help="language (default: the browser's)")
    p.add_argument("--map", type=Path, metavar="FOLDER",
                   help="show the map that `clipmini map` wrote there; --model must be the model that made it")
    p.add_argument("--index", type=Path, metavar="DIR",
                   help="let visitors search the pictures of an index that `clipmini index` wrote; all of them may be "
                   "seen")
    return p


def main(argv=None) -> int:
    """Start the app and stay until it is stopped; returns the exit code."""
    args = parser().parse_args(argv)
    if args.mcp and find_spec("mcp") is None:
        print('--mcp needs the package mcp; install it with: pip install "clipmini[mcp]"', file=sys.stderr)
        return 2
    folder.take_all()
    log.to_terminal(logging.WARNING if args.quiet else logging.INFO)
    try:
        own, instead = start.own_model(args, TOLD_OFFLINE)
    except CheckpointError as error:
        print(f"{say('en', 'no_model')}: {error}", file=sys.stderr)
        return 2
    try:
        if args.map:
            stored.serve(own.name, args.map, own.get())
        if args.index:
            searched.serve(args.index, own)
    except (CheckpointError, NoIndexError) as error:
        print(f"The app could not start: {error}", file=sys.stderr)
        return 2
    page = demo if (own.name, args.lang, instead) == (OWN, None, None) else build_demo(own, args.lang, instead)
    try:
        run.serve(page, server_name=args.host, server_port=args.port, share=args.share, root_path=args.root_path,
                  inbrowser=not args.no_browser and "SPACE_ID" not in os.environ,
                  **launch_kwargs(args.lang, args.proxy, args.password, args.mcp))
    except OSError as error:
        taken = args.port and "empty port" in str(error)
        why = (f"port {args.port} of {args.host} is taken, or {args.host} is no address of this computer; choose "
               "others with --port and --host" if taken else error)
        print(f"The app could not start: {why}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
