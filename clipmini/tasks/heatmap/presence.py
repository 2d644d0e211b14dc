"""Is the phrase in the picture at all? Every map has a brightest place; this says whether something is there."""

from torch import Tensor

# From here on a thing counts as there: true less false rate, the mean of assets/emoji and assets/emoji-vit, is highest
# between 0.8 and 1.0 (0.72) on 240 scenes of four styles that the models knew. Above 1.0 things are lost faster than
# mistakes; assets/results.md has the rates on a style that they never saw.
PRESENT = 1.0


def presence(texts: Tensor, everyday: Tensor, windows: Tensor) -> Tensor:
    """How far each phrase stands above everyday words on one picture -> (K,) float32, in standard deviations.

    texts (K, E), everyday (M, E), windows (N, E): unit vectors of the phrases, of everyday words, of the picture's
    windows. Each text counts by its best window; the phrase is compared with the M best of the everyday words. A cosine
    by itself says little: it has another level in each model, and on each picture.
    """
    best, background = ((vectors @ windows.t()).amax(dim=1) for vectors in (texts, everyday))
    return (best - background.mean()) / background.std(correction=0).clamp(min=1e-6)


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
