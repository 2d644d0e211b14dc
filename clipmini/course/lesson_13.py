"""The checkers of lesson 13: retrieval and search."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.course.base import checker, expect, is_near, judge, randn, say, shape_of


def _units(n: int, e: int, seed: int) -> Tensor:
    return F.normalize(randn(n, e, seed=seed), dim=-1)


def _own_among_first(cosines: Tensor, owners: Tensor, k: int, largest: bool = True) -> Tensor:
    """(N, k) bool: which of the first k captions of each picture are its own."""
    return owners[cosines.topk(k, largest=largest).indices] == torch.arange(len(cosines))[:, None]


def _recall(cosines: Tensor, owners: Tensor, k: int) -> float:
    return _own_among_first(cosines, owners, k).any(dim=1).double().mean().item()


def _captioned(seed: int, n: int = 0) -> tuple[Tensor, Tensor, int]:
    """n pictures (or a few) with one to three captions each, in any order."""
    n = n or 5 + seed % 4
    owners = torch.arange(n).repeat_interleave(torch.arange(n) % 3 + 1)
    owners = owners[randn(len(owners), seed=seed).argsort()]
    own = (owners == torch.arange(n)[:, None]).float()
    return randn(n, len(owners), seed=seed + 70) + 0.8 * own, owners, 1 + seed % 3


EXAMPLE, PICTURES = 176, 24  # of _captioned: here, with k = 3, every mistake gives another number


@checker(right=_recall, cases=_captioned)
def recall_any(function) -> None:
    """Lesson 13: function(cosines (N, C), owners (C,), k) -> the share of pictures that have at least one caption of
    their own among their first k.
    """
    cosines, owners, _ = _captioned(EXAMPLE, PICTURES)
    n, places = len(cosines), cosines.topk(3).indices
    own, truth = _own_among_first(cosines, owners, 3), torch.arange(n)
    way_back = torch.stack([(column > column[owner]).sum() < 3
                            for column, owner in zip(cosines.t(), owners, strict=True)])
    first = torch.tensor([(owners == i).nonzero()[0, 0] for i in range(n)])
    for fixed in (places // (len(owners) // n), owners.sort().values[places]):
        expect(not is_near(function(cosines, owners, 3), (fixed == truth[:, None]).any(1).double().mean().item()),
               "owners is in any order, with any number of captions a picture: look up owners[j] for each caption j")
    judge(function, (cosines, owners, 3), own.any(1).double().mean().item(), {
        "these are trues and falses, one for each picture; their mean, one number, is asked for": own.any(1),
        "this is how many pictures were found; divide by the number of pictures": float(own.any(1).sum()),
        "this is the share of a picture's own captions that were found, textbook recall: one of them is enough":
            (own.sum(1) / torch.bincount(owners)).double().mean().item(),
        "this is the share of the first k that are right, precision: one right one is enough":
            own.double().mean().item(),
        "this is the other direction, captions that find their picture: a row of cosines is one picture's query":
            way_back.double().mean().item(),
        "a column number was compared with a row number: caption j belongs to picture owners[j], not to picture j":
            (places == truth[:, None]).any(1).double().mean().item(),
        "only the first caption of each picture counts: any of its captions does":
            (places == first[:, None]).any(1).double().mean().item(),
        "these are the captions with the smallest cosines: topk, or argsort with descending=True":
            _own_among_first(cosines, owners, 3, largest=False).any(1).double().mean().item(),
        "only the nearest caption was looked at: k of them count": _recall(cosines, owners, 1),
        "only place k was looked at: all of the first k count": own[:, -1].double().mean().item(),
        "k - 1 captions were looked at": _recall(cosines, owners, 2),
        "k + 1 captions were looked at": _recall(cosines, owners, 4),
        "all of a picture's first k would have to be its own: one is enough": own.all(1).double().mean().item(),
    }, "it must be the share of pictures with at least one own caption among their first k, here 0.5")


@checker(right=lambda vectors, weights: F.normalize(weights @ vectors, dim=0), cases=lambda seed: (
    _units(2 + seed % 4, 4 + seed % 3, seed), randn(2 + seed % 4, seed=seed + 40) * (1 + seed)))
def combined_query(function) -> None:
    """Lesson 13: function(vectors (Q, E) unit vectors, weights (Q,)) -> (E,): their weighted sum, of unit length."""
    vectors, weights = _units(3, 5, 0), torch.tensor([2.0, 1.0, -1.5])
    total = weights @ vectors
    found = function(vectors, weights)
    expect(not (isinstance(found, Tensor) and found.shape == vectors.shape),
           "these are three vectors still; add them up, over dim 0, to one")
    judge(function, (vectors, weights), F.normalize(total, dim=0), {
        "the weighted sum is right, but not of unit length: divide by its norm, or scores are no cosines": total,
        "this is the weighted mean: its length is not 1 either": total / len(vectors),
        "it was divided by the sum of the weights, which is no length: divide by its norm": total / weights.sum(),
        "it was divided by the square of its length: a square root is missing": total / total.square().sum(),
        "the weights were left out": F.normalize(vectors.sum(0), dim=0),
        "a negative weight takes away: the signs of the weights are lost": F.normalize(weights.abs() @ vectors, dim=0),
        "weights went through a softmax, which has no negative ones: use them as they are":
            F.normalize(weights.softmax(0) @ vectors, dim=0),
        "it points the other way: the sign is wrong": F.normalize(-total, dim=0),
    }, "it must be the sum of weight * vector, divided by its length")


def _groups(vectors: Tensor, cosine: float) -> list[list[int]]:
    near, left, found = vectors @ vectors.t() >= cosine, set(range(len(vectors))), []
    while left:
        group, waiting = set(), [min(left)]
        while waiting:
            i = waiting.pop()
            if i not in group:
                group.add(i)
                waiting += near[i].nonzero().flatten().tolist()
        left -= group
        found.append(sorted(group))
    return [group for group in found if len(group) > 1]


def _in_order(groups) -> list[list[int]]:
    """The same groups, whatever their order."""
    return sorted(sorted(int(i) for i in group) for group in groups)


def _on_circle(*degrees: float) -> Tensor:
    turned = torch.tensor(degrees).deg2rad()
    return torch.stack([turned.cos(), turned.sin()], dim=1)


def _scattered(seed: int) -> tuple[Tensor, float]:
    n = 9 + seed % 5
    return _on_circle(*(360 * randn(n, seed=seed + 11).sigmoid()).tolist()), round(0.999 - 0.004 * (seed % 6), 3)


@checker(right=_groups, cases=_scattered, canonical=_in_order)
def near_duplicates(function) -> None:
    """Lesson 13: function(vectors (N, E) unit vectors, cosine) -> a list of groups, each a list of places: two places
    belong together where a chain of pairs, each at least so near, joins them; groups of one are left out.
    """
    vectors = _on_circle(0, 100, 8, 200, 16, 104, 300)  # 0, 8, 16 are a chain at 0.98; 0 and 16 alone are not so near
    found = function(vectors, 0.98)
    expect(isinstance(found, (list, tuple)), say("this is a {kind}; return a list of lists", kind=type(found).__name__))
    expect(all(isinstance(group, (list, tuple, set)) for group in found), "a list of lists of places is asked for")
    groups, members = _in_order(found), sorted(int(i) for group in found for i in group)
    expect(bool(groups), "nothing was found; three of these seven lie within 8 degrees of one another: are two places "
                         "together where the cosine is at least the limit?")
    expect(any(len(group) > 1 for group in groups), "every group has one place: a near one belongs to the same group")
    if groups == [[0, 2], [1, 5], [2, 4]]:
        expect(_in_order(function(_on_circle(8, 0, 16), 0.98)) != [[0, 1, 2]],  # 0 is near both others
               "only direct neighbours came in: go on to the neighbours of those: 0 is near 2, and 2 near 4, so 0, 2 "
               "and 4 are one group")
    expect(groups != [[0, 2], [1, 5], [2, 4]],
           "these are pairs: 0 and 2, 2 and 4 are near, so 0, 2 and 4 are one group")
    expect([3] not in groups and [6] not in groups, "groups of one are in the list: leave out what is like no other")
    expect(groups not in ([[0, 2], [1, 5]], [[1, 5], [2, 4]]), "a chain was cut: 0 is near 2, and 2 near 4, so all "
                                                              "three are one group, though 0 and 4 are not so near")
    expect(len(groups) == 1 or len(set(members)) == len(members),
           "a place stands in two groups: groups that share a place are one group")
    expect(groups != [[0, 1, 2, 4, 5]] and groups != [[0, 1, 2, 3, 4, 5, 6]],
           "all came into one group: a group is what a chain of near pairs joins, and there are two of them")
    expect(groups == [[0, 2, 4], [1, 5]], say("{found} is not [[0, 2, 4], [1, 5]]", found=groups))
    bridge = _in_order(function(_on_circle(0, 8, 24, 32, 16), 0.98))  # the last one joins two groups
    expect(bridge not in ([[0, 1, 4], [2, 3]], [[0, 1], [2, 3, 4]]), "a newcomer that is near two groups makes them "
           "one: at 0, 8, 24, 32 and 16 degrees, all five are one group")
    twins = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    expect(_in_order(function(twins, 1.0)) == [[0, 1]], "two equal vectors at a limit of 1.0 are a group: at least, >=")
    expect(_in_order(function(_on_circle(0, 90, 180), 0.98)) == [], "where nothing is alike an empty list is right")


def _root_mean_square(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


def _limit(scores: Tensor) -> float:
    middle = scores.median()
    spread = _root_mean_square(scores[scores <= middle] - middle)
    return (middle + spread * math.sqrt(2 * math.log(len(scores)))).item()


@checker(right=_limit, cases=lambda seed: (torch.cat([0.1 * randn(20 + 2 * seed, seed=seed) + 0.05 * (seed % 3),
                                                      torch.full((3,), 0.7 + seed / 100)]),))
def cut_off(function) -> None:
    """Lesson 13: function(scores (N,)) -> the cut-off, a number: their median, and above it the spread of those at or
    below the median times the root of 2 ln N.
    """
    scores = torch.tensor([-.2, .9, .05, .1, -.05, .0, .15, .2, -.1, .8, .12])
    middle, n = scores.median(), len(scores)
    below, above = (scores[where] - middle for where in (scores <= middle, scores >= middle))
    spread, root = _root_mean_square(below), math.sqrt(2 * math.log(n))
    expect(shape_of(function(scores)) in (None, ()), "one number for the whole query is asked for")
    at = {name: (middle + root * x).item() for name, x in {
        "all": scores.std(), "all, of N": scores.std(correction=0),
        "from the median": _root_mean_square(scores - middle),
        "above": _root_mean_square(above), "own mean": below.std(), "own mean, of N": below.std(correction=0),
        "no root": below.square().mean(), "distances": below.abs().mean(), "downwards": -spread,
        "without it": _root_mean_square(below[below < 0])}.items()}
    mistakes = {"the spread is that of all scores, which what is asked for makes wide: only of those at or below the "
                "median": ("all", "all, of N", "from the median"),
                "the spread is measured from the median, not from the mean of the lower half: .std() takes the mean "
                "away": ("own mean", "own mean, of N")}
    for mistake, names in mistakes.items():
        expect(not any(is_near(function(scores), at[name]) for name in names), mistake)
    judge(function, (scores,), _limit(scores), {
        "this is the scores' median alone: the spread above it is missing": middle.item(),
        "the spread was not multiplied by the root of 2 ln N": (middle + spread).item(),
        "the root over 2 ln N is missing": (middle + spread * root ** 2).item(),
        "2 is missing under the root": (middle + spread * math.sqrt(math.log(n))).item(),
        "N is the number of all scores, not only of those at or below the median":
            (middle + spread * math.sqrt(2 * math.log(len(below)))).item(),
        "the median is missing: the cut-off lies that far above the median": (spread * root).item(),
        "ln is the natural logarithm, math.log": (middle + spread * math.sqrt(2 * math.log10(n))).item(),
        "the spread was taken from above the median, where what is asked for lies": at["above"],
        "the root of the mean square is missing in the spread": at["no root"],
        "this is the mean distance from the median; the spread is the root of the mean square": at["distances"],
        "the cut-off lies below the median: add the spread": at["downwards"],
        "it begins at the mean, which a few large scores move; begin at the median":
            (scores.mean() + spread * root).item(),
        "the median itself counts too, with distance 0: scores <= median": at["without it"],
    }, "it must be median + spread below * sqrt(2 ln N), here 0.463")
