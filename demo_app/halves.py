"""Two models' answers beside each other: the HTML of each half. All user text is escaped here."""

from collections.abc import Sequence
from html import escape

from clipmini.tasks.classify import Prediction
from demo_app.style import SHOWN_LABELS
from demo_app.texts import say, say_message


def half(lang: str, name: str, line: str, prediction: Prediction, doubts: Sequence[str]) -> str:
    """One model's answer: line (HTML) says who it is; then the bars, notes, and what makes the answer doubtful."""
    rows = [(p, label, f"{c:+.3f}") for p, label, c in zip(
        prediction.probabilities[0].tolist(), prediction.labels, prediction.cosines[0].tolist(), strict=True)]
    if prediction.none is not None:
        rows.append((prediction.none[0].item(), say(lang, "none"), ""))
    rows.sort(key=lambda row: -row[0])
    shown, rest = rows[:SHOWN_LABELS], rows[SHOWN_LABELS:]
    if rest:
        shown.append((sum(row[0] for row in rest), say(lang, "more_labels", n=len(rest)), ""))
    head = "".join(f'<th scope="col">{escape(say(lang, key))}</th>' for key in ("probability", "cosine"))
    notes = "".join(f"<li>{escape(said)}</li>"
                    for said in [*(say_message(lang, note) for note in prediction.notes), *doubts])
    return (f'<section class="cm-half" data-model="{escape(name)}" aria-label="{escape(name)}">{line}'
            f'<div class="cm-card"><p class="cm-first">{escape(rows[0][1])} <span>{100 * rows[0][0]:.1f} %</span></p>'
            f'<table class="cm-bars"><thead><tr><th scope="col" class="cm-name">{escape(say(lang, "label"))}</th>'
            f'<td></td>{head}</tr></thead><tbody>{"".join(_row(*row) for row in shown)}</tbody></table>'
            + (f'<ul class="cm-notes">{notes}</ul>' if notes else "") + "</div></section>")


def _row(probability: float, name: str, cosine: str) -> str:
    percent = f"{100 * probability:.2f}"
    return (f'<tr><th scope="row" class="cm-name">{escape(name)}</th><td class="cm-bar"><div class="cm-track" '
            f'role="meter" aria-label="{escape(name)}" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}" '
            f'aria-valuetext="{percent} %"><div class="cm-fill" style="width:{percent}%"></div></div></td>'
            f'<td>{100 * probability:.1f} %</td><td class="cm-minor">{cosine}</td></tr>')
