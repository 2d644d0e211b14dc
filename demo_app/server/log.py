"""The log of requests: method, route, status, milliseconds, sizes; never what was sent."""

import logging
import os
import queue
import secrets
import threading
import traceback
from contextlib import suppress
from pathlib import Path

requests = logging.getLogger("clipmini.requests")
unforeseen = logging.getLogger("clipmini.app")
QUIET = ("/health", "/assets/{path:path}", "/gradio_api/heartbeat/{session_hash}")  # each page asks for them by itself
MOST, HELD = 500, 2000  # characters of a line; lines that wait for a slow terminal, more are dropped


def log_request(scope, status: int, came: int, went: int, seconds: float) -> None:
    """One line. The route is the program's own, with placeholders: addresses hold names of files and sessions."""
    route = getattr(scope.get("route"), "path", "/health" if scope["path"] == "/health" else "-")
    quiet = status < 400 and route in QUIET
    if requests.isEnabledFor(logging.INFO) and not quiet:
        requests.info("%s %s %d %.0f ms, in %d B, out %d B", scope["method"][:10], route[:120], status, 1000 * seconds,
                      came, went)


def log_unforeseen(error: BaseException, where: str) -> str:
    """The kind and place of an error, without its message, which may quote a visitor -> its number."""
    number, last = secrets.token_hex(3), traceback.extract_tb(error.__traceback__)[-1:]
    place = f"{Path(last[0].filename).name}:{last[0].lineno}" if last else "?"
    unforeseen.error("%s in %s at %s (number %s)", type(error).__name__, where[:120] or "-", place, number)
    unforeseen.debug("number %s", number, exc_info=error)
    return number


class _Patient(logging.Handler):
    """A terminal that is paused, or a pipe that nobody reads, stops neither the app nor its end: the lines are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        self.lines: queue.Queue[str] = queue.Queue(HELD)
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            self.lines.put_nowait(self.format(record)[:MOST])

    def _write(self) -> None:
        """Past sys.stderr, whose lock Python wants at its end."""
        while True:
            with suppress(OSError):
                os.write(2, f"{self.lines.get()}\n".encode(errors="replace"))


def to_terminal(level: int = logging.INFO) -> None:
    """Write the log to stderr, once a process."""
    if any(isinstance(handler, _Patient) for handler in requests.handlers):
        return
    handler = _Patient()
    for logger in (requests, unforeseen):
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
