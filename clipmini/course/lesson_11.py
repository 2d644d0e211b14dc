"""The checkers of lesson 11: probes."""

import math

import torch
import torch.nn.functional as F

from clipmini.course.base import answer_of, checker, expect, is_near, judge, randn


@checker
def few(function) -> None:
    """Lesson 11: function(labels (N,), k) -> a sorted list: the first k places of each class."""
    labels = torch.tensor([2, 0, 0, 1, 2, 2, 0, 1, 1])
    found = answer_of(function, labels, 2)
    found = [int(i) for i in found]
    expect(found != [0, 1], "the first k of all: k of each class are asked for")
    expect(found != [labels[i].item() for i in (0, 1, 2, 3, 4, 7)],
           "these are labels; the places of the rows are asked for")
    expect(len(set(found)) == len(found), "a place occurs twice")
    expect(len(found) == 6,
           f"{len(found)} places came back; 2 of each of 3 classes are 6 (a tensor is no good key for a dict: "
           "labels.tolist())")
    expect(found != [5, 2, 3, 8, 4, 6], "the last ones of each class")
    expect(sorted(found) != [0, 1, 2, 3, 4, 7] or found == [0, 1, 2, 3, 4, 7], "the right places, but not sorted")
    expect(found == [0, 1, 2, 3, 4, 7], f"{found} is not [0, 1, 2, 3, 4, 7], the first two places of each class")
    expect([int(i) for i in function(torch.tensor([7, 7, 3, 7]), 2)] == [0, 1, 2],
           "labels 7, 7, 3, 7 with k = 2 must give 0, 1, 2: labels need not begin at 0, and a class with fewer than k "
           "gives all it has")


@checker
def crossover(function) -> None:
    """Lesson 11: function(ks, accuracies, zero_shot) -> the least k whose probe is at least as good;
    math.inf for none.
    """
    ks, scores = [1, 2, 4, 8, 16], [0.30, 0.45, 0.61, 0.55, 0.72]
    found = answer_of(function, ks, scores, 0.6)
    expect(found != 2, "2 is the place in the list, or the k before; the first k that is good enough is asked for")
    expect(not is_near(found, 0.61), "this is the accuracy there; k is asked for")
    expect(found != 16, "from k = 16 on it stays better; the first k that is at least as good is asked for")
    expect(found != 1, "at k = 1 the probe is worse: at least as good as zero-shot")
    expect(found == 4, f"{found} is not 4, the first k whose accuracy is at least 0.6")
    expect(function([1, 2], [0.5, 0.6], 0.6) == 2, "equal is enough: at least as good")
    expect(function(ks, scores, 0.9) == math.inf, "where the probe never gets there, say math.inf")


@checker
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
