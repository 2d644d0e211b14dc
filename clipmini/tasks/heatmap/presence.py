"""Is the phrase in the picture at all? Every map has a brightest place; this says whether something is there."""

from torch import Tensor

# Chosen together, by true less false rate: the mean of assets/emoji and assets/emoji-vit on 200 scenes of several
# things and 400 drawings of one, all of styles that the models knew, is 0.85. It is flat around these three; of equally
# good ones these say "there" least often to what is not. assets/results.md has the rates on a style they never saw.
PRESENT = 1.8  # from here on a thing counts as there
WHOLE_LESS = 0.4  # standard deviations that the whole picture's answer must be clearer than that of the windows
MEASURED_WITH = ("emoji", "emoji-vit")  # of other models nobody measured how often this is right
AVERAGE = 0.0  # what is no nearer than the mean of everyday words is not there, whoever says so
LEVEL = 0.35  # how much of a text's mean over the windows is taken from its best: some words are near to any window


def verdict(score: float, model: str) -> bool | None:
    """Whether a thing with this presence is there; None: not known, where the model of this name was not measured and
    the score lies between AVERAGE and PRESENT."""
    if score >= PRESENT:
        return True
    return False if model in MEASURED_WITH or score < AVERAGE else None


def presence(texts: Tensor, everyday: Tensor, whole: Tensor, windows: Tensor) -> Tensor:
    """How far each phrase stands above everyday words on one picture -> (K,) float32, in standard deviations.

    texts (K, E), everyday (M, E), whole (1, E), windows (N, E): unit vectors of the phrases, of everyday words, of the
    picture as classify sees it, and of its windows. A cosine by itself says little: it has another level in each model,
    and on each picture. A thing that fills the picture is seen in the whole, a small one in a window; the better of the
    two counts.
    """
    def best(vectors: Tensor) -> Tensor:
        cosines = vectors @ windows.t()
        return cosines.amax(dim=1) - LEVEL * cosines.mean(dim=1)

    return presence_at_least(texts, everyday, whole).maximum(above(best(texts), best(everyday)))


def presence_at_least(texts: Tensor, everyday: Tensor, whole: Tensor) -> Tensor:
    """What the whole picture alone says of presence -> (K,) float32: the windows can raise it, and never lower it."""
    return above((texts @ whole.t())[:, 0], (everyday @ whole.t())[:, 0]) - WHOLE_LESS


def above(values: Tensor, background: Tensor) -> Tensor:
    """Values (K,) in standard deviations from the mean of a background (M,)."""
    return (values - background.mean()) / background.std(correction=0).clamp(min=1e-6)


def rates(found: Tensor, absent: Tensor, threshold: float = PRESENT) -> dict[str, float]:
    """Scores of things that are there (A,) and of things that are not (B,) -> true and false: the share of each that
    is said to be there; auc: how often a thing that is there scores higher than one that is not.

    >>> from torch import tensor
    >>> rates(tensor([2.0, 0.5]), tensor([0.0, 1.5]), threshold=1.0)
    {'true': 0.5, 'false': 0.5, 'auc': 0.75}
    """
    higher = (found[:, None] > absent).float() + 0.5 * (found[:, None] == absent).float()
    return {"true": (found >= threshold).float().mean().item(), "false": (absent >= threshold).float().mean().item(),
            "auc": higher.mean().item()}
