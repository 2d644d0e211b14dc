"""The language in which the checkers speak: English, or Chinese with CLIPMINI_LANG=zh."""

import json
import os
from functools import cache
from pathlib import Path


@cache
def catalogue(name: str) -> dict[str, str]:
    """English text, with braces for what is filled in -> the Chinese one. name: "zh", what is said; "figures_zh"."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))


def language() -> str:
    """"zh" if CLIPMINI_LANG says so, else "en"."""
    return "zh" if os.environ.get("CLIPMINI_LANG", "").lower().startswith("zh") else "en"


def say(template: str, **values) -> str:
    """A sentence in the reader's language, its {names} filled in. A sentence without a translation stays English."""
    sentence = catalogue("zh").get(template, template) if language() == "zh" else template
    return sentence.format(**values) if values else sentence
