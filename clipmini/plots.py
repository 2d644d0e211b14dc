"""Every figure of the lessons, the app and the README. Each function returns a matplotlib Figure, titled and labelled."""

from matplotlib.figure import Figure

INK, MUTED, ACCENT, SECOND = "#22303c", "#8a97a3", "#3566c4", "#d9822b"


def training_curve(history: list[dict], title: str = "Training curve") -> Figure:
    """The loss with its ln N line, the scale, and the validation score.

    history: rows as `train` keeps them or `read_csv` reads them back.
    """
    steps = [row["step"] for row in history]
    scored = [(row["step"], row["score"]) for row in history if row["score"] != ""]
    figure = Figure(figsize=(8, 3.6), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
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


def template_scores(bench, title: str = "What each template is worth") -> Figure:
    """Each template's accuracy with its interval, and the ensemble of all as a line.

    bench: a tasks.workbench.Workbench. The thirty best are drawn.
    """
    rows = bench.alone[:30]
    figure = Figure(figsize=(7.5, 1.2 + 0.26 * len(rows)), dpi=100, layout="constrained")
    ax = figure.subplots()
    places = range(len(rows))
    ax.hlines(places, [s.low for s in rows], [s.high for s in rows], color=ACCENT, alpha=0.35, linewidth=4)
    ax.scatter([s.accuracy for s in rows], places, color=ACCENT, s=18, zorder=3, label="one template, 95% interval")
    ax.axvline(bench.embeddings.accuracy, color=SECOND, label=f"all {len(bench.alone)} together: {bench.embeddings.accuracy:.1%}")
    ax.set(yticks=list(places), yticklabels=[s.what for s in rows], xlabel=f"top-1 on {bench.n:,} pictures",
           ylim=(len(rows) - 0.4, -0.6))
    ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.legend(frameon=False, fontsize=8, loc="lower left")
    figure.suptitle(title, color=INK, fontsize=11)
    return figure


def reliability_curve(bins: dict, title: str = "Reliability") -> Figure:
    """How sure a model is against how often it is right; on the dashed line the two are equal.

    bins: confidence, accuracy and count of each bin, and ece, as tasks.calibration.Reliability has them.
    """
    figure = Figure(figsize=(4.6, 4.4), dpi=100, layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color=MUTED, linestyle="--", label="as sure as right")
    most = max(bins["count"])
    ax.plot(bins["confidence"], bins["accuracy"], color=ACCENT, linewidth=1)
    ax.scatter(bins["confidence"], bins["accuracy"], s=[20 + 180 * n / most for n in bins["count"]], color=ACCENT, alpha=0.6,
               label="a bin; its size: how many pictures")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence: probability of the first answer", ylabel="share right", aspect="equal")
    ax.legend(frameon=False, loc="upper left", fontsize=8)
    figure.suptitle(f"{title}: calibration error {bins['ece']:.3f}", color=INK, fontsize=11)
    return figure


def answers(images, predictions, title: str = "Zero-shot answers", top: int = 3) -> Figure:
    """Pictures with their most probable labels as bars.

    images: list of PIL images; predictions: for each a list of (label, probability), any order.
    """
    columns = min(4, len(images))
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
