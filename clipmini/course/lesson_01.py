"""The checkers of lesson 01: tokens."""

import random
from collections import Counter
from itertools import pairwise

from clipmini.course.base import checker, expect, judge, say


def _pairs(words: dict) -> dict:
    counts: Counter = Counter()
    for word, n in words.items():
        for pair in pairwise(word):
            counts[pair] += n
    return dict(counts)


def _joined(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    out, i = [], 0
    while i < len(pieces):
        fits = tuple(pieces[i:i + 2]) == pair
        out.append("".join(pair) if fits else pieces[i])
        i += 2 if fits else 1
    return out


def _encoded(pieces: list[str], merges: list[tuple[str, str]]) -> list[str]:
    while fitting := [pair for pair in merges if pair in set(pairwise(pieces))]:
        pieces = _joined(pieces, fitting[0])
    return pieces


def _word(seed: int, letters: str = "ab", longest: int = 9) -> list[str]:
    rng = random.Random(seed)
    return [rng.choice(letters) for _ in range(rng.randint(1, longest))]


def _learnt(seed: int) -> list[tuple[str, str]]:
    """Merges in an order in which they could have been learnt, and a word that they fit."""
    rng, known = random.Random(seed), list("abc")
    merges: list[tuple[str, str]] = []
    while len(merges) < 5:
        pair = (rng.choice(known), rng.choice(known))
        if pair not in merges:
            merges.append(pair)
            known.append("".join(pair))
    return merges


@checker(right=_pairs, cases=lambda seed: ({tuple(_word(10 * seed + i, "abc")): i + 1 + seed % 7 for i in range(4)},))
def count_pairs(function) -> None:
    """Lesson 01: function({word as a tuple of pieces: how often}) -> {pair of neighbours: how often}."""
    words = {("a", "b", "a", "b"): 2, ("b", "a"): 3}
    right = Counter({("a", "b"): 4, ("b", "a"): 5})
    found = function(words)
    expect(isinstance(found, dict),
           say("a dict or a Counter is asked for, pair -> count; this is a {kind}", kind=type(found).__name__))
    found = Counter({key: value for key, value in found.items() if value})
    once = [Counter({("a", "b"): n, ("b", "a"): 2}) for n in (1, 2)]
    expect(found not in once, "each word was counted once; a pair counts as often as its word occurs")
    expect(found != Counter({("a", "b"): 2, ("b", "a"): 5}),
           "abab holds ab twice: count every place, not every kind of pair")
    expect(found != Counter({("a", "b"): 9}), "ab and ba were counted together: the order belongs to the pair")
    expect(found != Counter({("a",): 7, ("b",): 7}) and found != Counter({"a": 7, "b": 7}),
           "single pieces were counted; two neighbours make a pair, zip(word, word[1:])")
    expect(found.total() <= 9,
           say("there are 9 neighbours in these words, and {found} were counted: the end of a word and the beginning "
               "of the next are no neighbours", found=found.total()))
    expect(found.total() == 9,
           say("there are 9 neighbours in these words, and {found} were counted: add to what a pair has already, in "
               "this word and in others", found=found.total()))
    expect(found == right, say("{found} is not {right}", found=dict(found), right=dict(right)))


@checker(right=_joined, cases=lambda seed: (_word(seed, "aab", 12), ("a", "ab"[seed % 2])))
def merge(function) -> None:
    """Lesson 01: function([pieces], (left, right)) -> [pieces], each such pair joined, from left to right."""
    pieces, pair = ["a", "a", "a", "b", "a", "a"], ("a", "a")
    judge(function, (pieces, pair), ["aa", "a", "b", "aa"], {
        "nothing was joined": pieces,
        "only the first pair was joined; go on to the end of the word": ["aa", "a", "b", "a", "a"],
        "a piece was used twice: after a joined pair move on by two": ["aa", "aa", "b", "aa"],
        "the pair stands beside its pieces: replace the two by the one": ["aa", "a", "a", "b", "aa", "a"],
        "it was read from the right; CLIP joins from the left": ["a", "aa", "b", "aa"],
        "the last piece is lost: look at i + 1 only while there is one": ["aa", "a", "b"],
    }, "aaabaa with the pair (a, a) must become ['aa', 'a', 'b', 'aa']")
    expect(function(["x", "y", "x", "z"], ("x", "y")) == ["xy", "x", "z"],
           "right for (a, a), wrong for (x, y) in x y x z: compare both pieces with the pair")
    expect(function(["ca", "t", "a", "t"], ("a", "t")) == ["ca", "t", "at"],
           "ca and t are not the pair (a, t): compare whole pieces, not their letters")


@checker(right=_encoded, cases=lambda seed: (_word(seed, "abc", 14), _learnt(seed)))
def encode(function) -> None:
    """Lesson 01: function([pieces], [merges in the order of learning]) -> [pieces],
    the earliest merge that fits always first.
    """
    pieces, merges = list("abcd"), [("b", "c"), ("a", "b"), ("bc", "d"), ("a", "bcd")]
    judge(function, (pieces, merges), ["abcd"], {
        "nothing was joined": pieces,
        "it stopped after one merge: go on until none fits": ["a", "bc", "d"],
        "the pair bc was learnt first, so it is joined first, wherever it stands": ["ab", "c", "d"],
    }, "abcd must become one piece here: bc first, then bcd, then abcd")
    expect(function(list("abab"), [("a", "b"), ("ab", "ab")]) == ["abab"],
           "abab stays in pieces: a merge applies to every place where it fits")
    expect(function(list("xabc"), [("b", "c"), ("x", "a"), ("a", "bc")]) == ["xa", "bc"],
           "xabc must become xa, bc: a + bc was learnt after x + a")
    expect(function(["c", "a", "t."], [("a", "t."), ("c", "at.")]) == ["cat."],
           "pieces may be longer than a letter: c, a, t. with (a, t.) and (c, at.) must become cat.")
    expect(function(["q"], merges) == ["q"], "a word of one piece comes back as it is")
