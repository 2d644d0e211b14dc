"""The arithmetic of an answer, seen: cosines, times the scale, e to that power, shares; four strips that move together.

`component` draws them, empty; `value` says what they show, and `waiting` and `problem` what stands in their place. The
slider of the scale computes in the browser. When it is let go, the component's event `rescale` brings {"scale": number,
"own": the model's} as gr.EventData's _data.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import gradio as gr
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.tasks.classify import Classifier, Prediction
from clipmini.tasks.prompts import EVERYDAY_WORDS
from demo_app.style import SHOWN_LABELS
from demo_app.texts import TEXTS, say, say_message

HERE = Path(__file__).parent
SCRIPT, STYLE, TEMPLATE = ((HERE / f"arithmetic.{kind}").read_text(encoding="utf-8") for kind in ("js", "css", "html"))
LEAST_SCALE, MOST_SCALE = 1.0, 100.0  # of the slider; a model whose own is larger has that at the end
# First places nearer than this are a tie. That is cautious: saving the sample pictures as JPEG (quality 90) changes the
# difference of two words' cosines by 0.007 in the median (emoji), moving them by one pixel by 0.011.
SAME_SHARE, SAME_COSINE = 0.01, 0.001
SAID = ("answer", "label", "probability", "cosine", "logit", "none")  # and all that begin with "ar_"


def component(word: Callable[[str], str], lang: str, elem_id: str = "answer") -> gr.HTML:
    """The strips before there is an answer. word: key -> text for the page; lang: of what stands in them until then."""
    return gr.HTML(waiting(lang), label=word("answer"), html_template=TEMPLATE, css_template=STYLE, js_on_load=SCRIPT,
                   elem_id=elem_id)


def waiting(lang: str) -> str:
    """What the component shows while there is no answer, in one visitor's language."""
    return json.dumps({"waiting": say(lang, "waiting")})


def problem(text: str) -> str:
    """What the component shows in place of an answer: why there is none."""
    return json.dumps({"problem": text})


def tied(found: Prediction, none: str = "none of these") -> list[str]:
    """Who shares the first place of the first picture: two or more names in their own order, as there is
    no other; or [] where one wins.

    A tie: less than SAME_SHARE behind the best in probability, or less than SAME_COSINE in cosine.
    """
    rows = list(zip(found.probabilities[0].tolist(), found.cosines[0].tolist(), found.labels, strict=True))
    ranked = [*rows, *([] if found.none is None else [(found.none[0].item(), None, none)])]
    share, cosine, _ = max(ranked, key=lambda row: row[0])
    names = [name for p, c, name in ranked if share - p < SAME_SHARE
             or cosine is not None and c is not None and cosine - c < SAME_COSINE]
    return names if len(names) > 1 else []


def background(made: Classifier, found: Prediction, everyday: Tensor | None) -> list[tuple[str, float, int]]:
    """Everyday words and their cosines with the first picture: (word, cosine, 1 where it competes as "none of these").

    everyday: build_classifier(embedder, EVERYDAY_WORDS, templates); without it only those that compete are known.
    """
    if found.vectors is None or everyday is None and made.others is None:
        return []
    names, vectors = (made.rivals, made.others) if everyday is None else (EVERYDAY_WORDS, everyday)
    cosines = (found.vectors[0] @ vectors.t()).tolist()
    return [(name, round(c, 7), int(name in made.rivals)) for name, c in zip(names, cosines, strict=True)]


def value(embedder: Embedder, made: Classifier, found: Prediction, lang: str, scale: float | None = None,
          everyday: Tensor | None = None, why: str = "", times: dict | None = None,
          cautions: Sequence[str] = (), none_fits: bool = False) -> str:
    """What the component shows of the first picture, as JSON. The browser computes the shares from it.

    made, found: what classify was given and gave; scale: what cosines are multiplied with, None for the model's own;
    everyday: see background; why: a sentence on which model answered; times: picture, texts and total, in ms;
    cautions: sentences on what makes the answer doubtful; none_fits: whether the headline says so too.
    """
    own = embedder.logit_scale
    return json.dumps({
        "said": {key: TEXTS[lang][key] for key in TEXTS[lang] if key in SAID or key.startswith("ar_")},
        "labels": list(zip(found.labels, (round(c, 7) for c in found.cosines[0].tolist()), strict=True)),
        "words": background(made, found, everyday), "none": found.none is not None,
        "scale": own if scale is None else scale, "own": own, "range": [LEAST_SCALE, max(MOST_SCALE, own)],
        "bias": embedder.logit_bias, "templates": len(made.templates), "shown": SHOWN_LABELS,
        "tie": [SAME_SHARE, SAME_COSINE], "why": why, "none_fits": none_fits,
        "notes": [*(say_message(lang, note) for note in found.notes), *cautions],
        "times": say(lang, "times", **times) if times else ""})
