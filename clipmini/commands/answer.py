"""An answer of `clipmini classify`, in words."""


def print_answer(p) -> None:
    """A Prediction of one picture: a line for each label, best first."""
    width = max(len(label) for label in (*p.labels, "none of these"))
    for share, j in zip(*(column.tolist() for column in p.probabilities[0].sort(descending=True)), strict=True):
        print(f"  {p.labels[j]:<{width}} {share:7.1%} {'#' * round(20 * share):<20} "
              f"cosine {p.cosines[0, j]:.3f}  logit {p.logits[0, j]:.2f}"
              + (f"  by itself {p.alone[0, j].item():.1%}" if p.alone is not None else ""))
    if p.none is not None:
        print(f"  {'none of these':<{width}} {p.none[0].item():7.1%} {'#' * round(20 * p.none[0].item())}")
