"""The page of a report: one HTML file with its style and its pictures in it, which asks nothing of the network."""

import base64
import io
import math
from collections.abc import Iterable, Mapping
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

from clipmini import __version__
from clipmini.embedder import Embedder
from clipmini.image import ImageError, open_image
from clipmini.matplotlib_text import printable
from clipmini.plots import reliability_curve
from clipmini.report.look import Compared, Labels, Pairs

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
SIDE = 112  # pixels of a picture's longer side
MOST_CLASSES, MOST_CONFUSIONS, MOST_MISTAKES, MOST_CHANGES = 25, 20, 24, 12  # more would be read by nobody


def page(embedder: Embedder, found: Mapping[str, Labels | Pairs], changes: Mapping[str, Compared], text: str,
         before: Embedder | None, old_text: str) -> str:
    """All of it. text, old_text: every answer in words, of the model and of the one before."""
    parts = [_section(name, look, changes.get(name), before) for name, look in found.items()]
    words = f"<h2>All numbers</h2><pre>{_text(text)}</pre>"
    if before:
        words += f"<h3>{_text(before.name)}, before</h3><pre>{_text(old_text)}</pre>"
    title = f"{embedder.name}: what it gets right and wrong"
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
            f"<h1>{_text(title)}</h1><p class=soft>{embedder.parameters:,} parameters, "
            f"{embedder.config.vision.image_size} pixels; clipmini {__version__}, {date.today()}. Behind each share is "
            f"its 95% interval (Wilson).</p>{''.join(parts)}{words}</body></html>\n")


def _section(name: str, look: Labels | Pairs, change: Compared | None, before: Embedder | None) -> str:
    kind = "classification" if isinstance(look, Labels) else "retrieval"
    parts = [f"<h2>{_text(name)}: {kind} of {len(look.rank):,} pictures</h2>",
             _numbers(look, change.old if change else None)]
    if isinstance(look, Labels):
        parts += [_confusions(look), _classes(look), _calibration(look)]
    parts += [_mistakes(look)]
    if change and before:
        parts += [_changes(look, change, before.name)]
    return "".join(parts)


def _text(text: object) -> str:
    """A text that can stand in the page."""
    return escape("\n".join(map(printable, str(text).split("\n"))))


def _bar(share: float, low: float, high: float) -> str:
    """A share as a bar, with its interval as a line over it."""
    return (f'<span class=bar><i style="width:{100 * share:.1f}%"></i>'
            f'<b style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></b></span>')


def _interval(low: float, high: float) -> str:
    """An interval in words that stay in one line."""
    return f"{low:.1%} to {high:.1%}".replace(" ", "\u00a0")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; cells are HTML already, the first of a row is its name."""
    cells = "".join(f"<th scope=col>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" if i else f"<th scope=row>{cell}</th>"
                                    for i, cell in enumerate(row)) + "</tr>" for row in rows)
    return f"<div class=wide tabindex=0><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"


def _numbers(look: Labels | Pairs, old: Labels | Pairs | None) -> str:
    """The shares, and beside them those of the model before."""
    known = {name: share for name, share, *_ in old.numbers} if old else {}
    head = ["", "", "share", "95% interval", *(["before", "difference"] if old else [])]
    rows = [[_text(name), _bar(share, low, high), f"{share:.1%}", _interval(low, high),
             *([f"{known[name]:.1%}", f"{100 * (share - known[name]):+.1f}"] if name in known else [])]
            for name, share, low, high in look.numbers]
    return _table(head, rows)


def _confusions(look: Labels) -> str:
    """Which class is taken for which: as a matrix where there are few, else the most frequent."""
    confusions = look.confusions()
    used = sorted({*look.targets.tolist(), *(said for _, said, _ in confusions)})
    if not confusions:
        return "<h3>Confusions</h3><p>There are none.</p>"
    if len(used) > MOST_CLASSES:
        surest = {(int(look.targets[i]), int(look.said[i])): i for i in reversed(look.worst())}
        rows = [[_text(look.names[right]), _text(look.names[said]), f"{n:,}", _picture(look.rows, surest[right, said])]
                for right, said, n in confusions[:MOST_CONFUSIONS]]
        head = ["it is", "it says", "times", "such as"]
        return f"<h3>Confusions: the {len(rows)} most frequent</h3>{_table(head, rows)}"
    counts = {(right, said): n for right, said, n in confusions}
    for place in used:
        counts[place, place] = int((look.right & (look.targets == place)).sum())
    most = max(counts.values())
    rows = [[_text(look.names[a]), *(_shade(counts.get((a, b), 0), most, a == b) for b in used)] for a in used]
    return ("<h3>Confusions: a row for what it is, a column for what it says</h3>"
            + _table(["", *(_text(look.names[b]) for b in used)], rows))


def _shade(n: int, most: int, right: bool) -> str:
    """A count of a confusion matrix, the darker the larger."""
    return f'<span class={"right" if right else "wrong"} style="--share:{n / most:.3f}">{n or ""}</span>'


def _classes(look: Labels) -> str:
    """How often each class is right, the worst first."""
    rows = [[_text(name), _bar(share, low, high), f"{share:.1%}", _interval(low, high), f"{n:,}"]
            for name, n, share, low, high in look.classes()]
    head = ["class", "", "right", "95% interval", "pictures"]
    rest = f"<details><summary>{len(rows) - MOST_CLASSES:,} more</summary>{_table(head, rows[MOST_CLASSES:])}</details>"
    return (f"<h3>Classes, the worst first</h3>{_table(head, rows[:MOST_CLASSES])}"
            f"{rest if len(rows) > MOST_CLASSES else ''}")


def _calibration(look: Labels) -> str:
    """How sure against how often right."""
    bins = look.bins
    figure = reliability_curve({"confidence": bins.confidence, "accuracy": bins.accuracy, "count": bins.count,
                                "ece": bins.ece}, "Reliability")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return (f"<h3>Calibration</h3><p>When it is 80 % sure, is it right 8 times in 10? Mean gap: {bins.ece:.1%}.</p>"
            f'<img class=figure alt="reliability curve" src="data:image/png;base64,'
            f'{base64.b64encode(file.getvalue()).decode()}">')


def _mistakes(look: Labels | Pairs) -> str:
    """The worst mistakes with their pictures."""
    worst = look.worst()
    if not worst:
        none = ("There are none." if isinstance(look, Labels) else "Each picture finds a caption of its own first; "
                "captions that don't find their picture first are counted above.")
        return f"<h3>Mistakes</h3><p>{none}</p>"
    what = "the surest first" if isinstance(look, Labels) else "those whose captions lie farthest first"
    return (f"<h3>Mistakes: {min(MOST_MISTAKES, len(worst))} of {len(worst):,}, {what}</h3>"
            f"{_gallery(look, worst[:MOST_MISTAKES])}")


def _gallery(look: Labels | Pairs, rows: list[int]) -> str:
    """Pictures, what each is, and what was said of it."""
    return "<div class=gallery>" + "".join(f"<figure>{_picture(look.rows, i)}<figcaption>{_said(look, i)}</figcaption>"
                                           "</figure>" for i in rows) + "</div>"


def _said(look: Labels | Pairs, i: int) -> str:
    """What a picture is and what was said of it."""
    if isinstance(look, Labels):
        right, said = look.names[int(look.targets[i])], look.names[int(look.said[i])]
        sure = f" ({look.share[i].item():.0%} sure)"
    else:
        right, said, sure = look.captions[int(look.own[i])], look.captions[int(look.first[i])], ""
    if right == said:
        return f"<b>{_text(right)}</b>{sure}"
    return f"<b>{_text(right)}</b><br>said: {_text(said)}{sure}<br>right in place {int(look.rank[i]):,}"


def _picture(rows: Any, i: int) -> str:
    """A picture of a row, small."""
    try:
        image = open_image(rows[i]["image"])
    except ImageError:
        return "<span class=lost>?</span>"
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "webp", quality=80)
    return (f'<img alt="row {i}" width={image.width} height={image.height} src="data:image/webp;base64,'
            f'{base64.b64encode(file.getvalue()).decode()}">')


def _changes(look: Labels | Pairs, change: Compared, before: str) -> str:
    """What the model has right that the one before had wrong, and the other way round."""
    n, won, lost = len(look.rank), len(change.won), len(change.lost)
    spread = 1.96 * math.sqrt(max(won + lost - (won - lost) ** 2 / n, 0)) / n
    gain = (won - lost) / n
    told = (f"<h3>What changed since {_text(before)}</h3><p>Right in first place now and not before: {won:,}; before "
            f"and not now: {lost:,}. That is {100 * gain:+.1f} points, 95% interval {100 * (gain - spread):+.1f} to "
            f"{100 * (gain + spread):+.1f} (the same pictures, compared one by one).</p>")
    for title, rows in (("Won", change.won), ("Lost", change.lost)):
        few = rows[:MOST_CHANGES]
        told += f"<h4>{title}: {len(few)} of {len(rows):,}</h4>{_gallery(look, few)}" if rows else ""
    return told
