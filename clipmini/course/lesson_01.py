"""The checkers of lesson 01: tokens."""

from collections import Counter

from clipmini.course.base import answer_of, checker, expect, judge


@checker
def count_pairs(function) -> None:
    """Lesson 01: function({word as a tuple of pieces: how often}) -> {pair of neighbours: how often}."""
    words = {("a", "b", "a", "b"): 2, ("b", "a"): 3}
    right = Counter({("a", "b"): 4, ("b", "a"): 5})
    found = answer_of(function, words)
    expect(isinstance(found, dict),
           f"a dict or a Counter is asked for, {{pair: count}}; this is a {type(found).__name__}")
    found = Counter({key: value for key, value in found.items() if value})
    once = [Counter({("a", "b"): n, ("b", "a"): 2}) for n in (1, 2)]
    expect(found not in once, "each word was counted once; a pair counts as often as its word occurs")
    expect(found != Counter({("a", "b"): 2, ("b", "a"): 5}),
           "abab holds ab twice: count every place, not every kind of pair")
    expect(found != Counter({("a", "b"): 9}), "ab and ba were counted together: the order belongs to the pair")
    expect(found != Counter({("a",): 7, ("b",): 7}) and found != Counter({"a": 7, "b": 7}),
           "single pieces were counted; two neighbours make a pair, zip(word, word[1:])")
    expect(found.total() <= 9,
           f"there are 9 neighbours in these words, and {found.total()} were counted: the end of a word and the "
           "beginning of the next are no neighbours")
    expect(found.total() == 9,
           f"there are 9 neighbours in these words, and {found.total()} were counted: add to what a pair has already, "
           "in this word and in others")
    expect(found == right, f"{dict(found)} is not {dict(right)}")


@checker
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


@checker
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
