"""The checkers of lesson 05: the loss."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini import loss
from clipmini.course.base import checker, expect, is_near, judge, randn, say, shape_of


def _symmetric(logits: Tensor) -> Tensor:
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2


def _units(n: int, e: int, seed: int) -> Tensor:
    return F.normalize(randn(n, e, seed=seed), dim=-1)


@checker(right=lambda x: F.normalize(x, dim=-1), gradient=True,
         cases=lambda seed: ((0.1 + seed % 8) * randn(2 + seed, 3 + seed % 4, seed=seed),))
def normalise(function) -> None:
    """Lesson 05: function(features (N, E)) -> rows of length 1."""
    x = 3 * randn(5, 7)
    found = function(x)
    expect(isinstance(found, Tensor), say("this is a {kind}; return a tensor", kind=type(found).__name__))
    expect(shape_of(found) == x.shape,
           say("the shape is {found}, not {right}: a row goes in, a row of the same width comes out",
               found=shape_of(found), right=tuple(x.shape)))
    expect(not is_near(found, x), "nothing changed: rows still have their own lengths")
    expect(not is_near(found, F.normalize(x, dim=0)),
           "columns have length 1, rows have not: a vector is a row, take the length along dim=-1")
    expect(not is_near(found, x / x.norm()),
           "every number was divided by one length, that of the whole matrix; each row has its own")
    expect(not is_near(found, x / x.sum(-1, keepdim=True)),
           "rows sum to 1, but their length is not 1: divide by the square root of the sum of squares")
    expect(not is_near(found, x / x.square().sum(-1, keepdim=True)),
           "long rows became short ones: divide by the length, not by its square; a square root is missing")
    expect(is_near(found.norm(dim=-1), torch.ones(5)), say("rows have lengths like {length}; they must be 1",
                                                                   length=f"{found[0].norm():.2f}"))
    expect(is_near(found, F.normalize(x, dim=-1)),
           "rows have length 1 but point elsewhere: only divide, change nothing else")


@checker(right=lambda image, text, scale: scale * image @ text.t(), gradient=True,
         cases=lambda seed: (_units(2 + seed, 5, seed), _units(3 + seed % 4, 5, seed + 50), 2.0 + 5 * (seed % 8)))
def logits(function) -> None:
    """Lesson 05: function(image (N, E), text (M, E), scale) -> scaled cosines (N, M), a row for each picture."""
    image, text, scale = F.normalize(randn(3, 4), dim=-1), F.normalize(randn(5, 4, seed=1), dim=-1), 7.0
    right = scale * image @ text.t()
    judge(function, (image, text, scale), right, {
        "rows are texts: pictures come first, image @ text.t()": right.t(),
        "these are plain cosines: multiply them by scale": right / scale,
        "cosines were divided by scale: it is one over the temperature already, multiply": right / scale**2,
        "rows sum to 1: the softmax belongs to the loss, return what goes into it": right.softmax(dim=1),
        "the scale is a plain number here, no logarithm: multiply by it, without exp": right / scale * math.exp(scale),
        "normalised once more, after the scale": F.normalize(right, dim=-1),
    }, "the numbers differ from scale * image @ text.t()")


@checker(right=_symmetric, gradient=True, cases=lambda seed: (3 * randn(2 + seed, 2 + seed, seed=seed),))
def clip_loss(function) -> None:
    """Lesson 05: function(logits (N, N)) -> the symmetric loss, one number."""
    x = 2 * randn(6, 6) + 3 * torch.eye(6)
    found = function(x)
    expect(isinstance(found, Tensor),
           "this is a plain number: a loss must stay a tensor, or no gradient comes out of it (no .item(), no float())")
    target = torch.arange(6)
    rows, columns = F.cross_entropy(x, target), F.cross_entropy(x.t(), target)
    right = (rows + columns) / 2
    expect(torch.as_tensor(found).numel() == 1,
           say("{count} numbers came back: the loss is one, a mean", count=torch.as_tensor(found).numel()))
    expect(not is_near(found, rows),
           "only rows were asked, which text fits a picture; ask the columns too, with logits.t()")
    expect(not is_near(found, columns), "only columns were asked, which picture fits a text; ask the rows too")
    expect(not is_near(found, rows + columns), "the two directions were added: take their mean")
    expect(not is_near(found, 6 * right), "the pairs were added: take the mean over them (cross_entropy's default)")
    expect(not is_near(found, (F.cross_entropy(x, x.argmax(1)) + F.cross_entropy(x.t(), x.t().argmax(1))) / 2),
           "the targets are the model's own guesses, so it agrees with itself for nothing: pair i belongs to i, "
           "torch.arange(N)")
    expect(not is_near(found, (F.cross_entropy(x.softmax(1), target) + F.cross_entropy(x.t().softmax(1), target)) / 2),
           "softmax was taken twice: cross_entropy has one inside, give it the logits")
    expect(not is_near(found, F.mse_loss(x, torch.eye(6))), "this is a squared error; each row is a classification")
    expect(not is_near(found, -right), "the sign is wrong: a loss falls when the right pair becomes more probable")
    expect(is_near(found, right),
           say("{found} is not {right}: cross entropy of the rows and of the columns, target i for row i, and their "
               "mean",
               found=f"{float(found):.4f}", right=f"{float(right):.4f}"))
    unit = F.normalize(randn(4, 8, seed=3), dim=-1)
    expect(is_near(function(5 * unit @ unit.t()), loss.clip_loss(unit, unit, torch.tensor(5.0))),
           "it holds for six pairs only: read N from the shape")


@checker(right=lambda logit_scale: logit_scale.exp().clamp(max=100), gradient=True,
         cases=lambda seed: (torch.tensor(-1.0 + 0.9 * (seed % 8) + seed / 100),))
def scale_of(function) -> None:
    """Lesson 05: function(logit_scale) -> exp of it, at most 100."""
    start = torch.tensor(1 / 0.07).log()
    found = function(start)
    expect(not is_near(found, start), "the parameter itself came back: it is a logarithm, take exp")
    expect(not is_near(found, 0.07), "this is the temperature, 0.07: the scale is one over it")
    expect(is_near(found, 1 / 0.07), say("for ln(1 / 0.07) it is {found}; exp gives 14.286",
                                              found=f"{float(found):.3f}"))
    large = function(torch.tensor(9.0))
    expect(not is_near(large, torch.tensor(9.0).exp()),
           "exp(9) is 8103: CLIP never lets the scale above 100; clamp behind exp, exp().clamp(max=100)")
    expect(is_near(large, 100.0), say("for 9 it is {found}; the most is 100, after exp, not before",
                                       found=f"{float(large):.1f}"))
