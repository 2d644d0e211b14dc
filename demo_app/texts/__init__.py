"""Everything the app says, in en.json and zh.json, and how it finds out which of the two languages to speak.

The package's own messages are English already; messages_zh.json says them in Chinese.
"""

import json
from pathlib import Path

from clipmini.image import FORMATS, MAX_ASPECT, MAX_PIXELS, ImageError
from clipmini.tasks.prompts import MESSAGES, Note, PromptError

LANGUAGES = ("en", "zh")


def _read(name: str) -> dict[str, str]:
    """One of the files beside this one: key -> text."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))


TEXTS = {lang: _read(lang) for lang in LANGUAGES}
MESSAGES_ZH = _read("messages_zh")  # the same kinds as clipmini.tasks.prompts.MESSAGES


def language_of(request) -> str:
    """"zh" or "en": the first of the two that the browser's Accept-Language names; it lists the favourite first."""
    header = request.headers.get("accept-language", "") if request is not None else ""
    wanted = [part.split(";")[0].strip().lower()[:2] for part in header.split(",")]
    return next((w for w in wanted if w in LANGUAGES), "en")


def say(lang: str, key: str, **values) -> str:
    """One of TEXTS, filled in."""
    return TEXTS[lang][key].format(**values) if values else TEXTS[lang][key]


def say_message(lang: str, message: Note | PromptError) -> str:
    """A message of the package in words."""
    return (MESSAGES_ZH if lang == "zh" else MESSAGES)[message.kind].format(**message.values)


class Told(ValueError):
    """An error that the app itself raises: a sentence of TEXTS, which is said in the visitor's language."""

    def __init__(self, key: str, **values):
        super().__init__(say("en", key, **values))
        self.key, self.values = key, values


def say_error(lang: str, error: Exception) -> str:
    """An error in words; details that exist in English only come after a Chinese sentence with the limits."""
    if isinstance(error, Told):
        return say(lang, error.key, **error.values)
    if isinstance(error, PromptError):
        return say_message(lang, error)
    if lang == "zh" and isinstance(error, ImageError):
        return (f"这张图片不能用。支持 {'、'.join(FORMATS)}，最多 {MAX_PIXELS // 10_000:,} 万像素，"
                f"长宽比最多 {MAX_ASPECT}:1。（{error}）")
    return str(error)
