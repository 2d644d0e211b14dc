"""Memory that is free goes back to the system. Both functions speak to glibc; elsewhere there is nothing to do."""

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8  # of mallopt, in glibc's malloc.h
ARENAS = 2


def keep_together() -> None:
    """Call it before the first thread: else glibc gives each one a heap of its own, up to eight a core, and what they
    free lies apart in them, 80 MB after ten minutes of fifty visitors."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """glibc keeps what was freed, a hundred megabytes after some figures."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
