"""The checkers of lesson 08: full weights."""

import torch
import torch.nn.functional as F

from clipmini.course.base import checker, expect, is_near, judge, randn, say, shape_of


def _names(seed: int) -> tuple[set[str], set[str]]:
    names = [f"blocks.{i}.{part}" for i in range(3) for part in ("weight", "bias", "proj")]
    return {n for i, n in enumerate(names) if (i * (seed + 3)) % 5}, {n for i, n in enumerate(names) if (i + seed) % 4}


@checker(right=lambda x: x * (1.702 * x).sigmoid(), gradient=True,
         cases=lambda seed: (2 * randn(*(3, 2, 4)[:1 + seed % 3], seed=seed),))
def quick_gelu(function) -> None:
    """Lesson 08: function(x) -> x * sigmoid(1.702 x), entry by entry."""
    x = torch.linspace(-4, 4, 17)
    judge(function, (x,), x * (1.702 * x).sigmoid(), {
        "this is the exact GELU. Near, and wrong: small differences grow over 24 layers": F.gelu(x),
        "this is GELU's tanh approximation, GPT-2's": F.gelu(x, approximate="tanh"),
        "this is SiLU, without the 1.702": F.silu(x),
        "the factor stands outside too: 1.702 belongs into the sigmoid only": F.silu(1.702 * x),
        "this is the gate alone: multiply it by x": (1.702 * x).sigmoid(),
        "this is ReLU": x.relu(),
    }, "it must be x * sigmoid(1.702 * x)")


@checker(right=lambda weight: weight.chunk(3), cases=lambda seed: (randn(3 * (2 + seed), 2 + seed, seed=seed),))
def split_qkv(function) -> None:
    """Lesson 08: function(in_proj_weight (3W, W)) -> the three matrices q, k, v, each (W, W)."""
    x = torch.arange(48.0).view(12, 4)
    found = function(x)
    expect(isinstance(found, (tuple, list)) and len(found) == 3, "three matrices are asked for: return q, k, v")
    alike = len({shape_of(part) for part in found}) == 1
    found = torch.stack([torch.as_tensor(part) for part in found]) if alike else torch.zeros(0)
    q, k, v = x.chunk(3)
    for mistake, wrong in {
        "the order is q, v, k; CLIP has v last": torch.stack([q, v, k]),
        "columns were cut; the three matrices lie above one another, dim=0": x.t().reshape(3, 4, 4).transpose(1, 2),
        "every third row was taken; q, k and v are blocks of W rows": torch.stack([x[0::3], x[1::3], x[2::3]]),
        "the order is k, q, v; CLIP has q first": torch.stack([k, q, v]),
        "the order is v, k, q; CLIP has q first, v last": torch.stack([v, k, q]),
        "each is transposed: F.linear takes (out, in) as it is": torch.stack([q.t(), k.t(), v.t()]),
    }.items():
        expect(not is_near(found, wrong), mistake)
    expect(is_near(found, torch.stack([q, k, v])),
           say("three matrices of (4, 4) are asked for, rows 0-3, 4-7 and 8-11; these are {found}",
               found=tuple(found.shape)))
    expect(all(is_near(part, own) for part, own in zip(function(x[:6, :2]), x[:6, :2].chunk(3), strict=True)),
           "right for (12, 4), wrong for (6, 2): a third of the rows each")


@checker(right=lambda model, file: (sorted(model - file), sorted(file - model)), cases=_names)
def compare_keys(function) -> None:
    """Lesson 08: function(model's names, file's names), two sets -> (missing, left over), two sorted lists."""
    model, file = {"conv1.weight", "proj", "ln_post.bias"}, {"conv1.weight", "projj", "ln_post.bias", "position_ids"}
    missing, extra = ["proj"], ["position_ids", "projj"]
    found = function(model, file)
    expect(isinstance(found, tuple) and len(found) == 2, "return two lists: missing, left_over")
    expect(not any(isinstance(part, set) for part in found), "sets have no order: sorted(...) makes lists of them")
    expect(found != (extra, missing), "the two changed places: missing is what the model needs and the file lacks")
    expect(found != (["conv1.weight", "ln_post.bias"],) * 2,
           "these are the names they share; what differs is asked for")
    expect(found != (sorted(missing + extra),) * 2,
           "one heap of all differences: a missing name and a left-over one need different cures")
    expect(found != (1, 2), "these are counts; the names are what helps")
    expect(found != (missing, []), "names that the file has too many were not looked for: a typo shows on both sides")
    expect(found[1] != extra[::-1] or found == (missing, extra),
           "sort the names, so that a message reads the same each time")
    expect(found == (missing, extra), say("{found} is not {right}", found=found, right=(missing, extra)))
