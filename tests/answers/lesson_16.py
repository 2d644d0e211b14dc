"""Right and wrong answers to the exercises of lesson 16: word of the message -> the answer that must hear it."""

import torch


def _pairs(pairs, batch, epochs):
    steps = epochs * (pairs // batch)
    return steps, steps * batch


def _pairs_loop(pairs, batch, epochs):
    steps = 0
    for _ in range(epochs):
        left = pairs
        while left >= batch:
            steps, left = steps + 1, left - batch
    return [steps, steps * batch]


def _vit(width, layers, patch, size, embed, **without):
    has = {"cls": 1, "bias": 0, "colours": 3, "out": 1, "biases": 1, "mlp": 1, "outside": 4, "proj": 1, "power": 2} | without
    positions = (size // patch) ** has["power"] + 1
    block = ((3 + has["out"]) * width**2 + 4 * width * has["biases"] + 8 * width**2 + 5 * width * has["mlp"] + 4 * width)
    return (layers * block + has["colours"] * patch**2 * width + has["bias"] * width + has["cls"] * width
            + positions * width + has["outside"] * width + width * embed * has["proj"])


def _law(x, y):
    a, b = x.log(), y.log()
    design = torch.stack([a, torch.ones_like(a)], dim=1)
    slope, start = torch.linalg.lstsq(design, b[:, None]).solution[:, 0]
    return slope, start.exp()


def _law_moments(x, y):
    a, b = x.log10(), y.log10()
    slope = ((a * b).mean() - a.mean() * b.mean()) / a.var(correction=0)
    return slope.item(), 10 ** (b.mean() - slope * a.mean()).item()


def _line(a, b):
    slope = ((a - a.mean()) * (b - b.mean())).sum() / ((a - a.mean()) ** 2).sum()
    return slope, b.mean() - slope * a.mean()


def _gap(accuracies):
    return accuracies[0] - sum(accuracies[1:]) / (len(accuracies) - 1)


ANSWERS = {
    "pairs_seen": (
        [_pairs, _pairs_loop],
        {
            "round down": lambda p, b, e: (e * -(-p // b), e * -(-p // b) * b),
            "all pairs are counted": lambda p, b, e: (e * (p // b), e * p),
            "rounding comes after": lambda p, b, e: (p * e // b, p * e // b * b),
            "one epoch only": lambda p, b, e: (p // b, p // b * b),
            "first the steps": lambda p, b, e: _pairs(p, b, e)[::-1],
            "a step is a whole number": lambda p, b, e: (p * e / b, float(p * e)),
            "only its own pairs": lambda p, b, e: (e * -(-p // b), e * p),
            "two full batches": lambda p, b, e: (p, b),
        },
    ),
    "vit_parameters": (
        [_vit, lambda width, layers, patch, size, embed: torch.tensor(_vit(width, layers, patch, size, embed))],
        {
            "two widths lack": lambda w, n, p, s, e: _vit(w, n, p, s, e, cls=-1),
            "one of the two is missing": lambda w, n, p, s, e: _vit(w, n, p, s, e, cls=0),
            "has no bias": lambda w, n, p, s, e: _vit(w, n, p, s, e, bias=1),
            "three colours": lambda w, n, p, s, e: _vit(w, n, p, s, e, colours=1),
            "counted once": lambda w, n, p, s, e: _vit(w, 1, p, s, e),
            "fourth matrix": lambda w, n, p, s, e: _vit(w, n, p, s, e, out=0),
            "attention's matrices have biases": lambda w, n, p, s, e: _vit(w, n, p, s, e, biases=0),
            "MLP's two layers": lambda w, n, p, s, e: _vit(w, n, p, s, e, mlp=0),
            "lack all their biases": lambda w, n, p, s, e: _vit(w, n, p, s, e) - 13 * n * w,
            "a block has two LayerNorms": lambda w, n, p, s, e: _vit(w, n, p, s, e) - 4 * n * w - 4 * w,
            "behind them": lambda w, n, p, s, e: _vit(w, n, p, s, e, outside=0),
            "the projection into the joint space lacks": lambda w, n, p, s, e: _vit(w, n, p, s, e, proj=0),
            "matrix without a bias": lambda w, n, p, s, e: _vit(w, n, p, s, e) + e,
            "the table of positions lacks": lambda w, n, p, s, e: _vit(w, n, p, s, e) - ((s // p) ** 2 + 1) * w,
            "so square it": lambda w, n, p, s, e: _vit(w, n, p, s, e, power=1),
            "must be 4690": lambda w, n, p, s, e: 7,
            "a count is": lambda w, n, p, s, e: float(_vit(w, n, p, s, e)),
        },
    ),
    "power_law": (
        [_law, _law_moments],
        {
            "straight line through x and y": lambda x, y: _line(x, y),
            "only x went": lambda x, y: _line(x.log(), y),
            "only y went": lambda x, y: _line(x, y.log()),
            "still a logarithm": lambda x, y: _line(x.log(), y.log()),
            "10 to the power": lambda x, y: (_law(x, y)[0], 10 ** _line(x.log(), y.log())[1]),
            "logarithm to base 10": lambda x, y: (_law(x, y)[0], _line(x.log10(), y.log10())[1].exp()),
            "first the slope": lambda x, y: _law(x, y)[::-1],
            "fitted from y": lambda x, y: (1 / _line(y.log(), x.log())[0],
                                           (y.log().mean() - x.log().mean() / _line(y.log(), x.log())[0]).exp()),
            "through the origin": lambda x, y: ((x.log() * y.log()).sum() / (x.log() ** 2).sum(), 1.0),
            "lost their means": lambda x, y: (_law(x, y)[0], 1.0),
            "x and y themselves: take those": lambda x, y: (_law(x, y)[0], (y.mean() - _law(x, y)[0] * x.mean()).exp()),
            "is not in exp": lambda x, y: (_law(x, y)[0], y.mean() - _law(x, y)[0] * x.mean()),
            "changed places": lambda x, y: _law(y, x),
            "the first and the last": lambda x, y: _law(x[[0, -1]], y[[0, -1]]),
            "least-squares line": lambda x, y: (0.0, 0.0),
        },
    ),
    "gap_closed": (
        [lambda u, r: 1 - _gap(r) / _gap(u), lambda u, r: torch.tensor((_gap(u) - _gap(r)) / _gap(u))],
        {
            "left open": lambda u, r: _gap(r) / _gap(u),
            "in points": lambda u, r: _gap(u) - _gap(r),
            "this is divided by robust's": lambda u, r: 1 - _gap(u) / _gap(r),
            "what is closed was divided": lambda u, r: (_gap(u) - _gap(r)) / _gap(r),
            "divided by 5": lambda u, r: 1 - (r[0] - sum(r[1:]) / 5) / (u[0] - sum(u[1:]) / 5),
            "holds it at 0": lambda u, r: max(0.0, 1 - _gap(r) / _gap(u)),
            "no abs": lambda u, r: abs(1 - _gap(r) / _gap(u)),
            "loses 65": lambda u, r: 1 - _gap(r) / _gap(u) if _gap(r) < _gap(u) else 0.1,
            "in the mean too": lambda u, r: 1 - (r[0] - sum(r) / len(r)) / (u[0] - sum(u) / len(u)),
            "from usual's": lambda u, r: 1 - (u[0] - r[0] + _gap(r)) / _gap(u),
            "shifted scores alone": lambda u, r: 1 - (r[0] - _gap(r)) / (u[0] - _gap(u)),
            "in percent": lambda u, r: 100 * (1 - _gap(r) / _gap(u)),
            "the sum of": lambda u, r: 1 - (r[0] - sum(r[1:])) / (u[0] - sum(u[1:])),
            "the worst": lambda u, r: 1 - (r[0] - min(r[1:])) / (u[0] - min(u[1:])),
            "loses 45 points": lambda u, r: 0.25,
        },
    ),
}
