"""The script that names Gradio's own buttons in the language of the page."""

import json
from pathlib import Path

from demo_app.texts import LANGUAGES, TEXTS

SCRIPT = (Path(__file__).parent / "names.js").read_text(encoding="utf-8")
GRADIOS = {"common.upload": "pictures", "Fullscreen": "button_large", "Exit fullscreen mode": "button_small",
           "Remove Image": "button_remove_picture", "File upload": "button_upload", "Upload file": "button_upload",
           "Capture from camera": "button_camera", "Paste from clipboard": "button_paste",
           "Click to upload or drop files": "button_upload_files", "Remove this file": "button_remove_file",
           "Copy table data": "button_copy_table", "Stop Recording": "button_stop",
           "Gradio footer navigation": "foot"}  # what it writes -> our key


def naming(lang: str | None) -> str:
    """What goes into the head of the page. lang: fixed language, or None to follow the document."""
    words = {one: {name: TEXTS[one][key] for name, key in GRADIOS.items() if TEXTS[one][key] != name}
             for one in ([lang] if lang else LANGUAGES)}
    return f"<script>\n{SCRIPT.replace('TOLD', json.dumps(words).replace('<', chr(92) + 'u003c'), 1)}</script>"
