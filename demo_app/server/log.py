"""The log of requests: method, route, status, milliseconds, sizes; never what was sent."""

import logging
import logging.handlers
import queue
import secrets
import sys
import traceback
from pathlib import Path

requests = logging.getLogger("clipmini.requests")
unforeseen = logging.getLogger("clipmini.app")
MOST, HELD = 500, 2000  # characters of a line; lines that wait for a slow terminal, more are dropped


def log_request(scope, status: int, came: int, went: int, seconds: float) -> None:
    """One line. The route is the program's own, with placeholders: addresses hold names of files and sessions."""
    route = getattr(scope.get("route"), "path", "/health" if scope["path"] == "/health" else "-")
    if requests.isEnabledFor(logging.INFO) and (route, status) != ("/health", 200):  # each page asks it all the time
        requests.info("%s %s %d %.0f ms, in %d B, out %d B", scope["method"][:10], route[:120], status, 1000 * seconds,
                      came, went)


def log_unforeseen(error: BaseException, where: str) -> str:
    """The kind and place of an error, without its message, which may quote a visitor -> its number."""
    number, last = secrets.token_hex(3), traceback.extract_tb(error.__traceback__)[-1:]
    place = f"{Path(last[0].filename).name}:{last[0].lineno}" if last else "?"
    unforeseen.error("%s in %s at %s (number %s)", type(error).__name__, where[:120] or "-", place, number)
    unforeseen.debug("number %s", number, exc_info=error)
    return number


class _Short(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return super().format(record)[:MOST]


class _Patient(logging.handlers.QueueHandler):
    """A terminal that is paused, or a pipe that nobody reads, does not stop the app: the lines are lost."""

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            pass


def to_terminal(level: int = logging.INFO) -> None:
    """Write the log to stderr, once a process."""
    if any(isinstance(handler, _Patient) for handler in requests.handlers):
        return
    lines: queue.Queue = queue.Queue(HELD)
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(_Short("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    for logger in (requests, unforeseen):
        logger.addHandler(_Patient(lines))
        logger.setLevel(level)
        logger.propagate = False
    logging.handlers.QueueListener(lines, out).start()
