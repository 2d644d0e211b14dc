"""Is the phrase in the picture at all? Every map has a brightest place; this says whether something is there."""

from torch import Tensor

# From here on a thing counts as there: true less false rate, the mean of assets/emoji and assets/emoji-vit on 40 scenes
# of several things and on 100 drawings of one, all of styles that the models knew, is flat from 1.1 to 1.4 (0.81).
# assets/results.md has the rates on a style that they never saw.
PRESENT = 1.25


def presence(texts: Tensor, everyday: Tensor, views: Tensor) -> Tensor:
    """How far each phrase stands above everyday words on one picture -> (K,) float32, in standard deviations.

    texts (K, E), everyday (M, E), views (N, E): unit vectors of the phrases, of everyday words, of the whole picture
    and of its windows. A cosine by itself says little: it has another level in each model, and on each view. So on each
    view it is told in standard deviations from the everyday words; each text counts by the view that is best for it;
    and then the phrase is compared with the bests of the everyday words.
    """
    cosines = everyday @ views.t()  # (M, N)
    middle, spread = cosines.mean(dim=0), cosines.std(dim=0, correction=0).clamp(min=1e-6)
    best, words = (((vectors @ views.t() - middle) / spread).amax(dim=1) for vectors in (texts, everyday))
    return (best - words.mean()) / words.std(correction=0).clamp(min=1e-6)


def rates(found: Tensor, absent: Tensor, threshold: float = PRESENT) -> dict[str, float]:
    """Scores of things that are there (A,) and of things that are not (B,) -> true and false: the share of each that
    is said to be there; auc: how often a thing that is there scores higher than one that is not.

    >>> from torch import tensor
    >>> rates(tensor([2.0, 0.5]), tensor([0.0, 1.5]))
    {'true': 0.5, 'false': 0.5, 'auc': 0.75}
    """
    above = (found[:, None] > absent).float() + 0.5 * (found[:, None] == absent).float()
    return {"true": (found >= threshold).float().mean().item(), "false": (absent >= threshold).float().mean().item(),
            "auc": above.mean().item()}
