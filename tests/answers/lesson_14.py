"""Right and wrong answers to the exercises of lesson 14."""

import math

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt


def nearest(losses, possible, best=lambda x: x.amin(1)):
    return ((best(losses) * possible).sum(1) / possible.sum(1)).mean()


def nearest_in_loops(losses, possible):
    each = [torch.stack([losses[i, :, j].min() for j in range(losses.shape[2]) if possible[i, j]]).mean()
            for i in range(len(losses))]
    return torch.stack(each).mean()


def waves(points, directions, turn=2 * math.pi, shift=1):
    angles = turn * ((2 * points - shift) @ directions)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def brightest(map_, n, reach, out=-torch.inf, half=0.5, nearer=lambda far, reach: far < reach,
              far=lambda y, x: (y**2 + x**2) ** 0.5, turned=False, side=1):
    rest, found = map_.clone(), []
    y, x = torch.meshgrid(torch.arange(map_.shape[0]), torch.arange(map_.shape[1]), indexing="ij")
    for _ in range(n):
        row, column = divmod(rest.argmax().item(), map_.shape[side])
        found.append((row + half, column + half) if turned else (column + half, row + half))
        rest[nearer(far(y - row, x - column), reach)] = out
    return found


def top(map_, n, reach):
    return [(i % map_.shape[1] + 0.5, i // map_.shape[1] + 0.5) for i in map_.flatten().topk(n).indices.tolist()]


def dice(logits, truth, p=torch.sigmoid, over=(-2, -1), one=1, two=2, power=1, mean=False):
    p = p(logits)
    total = (lambda x: x.mean(over)) if mean else (lambda x: x.sum(over))
    return 1 - (two * total(p * truth) + one) / (total(p**power) + total(truth**power) + one)


def union(logits, truth):
    p = logits.sigmoid()
    both = (p * truth).sum((-2, -1))
    return 1 - (both + 1) / (p.sum((-2, -1)) + truth.sum((-2, -1)) - both + 1)


def depth(region, padded=True):
    region = region.numpy()
    return distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1] if padded else distance_transform_edt(region)


def middle(region, padded=True):
    d = depth(region, padded)
    row, column = np.unravel_index(d.argmax(), d.shape)
    return column + 0.5, row + 0.5


def centroid(region, padded=True):
    row, column = region.nonzero().float().mean(0).tolist()
    return column + 0.5, row + 0.5


def first(region, padded=True):
    row, column = region.nonzero()[0].tolist()
    return column + 0.5, row + 0.5


def short_of_the_last(region, padded=True):
    d = depth(region)[:-1, :-1]
    row, column = np.unravel_index(d.argmax(), d.shape)
    return column + 0.5, row + 0.5


def click(mask, truth, labels=(1, 0), place=middle, size=None, padded=True, strict=False):
    missing, extra = truth & ~mask, mask & ~truth
    size = size or (lambda region: depth(region, padded).max())
    which = size(missing) > size(extra) if strict else size(missing) >= size(extra)
    return (*place(missing if which else extra, padded), labels[0] if which else labels[1])


def click_by_rings(mask, truth):
    """Without scipy: rings are peeled off until nothing is left, then the exact distance decides."""
    def deepest(region):
        inside = region.nonzero().float()
        around = torch.nn.functional.pad(region, (1, 1, 1, 1))
        outside = (~around).nonzero().float() - 1
        far = torch.cdist(inside, outside).amin(1) if len(inside) else torch.zeros(1)
        return far.max().item(), inside[far.argmax()].tolist() if len(inside) else [0, 0]

    (a, (ya, xa)), (b, (yb, xb)) = deepest(truth & ~mask), deepest(mask & ~truth)
    return (xa + 0.5, ya + 0.5, 1) if a >= b else (xb + 0.5, yb + 0.5, 0)


def padded_still(region, padded=True):
    d = distance_transform_edt(np.pad(region.numpy(), 1))
    row, column = np.unravel_index(d.argmax(), d.shape)
    return column + 0.5, row + 0.5


def swapped(x, y, label):
    return y, x, label


ANSWERS = {
    "min_of_three": (
        [nearest, nearest_in_loops],
        {
            "one blur": lambda x, ok: nearest(x, ok, lambda x: x.mean(1)),
            "left to nobody": lambda x, ok: x.amin(2).mean(),
            "chosen for all answers": lambda x, ok: ((x * ok[:, None]).sum(2) / ok.sum(1)[:, None]).amin(1).mean(),
            "only the one best pair": lambda x, ok: x.amin((1, 2)).mean(),
            "the largest was taken": lambda x, ok: nearest(x, ok, lambda x: x.amax(1)),
            "not possible count too": lambda x, ok: x.amin(1).mean(),
            "divided by all right answers": lambda x, ok: (x.amin(1) * ok).mean(),
            "a sum over a click's": lambda x, ok: (x.amin(1) * ok).sum(1).mean(),
            "more right answers count more": lambda x, ok: (x.amin(1) * ok).sum() / ok.sum(),
            "one number for each click": lambda x, ok: (x.amin(1) * ok).sum(1) / ok.sum(1),
            "the clicks were added": lambda x, ok: nearest(x, ok) * len(x),
            "no gradient": lambda x, ok: torch.tensor(nearest(x, ok).item()),
        },
    ),
    "fourier_positions": (
        [waves, lambda p, d: torch.cat([f(2 * math.pi * (2 * p - 1) @ d) for f in (torch.sin, torch.cos)], -1)],
        {
            "from 0 to 1 still": lambda p, d: waves(p / 2, d, shift=0),
            "lack 2 pi": lambda p, d: waves(p, d, turn=1),
            "have pi where": lambda p, d: waves(p / 2, d, shift=0.5),
            "cosines come first": lambda p, d: torch.cat(waves(p, d).chunk(2, -1)[::-1], -1),
            "by turns": lambda p, d: torch.stack(waves(p, d).chunk(2, -1), -1).flatten(-2),
            "below the sines": lambda p, d: torch.cat(waves(p, d).chunk(2, -1)),
            "x and y changed": lambda p, d: waves(p.flip(-1), d),
            "the angles themselves": lambda p, d: 2 * math.pi * (2 * p - 1) @ d,
            "only sines": lambda p, d: waves(p, d).chunk(2, -1)[0],
            "more dimensions": lambda p, d: waves(p.flatten(0, -2), d),
        },
    ),
    "best_points": (
        [brightest, lambda *a: torch.tensor(brightest(*a))],
        {
            "x and y changed": lambda *a: brightest(*a, turned=True),
            "half a cell further": lambda *a: brightest(*a, half=0),
            "all points lie in one spot": top,
            "may still be taken": lambda *a: brightest(*a, nearer=lambda far, reach: far <= reach),
            "the same point three times": lambda map_, n, reach: brightest(map_, 1, reach) * n,
            "the lowest places": lambda map_, n, reach: brightest(-map_, n, reach),
            "only the first point": lambda map_, n, reach: brightest(map_, 1, reach),
            "negative everywhere": lambda *a: brightest(*a, out=-5),
            "squared distance": lambda *a: brightest(*a, far=lambda y, x: y**2 + x**2),
            "by the height": lambda *a: brightest(*a, side=0),
            "is a square": lambda *a: brightest(*a, far=lambda y, x: torch.maximum(y.abs(), x.abs())),
            "must be \\(6.5": lambda map_, n, reach: [(0.5, 0.5)] * n,
        },
    ),
    "dice_loss": (
        [dice, lambda x, t: (x.sigmoid() + t - 2 * x.sigmoid() * t).sum((-2, -1)) / ((x.sigmoid() + t).sum((-2, -1)) + 1)],
        {
            "take their sigmoid": lambda x, t: dice(x, t, p=lambda x: x),
            "a loss is 1 minus": lambda x, t: 1 - dice(x, t),
            "a step has no gradient": lambda x, t: dice(x, t, p=lambda x: (x > 0).float()),
            "divided by the union": union,
            "the 2 above the line": lambda x, t: dice(x, t, two=1),
            "the ones are missing": lambda x, t: dice(x, t, one=0),
            "squares below": lambda x, t: dice(x, t, power=2),
            "means in place": lambda x, t: dice(x, t, mean=True),
            "became one": lambda x, t: dice(x, t, over=tuple(range(x.dim()))),
            "mean over masks": lambda x, t: dice(x, t).mean(),
            "no gradient comes": lambda x, t: dice(x.detach(), t.detach()),
        },
    ),
    "next_click": (
        [click, click_by_rings, lambda mask, truth: torch.tensor(click(mask, truth))],
        {
            "x and y changed": lambda m, t: swapped(*click(m, t)),
            "the label is not": lambda m, t: click(m, t, labels=(0, 1)),
            "half a pixel further": lambda m, t: tuple(v - h for v, h in zip(click(m, t), (0.5, 0.5, 0), strict=True)),
            "padding is still on": lambda m, t: click(m, t, place=padded_still),
            "shallower middle": lambda m, t: click(m, t, size=lambda region: -depth(region).max()),
            "the mean of the pixels": lambda m, t: click(m, t, place=centroid),
            "the first pixel": lambda m, t: click(m, t, place=first),
            "middle of the whole mask": lambda m, t: (*middle(m), 0),
            "already right": lambda m, t: (*middle(m & t), 1),
            "never clicked": lambda m, t: (*middle(m & ~t), 0),
            "border counts as inside": lambda m, t: click(m, t, padded=False),
            "more pixels was taken": lambda m, t: click(m, t, size=lambda region: region.sum()),
            "last row and column": lambda m, t: click(m, t, place=short_of_the_last),
            "equally deep": lambda m, t: click(m, t, strict=True),
            "taken as one region": lambda m, t: (*middle(m ^ t), int(t[int(middle(m ^ t)[1]), int(middle(m ^ t)[0])])),
        },
    ),
}
