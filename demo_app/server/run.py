"""From the start of the app to its end: signals, the hourly sweep, and jobs that may finish."""

import signal
import threading
import time
from typing import Any

import gradio as gr

from demo_app.server import folder, limits, memory
from demo_app.server.line import Line

HOUR = 3600  # seconds
GIVEN_BACK = 20  # seconds
TOLD = 1.0  # seconds that pages have to read the last answers


def serve(demo: gr.Blocks, **options: Any) -> None:
    """Launch the page and stay until SIGTERM or Ctrl-C; then let running jobs end. Raises OSError without a port."""
    stop = threading.Event()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {one: signal.signal(one, lambda *_: stop.set()) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        demo.launch(prevent_thread_lock=True, **options)
        swept = trimmed = time.monotonic()
        while not stop.wait(0.2) and demo.is_running:
            if time.monotonic() - trimmed > GIVEN_BACK:
                memory.give_back()
                trimmed = time.monotonic()
            if time.monotonic() - swept > HOUR:
                folder.sweep_old(shown(demo))
                swept = time.monotonic()
        drain(demo)
        demo.close(verbose=False)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def shown(demo: gr.Blocks) -> set[str]:
    """The files that the page itself shows; they stay."""
    return {path for block in demo.blocks.values() for path in getattr(block, "keep_in_cache", ())}


def drain(demo: gr.Blocks, seconds: float = limits.DRAIN_SECONDS) -> bool:
    """Take no more jobs, tell those that wait, and let the running ones end -> whether they did in time."""
    line = demo._queue
    assert isinstance(line, Line)
    line.draining = True
    end = time.monotonic() + seconds
    while line.running() and time.monotonic() < end:
        time.sleep(0.1)
    done = not line.running()
    time.sleep(TOLD)
    return done
