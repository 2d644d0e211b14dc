"""The checkers of lesson 11: probes."""

import math

import torch
import torch.nn.functional as F

from clipmini.course.base import checker, expect, is_near, judge, randn, say


def _first_of_each(labels: torch.Tensor, k: int) -> list[int]:
    return sorted(i for c in labels.unique() for i in (labels == c).nonzero()[:k, 0].tolist())


def _crossing(ks: list[int], accuracies: list[float], zero_shot: float) -> float:
    return next((k for k, x in zip(ks, accuracies, strict=True) if x >= zero_shot), math.inf)


def _mixed_words(p: torch.Tensor, words: torch.Tensor, top: int) -> torch.Tensor:
    best = p.topk(top)
    return F.normalize(best.values @ words[best.indices], dim=-1)


def _curve(seed: int) -> tuple[list[int], list[float], float]:
    ks = [1 + seed % 2, 3, 5, 9][:2 + seed % 3]
    return ks, [round(0.3 + 0.1 * ((seed + i * i) % 5), 1) for i in range(len(ks))], round(0.4 + 0.1 * (seed % 4), 1)


@checker(right=_first_of_each, cases=lambda seed: (
    (randn(6 + seed, seed=seed) * 3).long().abs() + seed % 3, 1 + seed % 4))
def few(function) -> None:
    """Lesson 11: function(labels (N,), k) -> a sorted list: the first k places of each class."""
    labels = torch.tensor([2, 0, 0, 1, 2, 2, 0, 1, 1])
    found = function(labels, 2)
    found = [int(i) for i in found]
    expect(found != [0, 1], "the first k of all: k of each class are asked for")
    expect(found != [labels[i].item() for i in (0, 1, 2, 3, 4, 7)],
           "these are labels; the places of the rows are asked for")
    expect(len(set(found)) == len(found), "a place occurs twice")
    expect(len(found) == 6,
           say("{count} places came back; 2 of each of 3 classes are 6 (a tensor is no good key for a dict: "
               "labels.tolist())", count=len(found)))
    expect(found != [5, 2, 3, 8, 4, 6], "the last ones of each class")
    expect(sorted(found) != [0, 1, 2, 3, 4, 7] or found == [0, 1, 2, 3, 4, 7], "the right places, but not sorted")
    expect(found == [0, 1, 2, 3, 4, 7], say("{found} is not [0, 1, 2, 3, 4, 7], the first two places of each class",
                                              found=found))
    expect([int(i) for i in function(torch.tensor([7, 7, 3, 7]), 2)] == [0, 1, 2],
           "labels 7, 7, 3, 7 with k = 2 must give 0, 1, 2: labels need not begin at 0, and a class with fewer than k "
           "gives all it has")


@checker(right=_crossing, cases=_curve)
def crossover(function) -> None:
    """Lesson 11: function(ks, accuracies, zero_shot) -> the least k whose probe is at least as good;
    math.inf for none.
    """
    ks, scores = [1, 2, 4, 8, 16], [0.30, 0.45, 0.61, 0.55, 0.72]
    found = function(ks, scores, 0.6)
    expect(found != 2, "2 is the place in the list, or the k before; the first k that is good enough is asked for")
    expect(not is_near(found, 0.61), "this is the accuracy there; k is asked for")
    expect(found != 16, "from k = 16 on it stays better; the first k that is at least as good is asked for")
    expect(found != 1, "at k = 1 the probe is worse: at least as good as zero-shot")
    expect(found == 4, say("{found} is not 4, the first k whose accuracy is at least 0.6", found=found))
    expect(function([1, 2], [0.5, 0.6], 0.6) == 2, "equal is enough: at least as good")
    expect(function(ks, scores, 0.9) == math.inf, "where the probe never gets there, say math.inf")


@checker(right=_mixed_words, cases=lambda seed: (
    randn(4 + seed, seed=seed).softmax(0), randn(4 + seed, 3 + seed % 4, seed=seed + 30), 1 + seed % 4))
def conse(function) -> None:
    """Lesson 11: function(probabilities (K,), words (K, E), top) -> (E,):
    the top classes' words, weighed, of unit length.
    """
    p, words = torch.tensor([0.05, 0.5, 0.3, 0.15]), randn(4, 5)

    def unit(weights):
        return F.normalize(weights @ words, dim=-1)

    judge(function, (p, words, 2), unit(torch.tensor([0, 0.5, 0.3, 0])), {
        "only the first class was used: that is the supervised answer, and new things are between classes": words[1],
        "all classes were mixed; the many improbable ones pull to the middle: only the top": unit(p),
        "the top classes count the same: weigh each with its probability": unit(torch.tensor([0, 1.0, 1.0, 0])),
        "the least probable classes were mixed": unit(torch.tensor([0.05, 0, 0, 0.15])),
        "it is not of unit length": torch.tensor([0, 0.5, 0.3, 0]) @ words,
        "words were brought to length 1 first; only the sum is": F.normalize(
            torch.tensor([0, 0.5, 0.3, 0]) @ F.normalize(words, dim=-1), dim=-1),
    }, "it must be the sum of probability * word over the top classes, scaled to length 1")
