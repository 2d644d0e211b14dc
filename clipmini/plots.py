"""Every figure of lessons, app and README. Each function returns a matplotlib Figure, titled and labelled."""

from pathlib import Path

from clipmini.matplotlib_text import Figure, as_typed, legend, named_dots, short

INK, MUTED, ACCENT, SECOND = "#22303c", "#8a97a3", "#3566c4", "#d9822b"


@as_typed
def training_curve(history: list[dict], title: str = "Training curve") -> Figure:
    """The loss with its ln N line, the scale, and the validation score.

    history: rows as `train` keeps them or `read_csv` reads them back.
    """
    steps = [row["step"] for row in history]
    scored = [(row["step"], row["score"]) for row in history if row["score"] != ""]
    left, right = (figure := Figure(figsize=(8, 3.6), dpi=100, layout="constrained")).subplots(1, 2)
    left.plot(steps, [row["loss"] for row in history], color=ACCENT, alpha=0.25, linewidth=0.8)
    left.plot(steps, smooth([row["loss"] for row in history]), color=ACCENT, label="loss")
    left.axhline(history[-1]["ln_n"], color=MUTED, linestyle="--", label="guessing: ln N, less for repeats")
    left.set(xlabel="step", ylabel="loss (nats)", ylim=(0, None))
    left.legend(frameon=False)
    right.plot(steps, [row["scale"] for row in history], color=SECOND, label="exp(logit_scale)")
    right.set(xlabel="step", ylabel="scale", ylim=(0, None))
    if scored:
        twin = right.twinx()
        twin.plot(*zip(*scored, strict=True), color=INK, marker="o", markersize=3, label="validation score")
        twin.set(ylabel="validation score", ylim=(0, 1))
        twin.legend(frameon=False, loc="lower right")
    right.legend(frameon=False, loc="upper left")
    figure.suptitle(title, color=INK)
    return figure


@as_typed
def mixing_curve(rows: list[dict], kept: float, title: str = "The weights between before and after") -> Figure:
    """WiSE-FT, from rows of training.mixing.curve. kept: the share of the weights after fine-tuning."""
    ax = (figure := Figure(figsize=(6, 3.6), dpi=100, layout="constrained")).subplots()
    drawn = {"score": "validation, new data", "reference": "what it knew before"}
    for key in sorted(drawn.keys() & rows[0].keys()):
        ax.plot([row["share"] for row in rows], [row[key] for row in rows], marker="o", label=drawn[key])
    ax.axvline(kept, color=MUTED, linestyle="--", label=f"kept: {kept:g}")
    ax.legend(frameon=False)
    ax.set(xlabel="share of the weights after fine-tuning", ylabel="score", ylim=(0, 1), title=title)
    return figure


def smooth(values: list[float], weight: float = 0.98) -> list[float]:
    """Exponential moving average without the bias of its start.

    >>> smooth([2.0, 2.0, 2.0])
    [2.0, 2.0, 2.0]
    """
    out, total, mass = [], 0.0, 0.0
    for value in values:
        total, mass = weight * total + (1 - weight) * value, weight * mass + (1 - weight)
        out.append(round(total / mass, 12))
    return out


@as_typed
def template_scores(bench, title: str = "What each template is worth") -> Figure:
    """Each template's accuracy with its interval, and the ensemble of all as a line.

    bench: a tasks.templates.Workbench. The thirty best are drawn.
    """
    rows = bench.alone[:30]
    figure = Figure(figsize=(7.5, 1.2 + 0.26 * len(rows)), dpi=100, layout="constrained")
    ax = figure.subplots()
    places = range(len(rows))
    ax.hlines(places, [s.low for s in rows], [s.high for s in rows], color=ACCENT, alpha=0.35, linewidth=4)
    ax.scatter([s.accuracy for s in rows], places, color=ACCENT, s=18, zorder=3, label="one template, 95% interval")
    together = bench.embeddings.accuracy
    ax.axvline(together, color=SECOND, label=f"all {len(bench.alone)} together: {together:.1%}")
    ax.set(yticks=list(places), yticklabels=[short(s.what, 80) for s in rows], xlabel=f"top-1 on {bench.n:,} pictures",
           ylim=(len(rows) - 0.4, -0.6))
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    more = f"\nthe best {len(rows)} of {len(bench.alone)}" if len(rows) < len(bench.alone) else ""
    figure.suptitle(title + more, color=INK, fontsize=11)
    return figure


@as_typed
def reliability_curve(bins: dict, title: str = "Reliability") -> Figure:
    """How sure a model is against how often it is right; on the dashed line the two are equal.

    bins: confidence, accuracy and count of each bin, and ece, as tasks.metrics.Reliability has them.
    """
    figure = Figure(figsize=(4.6, 4.4), dpi=100, layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color=MUTED, linestyle="--", label="as sure as right")
    most = max(bins["count"])
    ax.plot(bins["confidence"], bins["accuracy"], color=ACCENT, linewidth=1)
    ax.scatter(bins["confidence"], bins["accuracy"], s=[20 + 180 * n / most for n in bins["count"]], color=ACCENT,
               alpha=0.6, label="a bin; its size: how many pictures")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence: probability of the first answer", ylabel="share right",
           aspect="equal")
    figure.legend(frameon=False, loc="outside lower center", fontsize=8, ncols=2)
    figure.suptitle(f"{title}: calibration error {bins['ece']:.3f}", color=INK, fontsize=11)
    return figure


@as_typed
def answers(images, predictions, title: str = "Zero-shot answers", top: int = 3) -> Figure:
    """Pictures with their most probable labels as bars.

    images: list of PIL images; predictions: for each a list of (label, probability), any order.
    """
    columns = 3 if len(images) in (5, 6, 9) else min(4, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.9 * rows), dpi=100, layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[2, 1] * rows)
    for ax in axes.flat:
        ax.axis("off")
    for i, (image, prediction) in enumerate(zip(images, predictions, strict=True)):
        row, column = divmod(i, columns)
        axes[2 * row, column].imshow(image)
        best = sorted(prediction, key=lambda pair: -pair[1])[:top]
        bars = axes[2 * row + 1, column]
        bars.barh(range(len(best)), [p for _, p in best], color=ACCENT, alpha=0.35)
        for y, (label, p) in enumerate(best):
            bars.text(0.02, y, f"{label}  {p:.0%}", va="center", fontsize=9, color=INK)
        bars.set(xlim=(0, 1), ylim=(top - 0.5, -0.5))
    figure.suptitle(title, color=INK)
    return figure


# One colour for each phrase, the same in every figure (Okabe & Ito 2008: told apart by colour-blind readers too).
PHRASE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#9a8c00", "#7f5fc4", "#a65628",
                  "#666666")


MOST_ROWS = 20  # of labels in the figure of an answer's arithmetic


@as_typed
def arithmetic(found, scale: float, background=(), title: str = "From cosines to probabilities",
               none: str = "none of these") -> Figure:
    """The answer for one picture, a row a label: cosine, times the scale, e to that power, share of the sum.

    found: a tasks.classify.Prediction, of which the first picture is shown; scale: what the cosines were multiplied
    with; background: cosines of everyday words, as ticks. Powers are told as shares of the largest, so that none
    overflows. none: what the last row is called, where everyday words compete: what all of them have together.
    """
    rows = sorted(zip(found.cosines[0].tolist(), found.logits[0].tolist(), found.probabilities[0].tolist(),
                      found.labels, strict=True), key=lambda row: -row[0])
    top = max(share for _, _, share, _ in rows)
    left_out, rows = len(rows) - MOST_ROWS, rows[:MOST_ROWS]
    names, count = [short(name, 28) for *_, name in rows], len(rows)
    shares = [share for _, _, share, _ in rows] + ([] if found.none is None else [found.none[0].item()])
    names += [] if found.none is None else [short(none, 28)]
    colours = [PHRASE_COLOURS[k % len(PHRASE_COLOURS)] for k in range(count)]
    figure = Figure(figsize=(11, 1.5 + 0.32 * len(names)), dpi=100, layout="constrained")
    axes = figure.subplots(1, 4, sharey=True)
    for ax, values, digits in ((axes[0], [row[0] for row in rows], 3), (axes[1], [row[1] for row in rows], 1)):
        ax.vlines(background if digits == 3 else [scale * c for c in background], -0.6, -0.3, color=MUTED, alpha=0.4)
        ax.scatter(values, range(count), color=colours, zorder=2)
        for y, value in enumerate(values):
            ax.annotate(f"{value:.{digits}f}", (value, y), (6, 0), textcoords="offset points", va="center", fontsize=8,
                        color=INK)
        ax.margins(x=0.3)
    for ax, values in ((axes[2], [share / top if top else 0 for share in shares]), (axes[3], shares)):
        ax.barh(range(len(values)), values, color=ACCENT, alpha=0.35)
        for y, value in enumerate(values):
            ax.text(0.02 * max(1, *values), y, f"{value:.1%}" if ax is axes[3] else f"{value:.3g}", va="center",
                    fontsize=8, color=INK)
        ax.set_xlim(0, max(1, *values))
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.4, -0.8)
    for ax, what in zip(axes, ("cosine", f"logit = {scale:.4g} x cosine", "exp(logit), of the first's", "probability"),
                        strict=True):
        ax.set_xlabel(what, fontsize=9)
    figure.suptitle(title + (f"; {left_out} more labels" if left_out > 0 else ""), color=INK, fontsize=11)
    return figure


@as_typed
def shares(rows, columns, values, title: str = "Probabilities") -> Figure:
    """A table of probabilities, the darker the surer; the largest of each row is framed.

    rows: N names; columns: K names; values: (N, K), a Tensor.
    """
    from matplotlib.patches import Rectangle

    N, K = values.shape
    figure = Figure(figsize=(4.5 + 0.75 * K, 2 + 0.34 * N), dpi=100, layout="constrained")
    ax = figure.subplots()
    ax.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(K), [short(name, 24) for name in columns], rotation=40, ha="left", rotation_mode="anchor")
    ax.xaxis.tick_top()
    ax.set_yticks(range(N), [short(name, 44) for name in rows])
    ax.tick_params(length=0)
    for i in range(N):
        for j in range(K):
            share = values[i, j].item()
            ax.text(j, i, f"{share:.1%}", ha="center", va="center", fontsize=8, color="white" if share > 0.55 else INK)
        ax.add_patch(Rectangle((values[i].argmax().item() - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=SECOND,
                               linewidth=2))
    figure.suptitle(title, color=INK, fontsize=11)
    return figure


@as_typed
def side_by_side(images, titles, title: str) -> Figure:
    """Pictures in a row, each with its title. images: PIL; titles: as many."""
    figure = Figure(figsize=(4.2 * len(images), 4.6), dpi=100, layout="constrained")
    for ax, image, words in zip(figure.subplots(1, len(images), squeeze=False).flat, images, titles, strict=True):
        ax.imshow(image, interpolation="nearest")
        ax.set_title(short(words, 60), fontsize=10, color=INK)
        ax.axis("off")
    figure.suptitle(title, color=INK, fontsize=11)
    return figure


DIM, VERDICTS = 0.25, {True: "there", False: "not there", None: "not known"}  # DIM: of the map of what is not there


@as_typed
def heatmaps(found, title: str | None = None, across: int = 4) -> Figure:
    """A picture, and over it the map of each phrase, all from 0 to 1 in the same colours; what is not there is dim, and
    says so.

    found: a tasks.heatmap.Heatmap; across: how many may stand in a row.
    """
    rows = -(-(len(found.phrases) + 1) // across)
    columns = -(-(len(found.phrases) + 1) // rows)
    tall = found.image.height / found.image.width
    figure = Figure(figsize=(2.9 * columns, (2.7 * tall + 0.5) * rows + 0.5), dpi=100, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    axes.flat[0].imshow(found.image)
    axes.flat[0].set_title("the picture", fontsize=10, color=INK)
    box = (0, found.image.width, found.image.height, 0)
    scores = [None] * len(found.phrases) if found.scores is None else found.scores.tolist()
    for ax, phrase, map_, there, score in zip(axes.flat[1:], found.phrases, found.maps, found.present, scores,
                                              strict=False):
        ax.imshow(found.image.convert("L"), cmap="gray", extent=box, vmin=-80, vmax=255)
        drawn = ax.imshow(map_ * (DIM if there is False else 1), cmap="inferno", alpha=0.65, extent=box, vmin=0, vmax=1)
        said = "" if score is None else f"\n{VERDICTS[there]} ({score:+.1f})"
        ax.set_title(short(phrase, 28) + said, fontsize=10, color=INK)
    figure.colorbar(drawn, ax=axes, shrink=0.7, label="least to most,\nwithin each map")
    figure.suptitle(title or f"Where is it? Method: {found.method}", color=INK, fontsize=11)
    return figure


@as_typed
def segments(found, title: str = "Which phrase where") -> Figure:
    """A picture with each pixel in the colour of the phrase that it shows most, and a legend; plain where it shows
    none.

    found: a tasks.heatmap.Heatmap.
    """
    import numpy as np
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    owner = found.segmented.numpy()
    colours = [PHRASE_COLOURS[i % len(PHRASE_COLOURS)] for i in range(len(found.phrases))]
    paint = np.array([(*to_rgb(c), 0.6) for c in colours] + [(1, 1, 1, 0.45)])
    tall = found.image.height / found.image.width
    figure = Figure(figsize=(5.2, 4.8 * tall + 0.6 + 0.25 * -(-(len(colours) + 1) // 2)), dpi=100, layout="constrained")
    ax = figure.subplots()
    box = (0, found.image.width, found.image.height, 0)
    ax.imshow(found.image, extent=box)
    ax.imshow(paint[owner], extent=box, interpolation="nearest")
    ax.axis("off")
    patches = [*(Patch(color=c, alpha=0.7) for c in colours), Patch(facecolor="white", edgecolor=MUTED)]
    legend(figure, patches, [*(short(p, 28) for p in found.phrases), "none"], loc="outside lower center", ncols=2,
           frameon=False)
    figure.suptitle(f"{title}. Method: {found.method}", color=INK, fontsize=11)
    return figure


MOST_NUMBERS = 12  # rows or columns; larger matrices are read by their colours


@as_typed
def matrix(found, images, kind: str = "cosine", title: str | None = None) -> Figure:
    """Pictures by texts as coloured cells, thumbnails along the left, the best text of each picture framed.

    found: a tasks.similarity.Matrix; images: its N pictures (PIL); kind: "cosine", "over texts" or "over pictures"
    (then the best picture of each text is framed).
    """
    from matplotlib.patches import Rectangle

    values, (N, M) = found.values(kind), found.cosines.shape
    cell = 0.62 if max(N, M) <= MOST_NUMBERS else 0.3
    figure = Figure(figsize=(max(5.2, 3.2 + cell * M), max(3.4, 1.9 + cell * N)), dpi=100, layout="constrained")
    ax = figure.subplots()
    cosines = kind == "cosine"
    colours, low, high = ("RdBu_r", -0.8, 0.8) if cosines else ("Blues", 0, 1)
    drawn = ax.imshow(values, cmap=colours, vmin=low, vmax=high)
    ax.set_xticks(range(M), [short(t, 24) for t in found.texts], rotation=40, ha="left", rotation_mode="anchor")
    ax.xaxis.tick_top()
    ax.set_yticks(range(N), ["" for _ in range(N)])
    ax.tick_params(length=0)
    if max(N, M) <= MOST_NUMBERS:
        for i in range(N):
            for j in range(M):
                value = values[i, j].item()
                ax.text(j, i, f"{value:.2f}" if cosines else f"{value:.0%}", ha="center", va="center", fontsize=9,
                        color="white" if value > 0.55 else INK)
    _thumbnails(ax, images, cell)
    rows = [(values[:, j].argmax().item(), j) for j in range(M)] if kind == "over pictures" else \
        [(i, values[i].argmax().item()) for i in range(N)]
    for i, j in rows:
        ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=SECOND, linewidth=2))
    if max(N, M) <= MOST_NUMBERS:
        for i, name in enumerate(found.names):
            ax.annotate(short(name, 18), (-0.5, i), (-72 * cell - 10, 0), textcoords="offset points", ha="right",
                        va="center", fontsize=8, color=INK)
    else:
        ax.set_ylabel("pictures", labelpad=80 * cell + 8)
    figure.colorbar(drawn, ax=ax, shrink=0.8, label="cosine" if cosines else f"softmax {kind}")
    best = "picture" if kind == "over pictures" else "text"
    figure.suptitle(title or f"Pictures by texts: {kind}; framed: the best {best}", color=INK, fontsize=11)
    return figure


def _thumbnails(ax, images, cell: float) -> None:
    """Each picture at the left of its row; cell: a row's height in inches."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    for i, image in enumerate(images):
        small = image.convert("RGB")
        small.thumbnail((64, 64))
        zoom = 64 * cell / max(small.size)
        ax.add_artist(AnnotationBbox(OffsetImage(small, zoom=zoom), (-0.5, i), xybox=(-36 * cell - 4, 0), frameon=False,
                                     xycoords="data", boxcoords="offset points", annotation_clip=False))


# The groups of a map, as in the app: apart for people who see no red, no green or no blue (tests/test_map_colours.py).
MAP_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442", "#882255", "#c9c9c9")


@as_typed
def map_of(found, kind: str = "umap", title: str | None = None) -> Figure:
    """Pictures as dots, coloured by group, and names as dark crosses, with and without the modality gap.

    found: a tasks.maps.folder.EmbeddingMap; kind: "umap" or "pca".
    """
    colours = {group: MAP_COLOURS[k % len(MAP_COLOURS)] for k, group in enumerate(dict.fromkeys(found.groups))}
    made = "pca" if found.maps[kind].equal(found.maps["pca"]) else kind  # few points, or a computer without UMAP
    figure = Figure(figsize=(11, 5.8), dpi=100, layout="constrained")
    both = ((kind, "as the vectors are"), (f"{kind} without gap", "each modality centred"))
    for ax, (name, what) in zip(figure.subplots(1, 2), both, strict=True):
        xy, n = found.maps[name], found.pictures
        ax.scatter(*xy[n:].t(), s=9, marker="+", color=INK, linewidths=0.6)
        drawn = named_dots(ax, xy[:n], found.groups[:n], colours)
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel("directions and far distances mean nothing", fontsize=8)
        ax.set_title(what, fontsize=10, color=INK)
    legend(figure, list(drawn.values()), [short(group or "all", 24) for group in drawn], loc="outside lower center",
           ncols=5, frameon=False, markerscale=2.5, fontsize=8)
    figure.suptitle(title or f"{made.upper()} of {found.model}: dots are pictures, crosses their names", color=INK,
                    fontsize=11)
    return figure


FLOW = {  # name: (x, y, words); the way of a pair through the house, and what an aligned space is good for
    "captions": (0, 0, "captions"), "tokens": (1, 0, "tokens"), "reading": (2.1, 0, "text tower"),
    "pictures": (0, 1, "pictures"), "pixels": (1, 1, "pixels"), "seeing": (2.1, 1, "image tower"),
    "loss": (3.3, 0.5, "loss"), "training": (4.2, 0.5, "training"),
    "zero-shot": (5.3, 1, "zero-shot"), "inside": (5.3, 0.5, "heatmaps"), "map": (5.3, 0, "map")}
ARROWS = (("captions", "tokens"), ("tokens", "reading"), ("pictures", "pixels"), ("pixels", "seeing"),
          ("reading", "loss"), ("seeing", "loss"), ("loss", "training"), ("training", "zero-shot"),
          ("training", "inside"), ("training", "map"))


@as_typed
def you_are_here(*places: str) -> Figure:
    """The way of a pair through CLIP, with the parts that a lesson is about marked. places: keys of FLOW."""
    figure = Figure(figsize=(8, 1.7), dpi=100, layout="constrained")
    ax = figure.subplots()
    for start, end in ARROWS:
        (x0, y0, _), (x1, y1, _) = FLOW[start], FLOW[end]
        ax.annotate("", xy=(x1 - 0.34, y1), xytext=(x0 + 0.34, y0), arrowprops={"arrowstyle": "->", "color": MUTED})
    for name, (x, y, words) in FLOW.items():
        here = name in places
        ax.text(x, y, words, ha="center", va="center", fontsize=9, color="white" if here else INK,
                bbox={"boxstyle": "round,pad=0.4", "facecolor": ACCENT if here else "#eef2f6", "edgecolor": "none"})
    ax.set(xlim=(-0.6, 5.9), ylim=(-0.4, 1.4))
    ax.axis("off")
    figure.suptitle("You are here: " + ", ".join(FLOW[p][2] for p in places), fontsize=10, color=INK)
    return figure


def figure_file(path: Path) -> Path:
    """A path that a figure can be saved to: its folder is made, a missing ending becomes .png. Raises ValueError."""
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; give a file, such as {str(path / 'heatmap.png')!r}")
    path = path if path.suffix else path.with_suffix(".png")
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".pdf", ".svg", ".webp"):
        raise ValueError(f"{str(path)!r}: a figure is written as .png, .jpg, .webp, .pdf or .svg")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
