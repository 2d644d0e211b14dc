"""The script that tells a visitor when the app has gone and when it is back."""

import json
from pathlib import Path

from demo_app.server.http import INSTANCE
from demo_app.texts import LANGUAGES, TEXTS

SCRIPT = (Path(__file__).parent / "reconnect.js").read_text(encoding="utf-8")
KEYS = ("away", "back", "reload")


def reconnecting(lang: str | None) -> str:
    """What goes into the head of the page. lang: fixed language, or None to follow the document."""
    words = {one: {key: TEXTS[one][f"server_{key}"] for key in KEYS} for one in ([lang] if lang else LANGUAGES)}
    told = json.dumps({"instance": INSTANCE, "words": words}).replace("<", "\\u003c")
    return f"<script>\n{SCRIPT.replace('TOLD', told, 1)}</script>"
