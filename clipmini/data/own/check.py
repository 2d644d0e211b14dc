"""What is in somebody's data, before anything is trained on it: counts, lengths, copies, what is left out and why."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import regex
from PIL import Image

from clipmini.data.own import Bad, Found, Row, checked, strictly

SCRIPTS = ("Latin", "Han", "Hiragana", "Katakana", "Hangul", "Cyrillic", "Arabic", "Devanagari", "Greek", "Hebrew",
           "Thai")
SHEET, SHEET_SIDE = 48, 96  # pictures of a contact sheet, and their side in pixels
BATCH = 128  # what the floor is told for


@dataclass
class Report:
    """What was counted. pictures: those that differ in content; captions: how often each stands; tokens: of each
    distinct caption; sides: (width, height) of each picture; sheet: a few pictures, small, with a caption each."""

    found: Found
    rows: int = 0
    pictures: Counter[bytes] = field(default_factory=Counter)
    captions: Counter[str] = field(default_factory=Counter)
    a_picture: Counter[int] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    tokens: list[int] = field(default_factory=list)
    sides: list[tuple[int, int]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    sheet: list[tuple[Image.Image, str]] = field(default_factory=list)


def digest(row: Row) -> bytes:
    """Which picture it is, by the content of its file."""
    return hashlib.sha256(row.content()).digest()


def look(found: Found, count_tokens: Callable[[str], int], progress: Callable[[Iterator], Iterator] = iter,
         limit: int | None = None, strict: bool = False) -> Report:
    """Read every row, decode every picture, and count. limit: so many rows at most; strict: raise OwnDataError for the
    first that cannot be used."""
    report = Report(found)
    captions_of: dict[bytes, int] = {}
    for entry in progress(strictly(checked(found.rows), strict)):
        report.rows += 1
        if isinstance(entry, Bad):
            report.bad.append(entry)
        else:
            row, picture = entry
            new = [caption for caption in row.captions if caption not in report.captions]
            report.captions.update(row.captions)
            report.tokens += [count_tokens(caption) for caption in new]
            report.labels.update([row.label] if row.label else [])
            if picture is not None:
                key = digest(row)
                report.pictures[key] += 1
                captions_of[key] = captions_of.get(key, 0) + len(row.captions)
                if report.pictures[key] == 1:
                    report.sides.append(picture.size)
                    if len(report.sheet) < SHEET:
                        picture.thumbnail((SHEET_SIDE, SHEET_SIDE))
                        report.sheet.append((picture, row.captions[0] if row.captions else ""))
        if limit is not None and report.rows >= limit:
            break
    report.a_picture = Counter(captions_of.values())
    return report


def floor(captions: Counter[str], batch: int = BATCH, draws: int = 200) -> float:
    """What CLIP's loss can't come under in batches of this size, in nats, as equal captions stand under several
    pictures: the mean of ln(copies in the batch), by random batches. 0 where no caption stands twice."""
    counts = np.array(list(captions.values()), float)
    if not len(counts) or counts.max() == 1:
        return 0.0
    rng, share = np.random.default_rng(0), counts / counts.sum()
    size = min(batch, int(counts.sum()))
    total = 0.0
    for _ in range(draws):
        _, copies = np.unique(rng.choice(len(counts), size, p=share), return_counts=True)
        total += float((copies * np.log(copies)).sum()) / size
    return total / draws


def scripts(captions: Counter[str]) -> dict[str, float]:
    """The share of captions most of whose letters are of each script; "none" for those without letters."""
    found: Counter[str] = Counter()
    for caption, times in captions.items():
        letters = Counter({name: len(regex.findall(rf"\p{{{name}}}", caption)) for name in SCRIPTS})
        name, most = letters.most_common(1)[0]
        found[name if most else "other" if regex.search(r"\p{L}", caption) else "none"] += times
    whole = sum(found.values()) or 1
    return {name: times / whole for name, times in found.most_common()}


def many(count: int, what: str) -> str:
    """A number and its noun: "1 row", "2,000 rows"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def told(report: Report, source: str, context: int, model: str) -> list[str]:
    """The report in lines."""
    good = report.rows - len(report.bad)
    lines = [f"{source}: {report.found.kind}", f"  {report.found.columns}" if report.found.columns else "",
             f"  {many(report.rows, 'row')}: {good:,} can be used, {len(report.bad):,} left out",
             f"  {many(len(report.pictures), 'picture')}, {many(sum(report.captions.values()), 'caption')}, "
             f"{len(report.captions):,} of them different"]
    if report.labels:
        least, most = min(report.labels.values()), max(report.labels.values())
        lines.append(f"  {many(len(report.labels), 'label')}, {least:,} to {many(most, 'row')} each")
    if report.a_picture:
        mean = sum(k * n for k, n in report.a_picture.items()) / sum(report.a_picture.values())
        lines.append(f"  captions a picture: {min(report.a_picture)} to {max(report.a_picture)}, {mean:.1f} on average")
    if report.tokens:
        long = sum(n > context for n in report.tokens)
        lines.append(f"  tokens a caption: {min(report.tokens)} to {max(report.tokens)}, in the middle "
                     f"{int(np.median(report.tokens))}; {model} reads {context}, so {long:,} "
                     f"caption{'s are' if long != 1 else ' is'} cut")
    if report.sides:
        widths, heights = zip(*report.sides, strict=True)
        lines.append(f"  pictures are {min(widths)} x {min(heights)} to {max(widths)} x {max(heights)} pixels, in the "
                     f"middle {int(np.median(widths))} x {int(np.median(heights))}")
    if report.captions:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in scripts(report.captions).items())
        lines.append(f"  letters of the captions: {shares}")
    return [line for line in [*lines, *_copies(report)] if line]


def _copies(report: Report) -> list[str]:
    """What stands there more than once, and what that costs."""
    lines = []
    twice = [times for times in report.pictures.values() if times > 1]
    if twice:
        lines.append(f"  {many(len(twice), 'picture')} in {sum(twice):,} rows; their captions are joined")
    again = [times for times in report.captions.values() if times > 1]
    if again:
        most, times = report.captions.most_common(1)[0]
        low = floor(report.captions)
        lines.append(f"  {many(len(again), 'caption')} {sum(again):,} times, most often {most!r} ({times:,}): with "
                     f"batches of {BATCH} CLIP's plain loss can't come under {low:.2f} nats (ln {BATCH} is "
                     f"{math.log(BATCH):.2f}); the loss 'multi' counts equal captions as right")
    if report.captions and len(report.captions) < BATCH / 2 and len(report.pictures) > BATCH:
        lines.append(f"  there are only {len(report.captions):,} different captions: a classifier's data more than a "
                     "CLIP's")
    return lines
