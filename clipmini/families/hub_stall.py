"""A file of the hub that is given up when it stalls, because an older copy can answer.

huggingface-hub retries for minutes and cannot be told to stop, so it downloads in a thread of its own. One that
is given up ends when it next wants to tell something: a byte that came, or a retry.
"""

import logging
import threading
import time
from contextlib import suppress
from pathlib import Path

from clipmini.hub_cache import HURRY, home, within

BLOCK = 2**12  # bytes; for one of huggingface-hub's 10 MB, a slow line needs longer than we wait


class _Download:
    """One download. heard: when it last gave a sign of life."""

    def __init__(self, blobs: Path):
        self.heard = time.monotonic()
        self._bars: list = []
        self._blobs, self._others = blobs, set(blobs.glob("*.incomplete"))
        self._thread: int | None = None  # while it runs
        self._given_up = False

    def wanted(self) -> None:
        """Raise TimeoutError in the thread of a download that was given up."""
        if self._given_up and threading.get_ident() == self._thread:
            raise TimeoutError("nobody waits for it any more")

    def shown(self, record: logging.LogRecord) -> bool:
        """Whether huggingface-hub's log shows something: not of retries here, for the copy has a line of its own."""
        self.wanted()
        return record.thread != self._thread

    def run(self, repo: str, file: str, commit: str) -> str:
        """The path of the file."""
        from huggingface_hub import constants, hf_hub_download

        constants.DOWNLOAD_CHUNK_SIZE = BLOCK
        self._thread = threading.get_ident()
        logs = logging.getLogger("huggingface_hub").handlers
        for log in logs:
            log.addFilter(self.shown)
        try:
            return hf_hub_download(repo, file, revision=commit, tqdm_class=self._bar())
        finally:
            self._thread = None
            for log in logs:
                log.removeFilter(self.shown)

    def _bar(self) -> type:
        """huggingface-hub's progress bar, which tells us too."""
        from huggingface_hub.utils import tqdm

        download = self

        class Bar(tqdm):
            def __new__(cls, *args, **options):
                download.wanted()
                download._bars.append(made := super().__new__(cls, *args, **options))
                return made

            def update(self, n=1):
                download.wanted()
                download.heard = time.monotonic()
                return super().update(n)

        return Bar

    def give_up(self) -> None:
        """Wait no longer. What it has on the screen and the disk goes now: the program may end before the thread."""
        self._given_up = True
        for bar in self._bars:
            bar.close()
        written = set(self._blobs.glob("*.incomplete")) - self._others
        if self._thread and self._bars and len(written) == 1:  # otherwise it may be another program's
            with suppress(OSError):
                written.pop().unlink()


def download(repo: str, file: str, commit: str) -> str:
    """The path of a file in the cache, downloaded. Raises TimeoutError when no byte of it comes for HURRY seconds."""
    started = _Download(home("model", repo) / "blobs")
    try:
        return within(HURRY, lambda: started.run(repo, file, commit), lambda: started.heard)
    except BaseException as error:  # Ctrl-C as well
        started.give_up()
        if isinstance(error, TimeoutError):
            raise TimeoutError(f"nothing more of {file!r} came in {HURRY:g} seconds") from None
        raise
