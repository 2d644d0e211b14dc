"""The checkers of lesson 05: the loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini import loss
from clipmini.course.base import answer_of, checker, expect, is_near, judge, randn, shape_of


@checker
def normalise(function) -> None:
    """Lesson 05: function(features (N, E)) -> rows of length 1."""
    x = 3 * randn(5, 7)
    found = answer_of(function, x)
    expect(isinstance(found, Tensor), f"this is a {type(found).__name__}; return a tensor")
    expect(shape_of(found) == x.shape,
           f"the shape is {shape_of(found)}, not {tuple(x.shape)}: a row goes in, a row of the same width comes out")
    expect(not is_near(found, x), "nothing changed: rows still have their own lengths")
    expect(not is_near(found, F.normalize(x, dim=0)),
           "columns have length 1, rows have not: a vector is a row, take the length along dim=-1")
    expect(not is_near(found, x / x.norm()),
           "every number was divided by one length, that of the whole matrix; each row has its own")
    expect(not is_near(found, x / x.sum(-1, keepdim=True)),
           "rows sum to 1, but their length is not 1: divide by the square root of the sum of squares")
    expect(not is_near(found, x / x.square().sum(-1, keepdim=True)),
           "long rows became short ones: divide by the length, not by its square; a square root is missing")
    expect(is_near(found.norm(dim=-1), torch.ones(5)), f"rows have lengths like {found[0].norm():.2f}; they must be 1")
    expect(is_near(found, F.normalize(x, dim=-1)),
           "rows have length 1 but point elsewhere: only divide, change nothing else")


@checker
def logits(function) -> None:
    """Lesson 05: function(image (N, E), text (M, E), scale) -> scaled cosines (N, M), a row for each picture."""
    image, text, scale = F.normalize(randn(3, 4), dim=-1), F.normalize(randn(5, 4, seed=1), dim=-1), 7.0
    right = scale * image @ text.t()
    judge(function, (image, text, scale), right, {
        "rows are texts: pictures come first, image @ text.t()": right.t(),
        "these are plain cosines: multiply them by scale": right / scale,
        "cosines were divided by scale: it is one over the temperature already, multiply": right / scale**2,
        "rows sum to 1: the softmax belongs to the loss, return what goes into it": right.softmax(dim=1),
    }, "the numbers differ from scale * image @ text.t()")


@checker
def clip_loss(function) -> None:
    """Lesson 05: function(logits (N, N)) -> the symmetric loss, one number."""
    x = 2 * randn(6, 6) + 3 * torch.eye(6)
    found = answer_of(function, x.clone().requires_grad_())
    expect(isinstance(found, Tensor) and found.requires_grad,
           "this is a plain number: a loss must stay a tensor, or no gradient comes out of it (no .item(), no float())")
    found = found.detach()
    target = torch.arange(6)
    rows, columns = F.cross_entropy(x, target), F.cross_entropy(x.t(), target)
    right = (rows + columns) / 2
    expect(torch.as_tensor(found).numel() == 1,
           f"{torch.as_tensor(found).numel()} numbers came back: the loss is one, a mean")
    expect(not is_near(found, rows),
           "only rows were asked, which text fits a picture; ask the columns too, with logits.t()")
    expect(not is_near(found, columns), "only columns were asked, which picture fits a text; ask the rows too")
    expect(not is_near(found, rows + columns), "the two directions were added: take their mean")
    expect(not is_near(found, 6 * right), "the pairs were added: take the mean over them (cross_entropy's default)")
    expect(not is_near(found, (F.cross_entropy(x, x.argmax(1)) + F.cross_entropy(x.t(), x.t().argmax(1))) / 2),
           "the targets are the model's own guesses, so it agrees with itself for nothing: pair i belongs to i, "
           "torch.arange(N)")
    expect(not is_near(found, -right), "the sign is wrong: a loss falls when the right pair becomes more probable")
    expect(is_near(found, right),
           f"{float(found):.4f} is not {float(right):.4f}: cross entropy of the rows and of the columns, target i for "
           "row i, and their mean")
    unit = F.normalize(randn(4, 8, seed=3), dim=-1)
    expect(is_near(function(5 * unit @ unit.t()), loss.clip_loss(unit, unit, torch.tensor(5.0))),
           "it holds for six pairs only: read N from the shape")


@checker
def scale_of(function) -> None:
    """Lesson 05: function(logit_scale) -> exp of it, at most 100."""
    start = torch.tensor(1 / 0.07).log()
    found = answer_of(function, start)
    expect(not is_near(found, start), "the parameter itself came back: it is a logarithm, take exp")
    expect(not is_near(found, 0.07), "this is the temperature, 0.07: the scale is one over it")
    expect(is_near(found, 1 / 0.07), f"for ln(1 / 0.07) it is {float(found):.3f}; exp gives {1 / 0.07:.3f}")
    large = function(torch.tensor(9.0))
    expect(not is_near(large, torch.tensor(9.0).exp()), "exp(9) is 8103: CLIP never lets the scale above 100, clamp it")
    expect(is_near(large, 100.0), f"for 9 it is {float(large):.1f}; the most is 100, after exp, not before")
