"""The language in which the checkers speak: English, or Chinese with CLIPMINI_LANG=zh."""

import json
import os
from functools import cache
from pathlib import Path


@cache
def chinese() -> dict[str, str]:
    """English sentence, with {names} for what is filled in -> the Chinese one."""
    return json.loads((Path(__file__).parent / "zh.json").read_text(encoding="utf-8"))


def language() -> str:
    """"zh" if CLIPMINI_LANG says so, else "en"."""
    return "zh" if os.environ.get("CLIPMINI_LANG", "").lower().startswith("zh") else "en"


def say(template: str, **values) -> str:
    """A sentence in the reader's language, its {names} filled in. A sentence without a translation stays English."""
    sentence = chinese().get(template, template) if language() == "zh" else template
    return sentence.format(**values) if values else sentence
