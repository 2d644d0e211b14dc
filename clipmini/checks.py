"""The checkers of the lessons' exercises. Each takes the student's function and prints one line, todo or pass; a wrong answer
raises an AssertionError that names the likely mistake. todo never raises: a notebook runs to its end with or without answers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini import loss


def _answer(function, *arguments):
    """What the student's function returns, or None while it is a stub."""
    try:
        found = function(*arguments)
    except NotImplementedError:
        print(f"todo  {function.__name__}: write it above, then run this cell again")
        return None
    _expect(found is not None, f"{function.__name__} returned nothing; end it with a return")
    return found


def _expect(right: bool, mistake: str) -> None:
    if not right:
        raise AssertionError(mistake)


def _near(a, b) -> bool:
    a, b = torch.as_tensor(a, dtype=torch.float32), torch.as_tensor(b, dtype=torch.float32)
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=1e-4, atol=1e-5))


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _passed(function) -> None:
    print(f"pass  {function.__name__}")


def normalise(function) -> None:
    """Lesson 05: function(features (N, E)) -> rows of length 1."""
    x = 3 * _random(5, 7)
    found = _answer(function, x.clone())
    if found is None:
        return
    _expect(getattr(found, "shape", None) == x.shape, f"the shape is {tuple(getattr(found, 'shape', ()))}, not {tuple(x.shape)}: "
            "a row goes in, a row of the same width comes out")
    _expect(not _near(found, x), "nothing changed: rows still have their own lengths")
    _expect(not _near(found, F.normalize(x, dim=0)), "columns have length 1, rows have not: a vector is a row, take the length "
            "along dim=-1")
    _expect(not _near(found, x / x.norm()), "every number was divided by one length, that of the whole matrix; each row has "
            "its own")
    _expect(not _near(found, x / x.sum(-1, keepdim=True)), "rows sum to 1, but their length is not 1: divide by the square root "
            "of the sum of squares")
    _expect(not _near(found, x / x.square().sum(-1, keepdim=True)), "long rows became short ones: divide by the length, not by "
            "its square; a square root is missing")
    _expect(_near(found.norm(dim=-1), torch.ones(5)), f"rows have lengths like {found[0].norm():.2f}; they must be 1")
    _expect(_near(found, F.normalize(x, dim=-1)), "rows have length 1 but point elsewhere: only divide, change nothing else")
    _passed(function)


def logits(function) -> None:
    """Lesson 05: function(image (N, E), text (M, E), scale) -> scaled cosines (N, M), a row for each picture."""
    image, text, scale = F.normalize(_random(3, 4), dim=-1), F.normalize(_random(5, 4, seed=1), dim=-1), 7.0
    found = _answer(function, image, text, scale)
    if found is None:
        return
    right = scale * image @ text.t()
    _expect(getattr(found, "shape", None) != (5, 3), "rows are texts: pictures come first, image @ text.t()")
    _expect(getattr(found, "shape", None) == (3, 5), f"the shape is {tuple(getattr(found, 'shape', ()))}; 3 pictures and 5 texts "
            "make (3, 5)")
    _expect(not _near(found, right / scale), "these are plain cosines: multiply them by scale")
    _expect(not _near(found, right / scale**2), "cosines were divided by scale: it is one over the temperature already, multiply")
    _expect(not _near(found, right.softmax(dim=1)), "rows sum to 1: the softmax belongs to the loss, return what goes into it")
    _expect(_near(found, right), "the numbers differ from scale * image @ text.t()")
    _passed(function)


def clip_loss(function) -> None:
    """Lesson 05: function(logits (N, N)) -> the symmetric loss, one number."""
    x = 2 * _random(6, 6) + 3 * torch.eye(6)
    found = _answer(function, x)
    if found is None:
        return
    target = torch.arange(6)
    rows, columns = F.cross_entropy(x, target), F.cross_entropy(x.t(), target)
    right = (rows + columns) / 2
    _expect(torch.as_tensor(found).numel() == 1, f"{torch.as_tensor(found).numel()} numbers came back: the loss is one, a mean")
    _expect(not _near(found, rows), "only rows were asked, which text fits a picture; ask the columns too, with logits.t()")
    _expect(not _near(found, columns), "only columns were asked, which picture fits a text; ask the rows too")
    _expect(not _near(found, rows + columns), "the two directions were added: take their mean")
    _expect(not _near(found, 6 * right), "the pairs were added: take the mean over them (cross_entropy's default)")
    _expect(not _near(found, (F.cross_entropy(x, x.argmax(1)) + F.cross_entropy(x.t(), x.t().argmax(1))) / 2),
            "the targets are the model's own guesses, so it agrees with itself for nothing: pair i belongs to i, torch.arange(N)")
    _expect(not _near(found, -right), "the sign is wrong: a loss falls when the right pair becomes more probable")
    _expect(_near(found, right), f"{float(found):.4f} is not {float(right):.4f}: cross entropy of the rows and of the columns, "
            "target i for row i, and their mean")
    diagonal = _random(4, 8, seed=3)
    unit = F.normalize(diagonal, dim=-1)
    _expect(_near(function(5 * unit @ unit.t()), loss.clip_loss(unit, unit, torch.tensor(5.0))), "it holds for six pairs only: "
            "read N from the shape")
    _passed(function)


def scale_of(function) -> None:
    """Lesson 05: function(logit_scale) -> exp of it, at most 100."""
    start = torch.tensor(1 / 0.07).log()
    found = _answer(function, start)
    if found is None:
        return
    _expect(not _near(found, start), "the parameter itself came back: it is a logarithm, take exp")
    _expect(not _near(found, 0.07), "this is the temperature, 0.07: the scale is one over it")
    _expect(_near(found, 1 / 0.07), f"for ln(1 / 0.07) it is {float(found):.3f}; exp gives {1 / 0.07:.3f}")
    large = function(torch.tensor(9.0))
    _expect(not _near(large, torch.tensor(9.0).exp()), "exp(9) is 8103: CLIP never lets the scale above 100, clamp it")
    _expect(_near(large, 100.0), f"for 9 it is {float(large):.1f}; the most is 100, after exp, not before")
    _passed(function)
