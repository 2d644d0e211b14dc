"""The checkers of lesson 00: what CLIP does."""

import torch
import torch.nn.functional as F

from clipmini.course.base import checker, expect, is_near, judge, randn, say, shape_of


def _vectors(seed: int):
    """A picture and K texts of any length; every second time the picture is one of the texts, turned."""
    k, e = 3 + seed % 4, 2 + seed % 5
    texts = randn(k, e, seed=seed) * (5 * randn(k, 1, seed=seed + 50).abs() + 0.1)
    return randn(e, seed=seed + 90) * (0.2 if seed % 2 else 7), texts


@checker(right=lambda image, texts: int(F.cosine_similarity(texts, image[None]).argmax()), cases=_vectors)
def nearest(function) -> None:
    """Lesson 00: function(image (E,), texts (K, E)), of any length -> the row of the text with the largest cosine."""
    image, texts = torch.tensor([1.0, 2.0]), torch.tensor([[9.0, 0.0], [0.3, 0.7], [1.0, 1.2], [-5.0, -9.0]])
    cosines = F.normalize(texts, dim=-1) @ F.normalize(image, dim=-1)
    found = function(image, texts)
    expect(shape_of(found) in (None, ()) or found.numel() == 1,
           "one number is asked for, the place of the best text: argmax")
    expect(not is_near(found, cosines.max()), "this is the best cosine; the answer is its place, argmax")
    expect(float(found) == int(found),
           say("the place of a text is asked for, a whole number; yours gave {found}: argmax",
               found=f"{float(found):.3f}"))
    expect(int(found) != 0,
           "text 0 wins only because it is long: divide vectors by their length before the dot product")
    expect(int(found) != 3, "text 3 points the opposite way: the largest cosine is asked for, not the smallest")
    expect(int(found) != 2,
           "text 2 is nearest on the paper, but its angle is larger than text 1's: cosines, not distances")
    expect(int(found) == 1, say("{found} is not the place of a text; there are 0 to 3", found=int(found)))
    for seed in range(20):
        image, texts = randn(3, seed=seed), randn(6, 3, seed=99 - seed) * (randn(6, 1, seed=seed + 200).abs() + 0.1)
        right, answer = int(F.cosine_similarity(texts, image[None]).argmax()), int(function(image, texts))
        expect(answer == right,
               say("right for the first example, wrong for another: it must be {right}, yours gave {answer}. Each row "
                   "of texts is divided by the square root of its own sum of squares", right=right, answer=answer))


@checker(right=lambda cosines, scale: (scale * cosines).softmax(0),
         cases=lambda seed: (randn(2 + seed % 8, seed=seed) / 3, 1.0 + 4 * (seed % 8)))
def shares(function) -> None:
    """Lesson 00: function(cosines (K,), scale) -> probabilities (K,), the softmax of scale * cosines."""
    x, scale = torch.tensor([0.30, 0.25, -0.10]), 20.0
    judge(function, (x, scale), (scale * x).softmax(0), {
        "nearly all the same: the scale is missing, softmax(scale * cosines)": x.softmax(0),
        "cosines were divided by the scale; multiply": (x / scale).softmax(0),
        "each was judged by itself (sigmoid), and they don't sum to 1: softmax": (scale * x).sigmoid(),
        "dividing by the sum leaves negative probabilities: exp comes first": x / x.sum(),
        "these are the logarithms: softmax, not log_softmax": (scale * x).log_softmax(0),
    }, "the numbers differ from softmax(scale * cosines)")


@checker(right=lambda classifier, name: torch.cat([classifier, F.normalize(name, dim=-1)[None]]),
         cases=lambda seed: (F.normalize(randn(1 + seed % 5, 3 + seed % 7, seed=seed), dim=-1),
                             (0.1 + seed % 9) * randn(3 + seed % 7, seed=seed + 9)))
def add_class(function) -> None:
    """Lesson 00: function(classifier (K, E), name (E,)) -> (K + 1, E), the new class last, of unit length."""
    old, new = F.normalize(randn(3, 4), dim=-1), torch.tensor([3.0, -4.0, 1.0, -2.0])
    unit = F.normalize(new, dim=-1)
    judge(function, (old, new), torch.cat([old, unit[None]]), {
        "the new row is longer than the others and would win everything: give it length 1": torch.cat([old, new[None]]),
        "the new class stands first, and every old answer now has another number: append it":
            torch.cat([unit[None], old]),
        "a class was replaced; append the new one": torch.cat([old[:-1], unit[None]]),
        "the new class went into the others (+): it gets a row of its own": old + unit,
        "nothing was added": old,
        "the new row was divided by its sum, or by its largest number; divide by its length":
            torch.cat([old, (new / new.sum())[None]]),
        "the new row was divided by the sum of its sizes; divide by its length, the root of the sum of squares":
            torch.cat([old, (new / new.abs().sum())[None]]),
    }, "the old rows must stay as they are; the last row is the new name divided by its length, "
       "F.normalize(name, dim=-1)")
