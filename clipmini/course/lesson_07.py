"""The checkers of lesson 07: prompts."""

import torch
import torch.nn.functional as F

from clipmini.course.base import checker, expect, is_near, judge, randn, say
from clipmini.tasks.metrics import reliability


def _answers(seed: int, n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidences, some of them 1, and whether each answer was right."""
    return randn(n, seed=seed).sigmoid().where(torch.arange(n) > 5, torch.ones(())), randn(n, seed=seed + 1) > 0


@checker(right=lambda x: F.normalize(x.mean(0), dim=-1), gradient=True,
         cases=lambda seed: (F.normalize(randn(1 + seed, 3 + seed % 5, seed=seed), dim=-1),))
def class_vector(function) -> None:
    """Lesson 07: function(vectors (M, E)): unit vectors of one class in M templates -> (E,),
    their mean, of unit length.
    """
    x = F.normalize(randn(4, 5), dim=-1)
    judge(function, (x,), F.normalize(x.mean(0), dim=-1), {
        "the mean of unit vectors is shorter than 1: classes that their templates agree on would win. Normalise it":
            x.mean(0),
        "a sum, and of no unit length": x.sum(0),
        "only the first template was used": x[0],
        "rows are templates; the mean over dim=0 leaves one vector of the class": x.mean(1),
        "nothing was averaged": x,
    }, "it must be the mean over the templates (dim=0), divided by its own length")


@checker(right=lambda x, scale: (scale * x).softmax(1).mean(0),
         cases=lambda seed: (0.3 * randn(1 + seed, 2 + seed % 5, seed=seed), 5.0 + 9 * (seed % 8)))
def average_probabilities(function) -> None:
    """Lesson 07: function(cosines (M, K), scale): of M templates -> (K,), the mean of their softmaxes."""
    x, scale = 0.3 * randn(3, 4), 30.0
    judge(function, (x, scale), (scale * x).softmax(1).mean(0), {
        "cosines were averaged and then shared out: that is ensembling before the softmax, the other way":
            (scale * x.mean(0)).softmax(0),
        "the softmax ran over templates: each template shares 1 among the classes, dim=1":
            (scale * x).softmax(0).mean(0),
        "the scale is missing": x.softmax(1).mean(0),
        "a sum over templates; probabilities must sum to 1": (scale * x).softmax(1).sum(0),
        "one row for each template still: take their mean": (scale * x).softmax(1),
    }, "it must be the mean over templates of softmax(scale * cosines)")


@checker(right=lambda sure, right, bins: reliability(sure, right, bins).ece,
         cases=lambda seed: (*_answers(3 * seed, 30 + 7 * (seed % 8)), 4 + seed % 8))
def calibration_error(function) -> None:
    """Lesson 07: function(confidence (N,), right (N,) bool, bins) -> the expected calibration error."""
    sure = torch.tensor([0.05, 0.15, 0.15, 0.95, 0.95, 0.95, 0.95, 0.65])
    right = torch.tensor([False, False, True, True, True, False, True, False])
    gaps = torch.tensor([0.05, 0.35, 0.20, 0.65])
    signed = torch.tensor([-0.05, 0.35, -0.20, -0.65])
    counts = torch.tensor([1.0, 2.0, 4.0, 1.0])
    whole = (signed * counts).sum() / 8  # the gap of all answers is that of the bins, their signs kept
    found = function(sure, right, 10)
    expect(not is_near(found, whole) and not is_near(found, -whole),
           "gaps of both signs cancel: there are no bins, or the absolute value of each bin's gap is missing")
    judge(function, (sure, right, 10), (gaps * counts).sum() / 8, {
        "every bin counts the same; weigh each by how many answers it holds": gaps.mean(),
        "this is the largest gap, the maximum calibration error": gaps.max(),
        "a sum over bins: divide by the number of answers": (gaps * counts).sum(),
        "this is the distance of each answer from its own confidence (no bins)": (sure - right.float()).abs().mean(),
    }, "for each bin that is not empty: |mean confidence - share right| times the share of answers in it; then the sum")
    sure, hit = _answers(0)
    found = function(sure, hit, 7)
    for parts in (sure.argsort().chunk(7), sure.argsort().tensor_split(7)):
        far = torch.stack([(sure[rows].mean() - hit[rows].float().mean()).abs() for rows in parts])
        sizes = torch.tensor([len(rows) for rows in parts])
        expect(not is_near(found, far.mean()) and not is_near(found, (far * sizes).sum() / 40),
               "with equally many answers in each bin it is another measure: bins have equal width, "
               "(confidence * bins).long()")
    expect(not is_near(found, reliability(sure, hit, 10).ece), "there are always ten bins: use the argument")
    expect(not is_near(found, reliability(sure[6:], hit[6:], 7).ece * 34 / 40),
           "answers of confidence 1.0 are lost: they belong to the last bin")
    expect(is_near(found, reliability(sure, hit, 7).ece),
           say("right for the first example; for 40 answers in 7 bins it must be {right}, yours gave {found}. Bins go "
               "from 0 to 1, and mean confidence is that of the answers in the bin, not its middle",
               right=f"{reliability(sure, hit, 7).ece:.4f}", found=f"{float(found):.4f}"))
