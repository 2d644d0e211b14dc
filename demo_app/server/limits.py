"""What one visitor, one request and all together may take; the numbers are told in the message of who passes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape

from clipmini.image import MAX_PIXELS

QUEUE_MOST = 256  # jobs that wait, in all lanes together: 50 visitors with 5 each
SESSION_MOST = 8  # of one page in one lane
ADDRESS_MOST = 120  # of one address in one lane: a classroom sits behind one
SESSIONS_KEPT = 200  # pages whose state is kept, a third of a megabyte each; the one unused for longest goes first
READER_SECONDS = 60  # a job whose answer nobody waits for by then is dropped
KEPT_SECONDS = 600  # an answer that nobody fetched
JOB_SECONDS = 120  # a job that tells its progress is stopped by then
DRAIN_SECONDS = 20  # between SIGTERM and the end

BODY_BYTES = 1_000_000
UPLOAD_BYTES = 20_000_000  # of one file; gradio counts them
UPLOAD_BODY_BYTES = 250_000_000  # of all files of one request

TEXT_CHARACTERS = 200_000  # of all texts of one request
REQUEST_PIXELS = 1_000_000_000  # of all pictures of one request: they are decoded one after the other
REQUEST_PAIRS = 200 * 200  # pictures x texts
PIXELS_AT_ONCE = 2 * MAX_PIXELS  # decoded at the same time, in all lanes together
SHOWN = 80  # characters of a value that a message quotes


def shortened(value: object, most: int = SHOWN) -> str:
    """A value in a message, which the page shows as HTML: its beginning, and how long it is.

    >>> shortened("a" * 300, 4)
    "'aaaa'... (300 characters)"
    """
    text = value if isinstance(value, str) else str(value)[:most + 1] if isinstance(value, (int, float)) else ""
    if not text and not isinstance(value, str):
        return f"a value of the type {type(value).__name__}"
    quoted = escape(repr(text[:most]), quote=False)
    return quoted if len(text) <= most else f"{quoted}... ({len(text):,} characters)"


class Gate:
    """At most so many pixels are in work at a time; whoever comes first goes first."""

    def __init__(self, most: int):
        self.most, self.used, self._turn, self._free = most, 0, asyncio.Lock(), asyncio.Condition()

    @asynccontextmanager
    async def room(self, pixels: int) -> AsyncIterator[None]:
        """Wait for room; a picture that is larger than all of it goes alone."""
        pixels = min(pixels, self.most)
        async with self._turn, self._free:
            await self._free.wait_for(lambda: self.used + pixels <= self.most)
            self.used += pixels
        try:
            yield
        finally:
            async with self._free:
                self.used -= pixels
                self._free.notify_all()
