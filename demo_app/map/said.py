"""What the page says of a map: whose it is, how far it is, how long it still takes."""

import math
from html import escape

from clipmini.tasks.maps import projection
from clipmini.tasks.maps.folder import EmbeddingMap
from demo_app.map import made
from demo_app.map.canvas import Opened
from demo_app.texts import say, say_error


def gap_sentence(found: EmbeddingMap, lang: str) -> str:
    """How far pictures and words live apart, in words."""
    images, texts = found.vectors[:found.pictures], found.vectors[found.pictures:]
    if not len(texts):
        return ""
    return say(lang, "map_gap_said", before=projection.modality_gap(images, texts),
               after=projection.modality_gap(*projection.without_gap(images, texts)))


def status(lang: str, key: str, aloud: bool = True, **values) -> str:
    """A sentence; aloud: a screen reader says it when it changes, which would be tiresome every second."""
    role = ' role="status"' if aloud else ""
    return f'<p{role} class="cm-small">{escape(say(lang, f"map_js_{key}", **values), quote=False)}</p>'


def title(o: Opened, lang: str) -> str:
    """Whose map it is."""
    found = o.found
    return status(lang, "own" if o.own else "of", model=found.model, n=found.pictures,
                  m=len(found.names) - found.pictures, how="UMAP" if found.by_umap else "PCA")


def progress(step: made.Step, lang: str, model: str, seconds: float = 0) -> str:
    """How far a map is, in words, and how long the pictures still take. seconds: since they were begun."""
    aloud = step.note not in ("pictures", "words", "placing")
    why = say_error(lang, step.why) if step.why else ""
    told = status(lang, f"step_{step.note}", aloud, done=step.done, total=step.total, model=model, why=why)
    if step.note != "pictures" or not step.done or seconds < 2:
        return told
    left = seconds * (step.total - step.done) / step.done
    return told.replace("</p>", " " + escape(say(lang, "map_js_left", seconds=math.ceil(left)), quote=False) + "</p>")
