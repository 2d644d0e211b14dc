"""Right and wrong answers to the exercises of lesson 15."""

import numpy as np
import torch
import torch.nn.functional as F


def gap_of(ours, theirs, size=lambda d: d.abs(), floats=True, value=lambda g: g.max().item(),
           place=lambda g: [int(i) for i in torch.unravel_index(g.argmax(), g.shape)]):
    gap = size(ours.double() - theirs.double() if floats else ours - theirs)
    return value(gap), place(gap)


def by_numpy(ours, theirs):
    gap = np.abs(ours.numpy().astype(float) - theirs.numpy().astype(float))
    return float(gap.max()), [int(i) for i in np.unravel_index(gap.argmax(), gap.shape)]


def mixed(levels, weights, bits, share=lambda w: w / w.sum(), whole=lambda x: x.round().long(),
          half=lambda bits: 2 ** (bits - 1), shift=lambda total, bits: total >> bits, low=0, high=255):
    total = int((levels * whole(share(weights) * 2**bits)).sum()) + half(bits)
    return min(max(shift(total, bits), low), high)


def in_loops(levels, weights, bits):
    total = sum(weights.tolist())
    whole = [round(w / total * 2**bits) for w in weights.tolist()]
    level = sum(a * b for a, b in zip(levels.tolist(), whole, strict=True))
    return max(0, min(255, (level + (1 << bits >> 1)) // 2**bits))


def rows_of(weight, largest=lambda w: w.abs().amax(1), steps=127, whole=torch.round, least=1e-12):
    scales = largest(weight) / steps
    scales = scales.clamp(min=least) if least else scales
    return whole(weight / (scales[:, None] if len(scales) == len(weight) else scales)).to(torch.int8), scales


def one_by_one(weight):
    scales = torch.tensor([max(max(abs(x) for x in row), 1e-10) / 127 for row in weight.tolist()])
    return torch.stack([(row / s).round() for row, s in zip(weight, scales, strict=True)]).to(torch.int8), scales


def floor_first(weight):
    scales = weight.abs().amax(1).clamp(min=1e-12) / 127
    return (weight / scales[:, None]).round().to(torch.int8), scales


def ones_for_zeros(weight):
    scales = weight.abs().amax(1) / 127
    scales[scales == 0] = 1.0
    return (weight / scales[:, None]).round().to(torch.int8), scales


def each(answer):
    return lambda vectors: {name: answer(rows) for name, rows in vectors.items()}


def unit(x):
    return F.normalize(x, dim=0)


ANSWERS = {
    "largest_gap": (
        [gap_of, by_numpy],
        {
            "wraps round": lambda a, b: gap_of(a, b, size=lambda d: d, floats=False),
            "where ours is larger": lambda a, b: gap_of(a, b, size=lambda d: d),
            "sign is still in": lambda a, b: (-gap_of(a, b)[0], gap_of(a, b)[1]),
            "hides one wrong pixel": lambda a, b: gap_of(a, b, value=lambda g: g.mean().item()),
            "torch.unravel_index makes row": lambda a, b: gap_of(a, b, place=lambda g: g.argmax().item()),
            "a list of one": lambda a, b: gap_of(a, b, place=lambda g: [g.argmax().item()]),
            "column first": lambda a, b: gap_of(a, b, place=lambda g: [0, 1]),
            "begin at 0": lambda a, b: gap_of(a, b, place=lambda g: [2, 1]),
            "the smallest gap": lambda a, b: gap_of(a, b, place=lambda g: [0, 0]),
            "changed places": lambda a, b: gap_of(a, b)[::-1],
            "two things": lambda a, b: gap_of(a, b)[0],
            "fractions were cut off": lambda a, b: gap_of(a.int(), b.int()),
            "gap is 1.75": lambda a, b: gap_of(a, b) if a.dim() > 1 else (0.0, [0]),
            "is 9, at": lambda a, b: (1.0, [1, 0]),
        },
    ),
    "blend": (
        [mixed, in_loops],
        {
            "sum to 1 first": lambda x, w, bits: mixed(x, w, bits, share=lambda w: w),
            "made with fractions": lambda x, w, bits: int((x * w / w.sum()).sum().round()),
            "no level either": lambda x, w, bits: (x * w / w.sum()).sum(),
            "cut, not rounded": lambda x, w, bits: mixed(x, w, bits, whole=lambda s: s.long()),
            "rounded down": lambda x, w, bits: mixed(x, w, bits, whole=lambda s: s.floor().long()),
            "half is missing": lambda x, w, bits: mixed(x, w, bits, half=lambda bits: 0),
            "added twice": lambda x, w, bits: mixed(x, w, bits, half=lambda bits: 2**bits),
            "not shifted": lambda x, w, bits: mixed(x, w, bits, shift=lambda t, bits: t, high=10**9),
            "a fraction is left": lambda x, w, bits: mixed(x, w, bits, shift=lambda t, bits: t / 2**bits),
            "sum them": lambda x, w, bits: x * (w / w.sum() * 2**bits).round().long(),
            "more than 255": lambda x, w, bits: mixed(x, w, bits, high=10**9),
            "less than 0": lambda x, w, bits: mixed(x, w, bits, low=-(10**9)),
            "goes up to 2": lambda x, w, bits: mixed(x, w, bits, half=lambda bits: 2 ** (bits - 1) - 1),
            "just below": lambda x, w, bits: mixed(x, w, bits, half=lambda bits: 2 ** (bits - 1) + 1),
            "level is a float": lambda x, w, bits: float(mixed(x, w, bits)),
            "takes the even": lambda x, w, bits: int(torch.clip(torch.round(
                (x * (w / w.sum() * 2**bits).round()).sum() / 2**bits), 0, 255)),
            "become -1, 9, 9, -1": lambda x, w, bits: 0,
        },
    ),
    "quantise_rows": (
        [rows_of, one_by_one, floor_first, ones_for_zeros],
        {
            "one scale for the whole": lambda w: rows_of(w, lambda w: w.abs().max().expand(len(w))),
            "the scale of all": lambda w: ((w / (w.abs().max() / 127)).round().to(torch.int8), w.abs().max() / 127),
            "each column": lambda w: rows_of(w, lambda w: w.abs().amax(0)),
            "not the largest absolute": lambda w: rows_of(w, lambda w: w.amax(1)),
            "became 128": lambda w: rows_of(w, steps=128),
            "without a sign": lambda w: rows_of(w, steps=255),
            "cut, not rounded": lambda w: rows_of(w, whole=torch.trunc),
            "upside down": lambda w: (rows_of(w)[0], 1 / rows_of(w)[1]),
            "weights again": lambda w: (rows_of(w)[0] * rows_of(w)[1][:, None], rows_of(w)[1]),
            "a 127th": lambda w: (rows_of(w)[0], w.abs().amax(1)),
            "a column too many": lambda w: (rows_of(w)[0], rows_of(w)[1][:, None]),
            "makes bytes": lambda w: (rows_of(w)[0].float(), rows_of(w)[1]),
            "a row of zeros has the scale 0": lambda w: rows_of(w, least=None),
            "codes that are not 0": lambda w: ((rows_of(w)[0] + (w == 0).all(1)[:, None]).to(torch.int8), rows_of(w)[1]),
            "a number above 0": lambda w: (rows_of(w)[0], rows_of(w)[1].where(w.abs().amax(1) > 0, torch.tensor(torch.inf))),
            "changed places": lambda w: rows_of(w)[::-1],
            "two tensors": lambda w: rows_of(w)[0],
            "66, -127, 30": lambda w: (rows_of(w)[0] * 0, rows_of(w)[1]),
        },
    ),
    "class_means": (
        [each(lambda rows: unit(rows.mean(0))), each(lambda rows: unit(rows.sum(0)))],
        {
            "shorter than 1": each(lambda rows: rows.mean(0)),
            "the sum, which grows": each(lambda rows: rows.sum(0)),
            "only the first": each(lambda rows: rows[0]),
            "only the last": each(lambda rows: rows[-1]),
            "the numbers of a vector: over": each(lambda rows: rows.mean(1)),
            "and is then of length 1": each(lambda rows: unit(rows.mean(1))),
            "same mean": lambda vectors: {name: unit(torch.cat(list(vectors.values())).mean(0)) for name in vectors},
            "max pooling": each(lambda rows: unit(rows.amax(0))),
            "divided by their sum": each(lambda rows: rows.mean(0) / rows.mean(0).sum()),
            "for each picture still": each(lambda rows: rows),
            "a row around it": each(lambda rows: unit(rows.mean(0))[None]),
            "a dict is asked": lambda vectors: [unit(rows.mean(0)) for rows in vectors.values()],
            "the names are": lambda vectors: {name.upper(): unit(rows.mean(0)) for name, rows in vectors.items()},
            "the mean of its rows": each(lambda rows: -unit(rows.mean(0))),
        },
    ),
}
