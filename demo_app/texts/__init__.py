"""Everything the app says, in en.json and zh.json, and how it finds out which of the two languages to speak.

The package's own messages are English already; messages_zh.json says them in Chinese.
"""

import json
import re
from pathlib import Path
from typing import Any

from clipmini.files import CheckpointError
from clipmini.image import FORMATS, MAX_ASPECT, MAX_PIXELS, ImageError
from clipmini.tasks.prompts import MESSAGES, Note, PromptError

LANGUAGES = ("en", "zh")


def _read(name: str) -> dict[str, Any]:
    """One of the files beside this one: key -> text."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))


TEXTS = {lang: _read(lang) for lang in LANGUAGES}
MESSAGES_ZH = _read("messages_zh")  # the same kinds as clipmini.tasks.prompts.MESSAGES
# What a model may do wrong, as pairs of a pattern of the English message and a Chinese text: "exact" ones say all, and
# "kinds" say what kind it is and what to do, and then quote the message, which names file and number.
ERRORS_ZH = {kind: [(re.compile(pattern, re.DOTALL), text) for pattern, text in pairs]
             for kind, pairs in _read("errors_zh").items()}
PART = re.compile(r"(.*)\. The cache holds a part of it \(revision (\S+)\), which lacks (.+)", re.DOTALL)


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


class Missing(Told):
    """Something that a visitor has not brought yet: a hint, and no failure."""


def say_problem(lang: str, text: str) -> str:
    """What a CheckpointError said, in a language."""
    if lang != "zh":
        return text
    if part := PART.fullmatch(text):
        return f"{say_problem(lang, part[1])}缓存中有它的一部分（版本 {part[2]}），缺少 {part[3]}。"
    return _chinese(text, "exact") or _chinese(text, "kinds") or f"这个模型不能用。请换一个模型。（原文：{text}）"


def _chinese(text: str, kind: str) -> str:
    """The Chinese text of the first pattern that an English one has, or nothing."""
    for pattern, chinese in ERRORS_ZH[kind]:
        if found := pattern.fullmatch(text):
            inner = {"rest": say_problem("zh", found["rest"])} if "rest" in pattern.groupindex else {}
            return chinese.format(**found.groupdict() | inner, original=text)
    return ""


def say_error(lang: str, error: Exception) -> str:
    """An error in words; details that exist in English only come after a Chinese sentence with the limits."""
    if isinstance(error, Told):
        return say(lang, error.key, **error.values)
    if isinstance(error, PromptError):
        return say_message(lang, error)
    if isinstance(error, CheckpointError):
        return say_problem(lang, str(error))
    if lang == "zh" and isinstance(error, ImageError):
        return (f"这张图片不能用。支持 {'、'.join(FORMATS)}，最多 {MAX_PIXELS // 10_000:,} 万像素，"
                f"长宽比最多 {MAX_ASPECT}:1。（{error}）")
    return lang == "zh" and _chinese(str(error), "exact") or str(error)
