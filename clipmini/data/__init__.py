"""Data: a file each, and this table.

To add a source: write a file with a frozen dataclass that inherits from base.Source, and put a line into SOURCES.
"""

from importlib import import_module

from clipmini.data.base import Source, SourceError

SOURCES = {  # name -> module:object
    "emoji": "clipmini.data.emoji.dataset:EMOJI", "emoji-pip": "clipmini.data.emoji.dataset:EMOJI_PIP",
    "shapes": "clipmini.data.shapes:SOURCE", "order": "clipmini.data.shapes:ORDER",
    "scenes": "clipmini.data.scenes:SOURCE", "fashion": "clipmini.data.fashion:SOURCE",
    "clipart": "clipmini.data.clipart:SOURCE", "clutter": "clipmini.data.clutter:SOURCE",
}


def find(name: str) -> Source:
    """A source by its name in SOURCES, else a test set of the field, else somebody's own file, folder or data set of
    the hub. Raises SourceError that lists them."""
    from clipmini.data.own.source import Own, is_own
    from clipmini.data.testsets import TEST_SETS

    if name in SOURCES:
        module, _, attribute = SOURCES[name].partition(":")
        return getattr(import_module(module), attribute)
    if name in TEST_SETS:
        return TEST_SETS[name]
    if is_own(name):
        return Own(name)
    raise SourceError(f"there is no data {name!r}; there are {', '.join([*SOURCES, *TEST_SETS])}, or give a file, a "
                      "folder or a data set of the hub")
