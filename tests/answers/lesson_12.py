"""Right and wrong answers to the exercises of lesson 12."""

import numpy as np
import torch


def number(key):
    return int(key[:8], 16)


def once(keys, parts):
    return [number(k) % parts == 0 and keys.index(k) == i for i, k in enumerate(keys)]


def mixing(rule, counter=lambda b, a: a):
    def mine(before, after, share):
        return {
            k: rule(before[k], a, share) if a.is_floating_point() else counter(before[k], a) for k, a in after.items()
        }

    return mine


def right_one(b, a, s):
    return (1 - s) * b + s * a


def in_steps(before, after, share):
    found = dict(after)
    for name in found:
        if found[name].is_floating_point():
            found[name] = before[name] + share * (found[name] - before[name])
    return found


def counted(before, after, labels):
    knew = [i for i in range(len(labels)) if before[i] == labels[i]]
    return sum(bool(after[i] != labels[i]) for i in knew) / len(knew) if knew else 0.0


def hits(a, labels):
    return (a == labels).float()


def by_place(before, after, share):
    pairs = zip(after.items(), before.values(), strict=True)
    return {name: right_one(b, a, share) if a.is_floating_point() else a for (name, a), b in pairs}


def count_mixed(before, after, share):
    return {name: (1 - share) * before[name] + share * after[name] for name in after}


ANSWERS = {
    "keep_apart": (
        [
            lambda keys, parts: [number(k) % parts == 0 for k in keys],
            lambda keys, parts: torch.tensor([not int(k[0:8], base=16) % parts for k in keys]),
            lambda keys, parts: np.array([number(k) for k in keys]) % parts == 0,
        ],
        {
            "the place of a row decides": lambda keys, parts: [i % parts == 0 for i in range(len(keys))],
            "exchanged": lambda keys, parts: [number(k) % parts != 0 for k in keys],
            "these are remainders": lambda keys, parts: [number(k) % parts for k in keys],
            "all digits": lambda keys, parts: [int(k, 16) % parts == 0 for k in keys],
            "the last eight": lambda keys, parts: [int(k[-8:], 16) % parts == 0 for k in keys],
            "not 1": lambda keys, parts: [number(k) % parts == 1 for k in keys],
            "only the first of several": once,
            "nothing is kept": lambda keys, parts: [False for k in keys],
            "these are the places": lambda keys, parts: [i for i, k in enumerate(keys) if number(k) % parts == 0],
            "these are the keys": lambda keys, parts: [k for k in keys if number(k) % parts == 0],
            "answers for": lambda keys, parts: [number(k) % parts == 0 for k in set(keys)],
            "return a list": lambda keys, parts: {k: number(k) % parts == 0 for k in keys},
            "divisible by parts, else": lambda keys, parts: [number(k) % parts == 2 for k in keys],
            "invalid literal": lambda keys, parts: [int(k[:8]) % parts == 0 for k in keys],
        },
    ),
    "add_low_rank": (
        [
            lambda W, A, B, alpha: W + alpha / len(A) * B @ A,
            lambda W, A, B, alpha: torch.addmm(W, B, A, alpha=alpha / B.shape[1]),
        ],
        {
            "B comes first": lambda W, A, B, alpha: W + alpha / len(A) * A @ B,
            "transposed": lambda W, A, B, alpha: W + alpha / len(A) * (B @ A).t(),
            "place by place": lambda W, A, B, alpha: W + alpha / len(A) * B * A,
            "the scale is missing": lambda W, A, B, alpha: W + B @ A,
            "W is left out": lambda W, A, B, alpha: alpha / len(A) * B @ A,
            "W comes back": lambda W, A, B, alpha: W,
            "not divided by r": lambda W, A, B, alpha: W + alpha * B @ A,
            "the width of A": lambda W, A, B, alpha: W + alpha / A.shape[1] * B @ A,
            "the height of B": lambda W, A, B, alpha: W + alpha / len(B) * B @ A,
            "upside down": lambda W, A, B, alpha: W + len(A) / alpha * B @ A,
            "subtracted": lambda W, A, B, alpha: W - alpha / len(A) * B @ A,
            "scaled too": lambda W, A, B, alpha: alpha / len(A) * (W + B @ A),
            "square root": lambda W, A, B, alpha: W + alpha / len(A) ** 0.5 * B @ A,
            "gradient": lambda W, A, B, alpha: W + alpha / len(A) * (B @ A).detach(),
            "changes what it was given": lambda W, A, B, alpha: W.add_(alpha / len(A) * B @ A)
            if not W.requires_grad
            else W + alpha / len(A) * B @ A,
        },
    ),
    "mix_weights": (
        [mixing(right_one), in_steps],
        {
            "the shares are exchanged": mixing(lambda b, a, s: s * b + (1 - s) * a),
            "by their place": by_place,
            "plain mean": mixing(lambda b, a, s: (a + b) / 2),
            "before counts whole": mixing(lambda b, a, s: b + s * a),
            "both were multiplied": mixing(lambda b, a, s: s * b + s * a),
            "away from before": mixing(lambda b, a, s: a + s * (a - b)),
            "before comes back": mixing(lambda b, a, s: b),
            "after comes back": lambda before, after, share: after,
            "the counter was mixed too;": count_mixed,
            "cut to a whole number": lambda before, after, share: {
                k: right_one(before[k], after[k], share).to(after[k].dtype) for k in after
            },
            "the counter is before's;": mixing(right_one, lambda b, a: b),
            "the counter is left out": lambda before, after, share: {
                k: right_one(before[k], after[k], share) for k in after if after[k].is_floating_point()
            },
            "names are missing": lambda before, after, share: {"logit_scale": after["logit_scale"]},
            "return a dict": lambda before, after, share: [right_one(before[k], after[k], share) for k in after],
        },
    ),
    "forgotten": (
        [
            lambda b, a, y: ((b == y) & (a != y)).sum() / max(1, (b == y).sum()),
            counted,
        ],
        {
            "all pictures": lambda b, a, y: ((b == y) & (a != y)).float().mean(),
            "what the share right fell by;": lambda b, a, y: hits(b, y).mean() - hits(a, y).mean(),
            "as a part of": lambda b, a, y: 1 - hits(a, y).sum() / hits(b, y).sum(),
            "what was kept": lambda b, a, y: hits(a, y)[b == y].mean(),
            "this is what was learnt": lambda b, a, y: hits(a, y)[b != y].mean(),
            "how many were forgotten": lambda b, a, y: ((b == y) & (a != y)).sum(),
            "wrong in another way": lambda b, a, y: (a != b).float().mean(),
            "those that are wrong after": lambda b, a, y: hits(b, y)[a != y].mean(),
            "whatever it was before": lambda b, a, y: (a != y).float().mean(),
            "exchanged": lambda b, a, y: (b != y)[a == y].float().mean(),
            "nan": lambda b, a, y: (a != y)[b == y].float().mean(),
        },
    ),
}
