"""The views of the page, a tab and a file each, and this table.

To add one: write a file with `build(page)`, which draws the view and connects it (views.py says how), and put its name
into TABLE. Its words go into the texts, or into a constant of the file, WORDS = {"en": {key: text}, "zh": {key: text}};
tab_NAME is the one at the tab.
"""

from importlib import import_module
from typing import Protocol

from demo_app.page import Page
from demo_app.texts import LANGUAGES, TEXTS

# In the order of the page.
TABLE = ("zero_shot", "inside", "cut", "map", "search", "prompts", "fails", "matrix", "saw", "models")


class Tab(Protocol):
    """What a file of this folder offers."""

    def build(self, page: Page) -> None:
        """Draw the tab and connect it."""


def tab(name: str) -> Tab:
    """A tab by its name in TABLE."""
    return import_module(f"demo_app.tabs.{name}")


def add_words(name: str) -> None:
    """Add a tab's own WORDS, where it has any, to the texts.

    Raises ValueError for a language that is missing and for a key that the texts have already.
    """
    words = getattr(tab(name), "WORDS", None) or dict.fromkeys(LANGUAGES, {})
    if set(words) != set(LANGUAGES):
        raise ValueError(f"WORDS of the tab {name!r} are in {sorted(words)}; write them in {' and '.join(LANGUAGES)}")
    taken = sorted({key for lang in LANGUAGES for key in words[lang] if key in TEXTS[lang]})
    if taken:
        raise ValueError(f"WORDS of the tab {name!r} have keys that the texts have already: {', '.join(taken)}; choose "
                         f"others, such as {name}_{taken[0]}")
    for lang in LANGUAGES:
        TEXTS[lang].update(words[lang])


for _name in TABLE:
    add_words(_name)
