"""The checkers of lesson 18: a whole CLIP, part by part."""

import copy
import math
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmini import transformer
from clipmini.course.base import checker, expect, is_near, randn, say
from clipmini.course.capstone import (
    PlainBlock,
    PlainCLIP,
    PlainText,
    PlainVision,
    Question,
    attended,
    captions,
    filled,
    mistaken,
    own_names,
    part,
    trained,
    training,
)
from clipmini.families.assemble import cleaned
from clipmini.model import unit


def _maybe_causal(x: Tensor, causal: bool) -> tuple:
    return (x, True) if causal else (x,)  # without a word about it, causal is False


def _attention_cases(seed: int) -> tuple:
    heads = 1 + (seed + 1) % 4
    width = heads * (2 + seed % 3)
    return (width, heads), _maybe_causal(2 * randn(1 + seed % 3, 3 + seed % 4, width, seed=seed), seed % 2 == 1)


@part(transformer.Attention, _attention_cases)
@torch.no_grad()
def Attention(function) -> None:
    """Lesson 18: class(width, heads), called with x (B, T, W) and causal -> (B, T, W)."""
    a: Any = filled(transformer.Attention(12, 3), 1)
    x = 2 * randn(2, 5, 12, seed=5)
    one: Any = transformer.Attention(12, 1)
    one.load_state_dict(a.state_dict())
    Question(function, (12, 3), a, (x,)).judge({
        "the scores are not divided by the root of a head's width": attended(a, x, divide=1),
        "the scores are divided by the root of the whole width W; a head has W / heads numbers":
            attended(a, x, divide=12**0.5),
        "there is one head only: cut each of q, k and v into heads": one(x),
        "the heads were cut with a view alone, which mixes tokens: view(B, T, heads, -1), then transpose(1, 2)":
            attended(a, x, raw=True, merge=True),
        "the heads were cut with a view alone: view(B, T, heads, -1), then transpose(1, 2)": attended(a, x, raw=True),
        "the heads were put together without transpose(1, 2): tokens are mixed": attended(a, x, merge=True),
        "in_proj_weight holds q, k and v in this order; yours takes them as k, q, v": attended(a, x, order=(1, 0, 2)),
        "in_proj_weight holds q, k and v in this order; yours takes them as q, v, k": attended(a, x, order=(0, 2, 1)),
        "in_proj_weight holds q, k and v in this order; yours takes them as v, k, q": attended(a, x, order=(2, 1, 0)),
        "in_proj_bias is not added": attended(a, x, **{"no bias": True}),
        "the heads are put together and not yet mixed: out_proj comes last": attended(a, x, **{"no out": True}),
        "the softmax runs down the columns: each query shares out its own row, dim=-1": attended(a, x, dim=-2),
        "it is causal without having been asked": a(x, True),
    }, "the numbers differ from out_proj(softmax(q k^T / sqrt(W / heads)) v), head by head")
    Question(function, (12, 3), a, (x, True)).judge({
        "causal=True changes nothing: hide each token's future, before the softmax": a(x),
        "causal=True hides the past: the other triangle": attended(a, x, True, past=True),
    }, "right without causal; with it token i must see 0 to i, itself included")


@part(PlainBlock, lambda seed: ((w := (1 + seed % 3) * 4, 1 + seed % 3, seed % 2 == 0),
                                 _maybe_causal(randn(2, 2 + seed % 4, w, seed=seed), seed % 3 == 1)))
@torch.no_grad()
def Block(function) -> None:
    """Lesson 18: class(width, heads, quick), called with x (B, T, W) and causal -> (B, T, W)."""
    always, x = filled(PlainBlock(8, 2, True), 2), randn(2, 4, 8, seed=3)
    found = [function.module((8, 2, quick), always.state_dict(), x) for quick in (True, False)]
    for quick, about in ((True, "quick is ignored: it is always x * sigmoid(1.702 x)"),
                         (False, "quick is ignored: it is always the exact GELU")):
        only: Any = PlainBlock(8, 2, quick)
        only.load_state_dict(always.state_dict())
        expect(not all(is_near(one, only(x)) for one in found), about)
    for quick in (True, False):
        b: Any = filled(PlainBlock(8, 2, quick), 2)
        a = x + b.attn(b.ln_1(x))
        right = a + b.mlp(b.ln_2(a))
        other: Any = PlainBlock(8, 2, not quick)
        other.load_state_dict(b.state_dict())
        post = b.ln_1(x + b.attn(x))
        swapped = x + b.attn(b.ln_2(x))
        Question(function, (8, 2, quick), b, (x,)).judge({
            "the norms come after the sums (post-norm); CLIP normalises what goes into attention and MLP":
                b.ln_2(post + b.mlp(post)),
            "nothing is added to what came in: two lines of the form x = x + ...": b.mlp(b.ln_2(b.attn(b.ln_1(x)))),
            "the MLP's answer is not added to x": b.mlp(b.ln_2(a)),
            "attention's answer is not added to x": (alone := b.attn(b.ln_1(x))) + b.mlp(b.ln_2(alone)),
            "the MLP read x as it was before attention": a + b.mlp(b.ln_2(x)),
            "attention's half is lost: the second sum starts from the old x": x + b.mlp(b.ln_2(a)),
            "the MLP is missing": a,
            "ln_1 and ln_2 changed places": swapped + b.mlp(b.ln_1(swapped)),
            "the norms are missing": (bare := x + b.attn(x)) + b.mlp(bare),
            "the two activations changed places: quick=True is x * sigmoid(1.702 x)": other(x),
            "the activation is ReLU": a + b.mlp.c_proj(b.mlp.c_fc(b.ln_2(a)).relu()),
            "there is no activation between c_fc and c_proj": a + b.mlp.c_proj(b.mlp.c_fc(b.ln_2(a))),
            "the activation is SiLU, without the 1.702": a + b.mlp.c_proj(F.silu(b.mlp.c_fc(b.ln_2(a)))),
        }, "it must be x + attn(ln_1(x)), then that + mlp(ln_2(that))")
        Question(function, (8, 2, quick), b, (x, True)).judge({
            "causal is not handed on to attention": right,
        }, "right without causal, wrong with it: hand it on to attention")


def _vision_cases(seed: int) -> tuple:
    patch, grid, heads = 2 + seed % 2, 1 + (seed + 1) % 3, 1 + seed % 2
    return (patch * grid, patch, 4 * heads, 1 + seed % 3, heads, 3 + seed % 4, seed % 2 == 0), \
        (randn(1 + seed % 3, 3, patch * grid, patch * grid, seed=seed),)


@part(PlainVision, _vision_cases)
@torch.no_grad()
def VisionTransformer(function) -> None:
    """Lesson 18: class(side, patch, width, layers, heads, embed, quick), called with pixels (B, 3, side, side) ->
    features (B, embed)."""
    init = (6, 2, 8, 2, 2, 5, True)
    t: Any = filled(PlainVision(*init), 3)
    exact: Any = PlainVision(*init[:-1], False)
    exact.load_state_dict(t.state_dict())
    pixels = randn(2, 3, 6, 6, seed=8)
    grid = t.conv1(pixels)  # (B, W, 3, 3)
    patches, cls, places = t.embed_patches(pixels), t.class_embedding.expand(2, 1, -1), t.positional_embedding
    raw = torch.cat([cls, patches], 1)

    def answer(x, **causal):
        return t.joint(t.transformer(x, **causal))[:, 0]

    tokens = t.tokens(pixels)
    states = t.transformer(tokens)
    turned = torch.cat([cls, grid.transpose(2, 3).flatten(2).transpose(1, 2)], 1)
    Question(function, init, t, (pixels,)).judge({
        "ln_pre is missing: CLIP normalises before its first block too": answer(raw + places),
        "positional_embedding is not added": answer(t.ln_pre(raw)),
        "the class token has a position too, the first row of positional_embedding":
            answer(t.ln_pre(torch.cat([cls, patches + places[1:]], 1))),
        "positions were added after ln_pre; they come before it": answer(t.ln_pre(raw) + places),
        "the class token stands first, not last":
            t.joint(t.transformer(t.ln_pre(torch.cat([patches, cls], 1) + places)))[:, -1],
        "read at the mean of all tokens; the answer stands at the class token, the first": t.joint(states.mean(1)),
        "read at the last token; the answer stands at the class token, the first": t.joint(states[:, -1]),
        "ln_post is missing": states[:, 0] @ t.proj,
        "proj is missing: the answer must lie in the joint space (B, embed)": t.ln_post(states[:, 0]),
        "proj comes after ln_post, not before": F.layer_norm(states[:, 0] @ t.proj, (5,)),
        "patches are read column by column; they come row by row: conv1(pixels).flatten(2).transpose(1, 2)":
            answer(t.ln_pre(turned + places)),
        "conv1(pixels) is (B, W, g, g), and a view alone mixes channels and places: flatten(2).transpose(1, 2)":
            answer(t.ln_pre(torch.cat([cls, grid.reshape(2, -1, 8)], 1) + places)),
        "the image tower is not causal: patches have no future": answer(tokens, causal=True),
        "quick is not handed on to the blocks": exact(pixels),
        "only one block was run: self.transformer.resblocks has as many as layers says":
            t.joint(t.transformer.resblocks[0](tokens))[:, 0],
        "every token is answered for; the class token alone is asked for, [:, 0]": t.joint(states),
        "the features are not to be of length 1 yet: CLIP does that": unit(t(pixels)),
    }, "it must be proj of ln_post of the class token after ln_pre and the blocks")


def _text_cases(seed: int) -> tuple:
    words, places, heads = 9 + seed % 3, 5 + seed % 4, 1 + seed % 2
    init = (words, places, (3 * seed) % words, 4 * heads, 1 + (seed + 1) % 3, heads, 3 + seed % 3, seed % 2 == 1)
    return init, (captions(2 + seed % 3, places - seed % 3, init[2], words, seed),)


@part(PlainText, _text_cases)
@torch.no_grad()
def TextTransformer(function) -> None:
    """Lesson 18: class(words, places, end, width, layers, heads, embed, quick), called with ids (B, T) -> features
    (B, embed)."""
    init = (9, 7, 5, 8, 2, 2, 6, True)
    t: Any = filled(PlainText(*init), 4)
    exact: Any = PlainText(*init[:-1], False)
    exact.load_state_dict(t.state_dict())
    ids = torch.tensor([[1, 8, 2, 5, 5, 5], [1, 3, 5, 0, 0, 0], [1, 2, 7, 4, 6, 5]])
    rows, ends = torch.arange(3), torch.tensor([3, 2, 5])
    x = t.tokens(ids)

    def joint(states):
        return t.ln_final(states) @ t.text_projection

    states = t.transformer(x, causal=True)
    Question(function, init, t, (ids,)).judge({
        "it is not causal: each token may see only those before it": joint(t.transformer(x)[rows, ends]),
        "read at the last place, which is padding: the answer stands at the first end token": joint(states[:, -1]),
        "read at the last end token; what stands behind the first is padding":
            joint(states)[rows, torch.tensor([5, 2, 5])],
        "read at the largest id; the end token need not be the largest, compare ids with end":
            joint(states[rows, ids.argmax(1)]),
        "read one place too early: the end token itself has seen the whole caption": joint(states[rows, ends - 1]),
        "read at the first token, which has seen nothing but itself": joint(states[:, 0]),
        "read at the mean of all places; the answer stands at the first end token": joint(states.mean(1)),
        "positional_embedding is not added": joint(t.transformer(t.token_embedding(ids), causal=True)[rows, ends]),
        "positions are counted from the end: token i gets row i of positional_embedding":
            joint(t.transformer(t.token_embedding(ids) + t.positional_embedding[-6:], causal=True)[rows, ends]),
        "ln_final is missing": states[rows, ends] @ t.text_projection,
        "ln_final belongs after the blocks, not before":
            t.transformer(t.ln_final(x), causal=True)[rows, ends] @ t.text_projection,
        "text_projection is missing: the answer must lie in the joint space (B, embed)": t.ln_final(states[rows, ends]),
        "quick is not handed on to the blocks": exact(ids),
        "only one block was run": joint(t.transformer.resblocks[0](x, True)[rows, ends]),
        "every place is answered for; the first end token alone is asked for": joint(states),
        "the features are not to be of length 1 yet: CLIP does that": unit(t(ids)),
    }, "it must be ln_final(state at the first end token) @ text_projection, after causal blocks")


def _clip_cases(seed: int) -> tuple:
    (side, patch, width, layers, heads, embed, quick), (pixels,) = _vision_cases(seed)
    (words, places, end, *rest), (ids,) = _text_cases(seed + 1)
    return (embed, (side, patch, width, layers, heads), (words, places, end, *rest[:3]), quick), (pixels, ids)


@part(PlainCLIP, _clip_cases)
@torch.no_grad()
def CLIP(function) -> None:
    """Lesson 18: class(embed, vision, text, quick), called with pixels (N, 3, S, S) and ids (M, T) -> logits (N, M)."""
    init, inputs = _clip_cases(4)
    c: Any = filled(PlainCLIP(*init), 5)
    c.logit_scale.fill_(1.5)
    (image, words), scale = (c.visual(inputs[0]), c.text(inputs[1])), math.exp(1.5)
    cosines = unit(image) @ unit(words).t()
    Question(function, init, c, inputs).judge({
        "logit_scale is a logarithm: multiply by its exp": 1.5 * cosines,
        "divided by the scale; it multiplies": cosines / scale,
        "the scale is missing: these are the cosines": cosines,
        "the features were not brought to length 1": scale * image @ words.t(),
        "the texts' features were not brought to length 1": scale * unit(image) @ words.t(),
        "the pictures' features were not brought to length 1": scale * image @ unit(words).t(),
        "rows are pictures and columns texts; yours is the other way round": scale * cosines.t(),
        "these are probabilities; logits come before the softmax": (scale * cosines).softmax(-1),
        "the features were normalised along the batch: each row has length 1, dim=-1":
            scale * F.normalize(image, dim=0) @ F.normalize(words, dim=0).t(),
        "this is the loss; the logits alone are asked for": torch.zeros(()),
    }, "it must be exp(logit_scale) * cosine, (N, M)")
    c.logit_scale.fill_(6.0)
    Question(function, init, c, inputs).judge({
        "the scale has no bound: at most 100, which is ln 100 for logit_scale": math.exp(6) * cosines,
    }, "right for a small scale; a scale above 100 counts as 100")


@cache
def _archive(seed: int) -> tuple[dict[str, Tensor]]:
    c = filled(PlainCLIP(*_clip_cases(seed)[0]), seed)
    weights = {name.removeprefix("text."): t for name, t in c.state_dict().items()}
    kinds = [torch.float16, torch.float32, torch.bfloat16, torch.float64]
    made = {name: t.to(kinds[(i + seed) % 4]) for i, (name, t) in enumerate(weights.items())}
    return ({**made, "input_resolution": torch.tensor(224 + seed), "context_length": torch.tensor(77),
             "vocab_size": torch.tensor(49408)},)


@checker(right=own_names, cases=_archive)
def openai_names(function) -> None:
    """Lesson 18: function(weights: name -> tensor, as OpenAI's) -> name -> float32 tensor, by your CLIP's names."""
    weights, = _archive(0)
    found, right = function(weights), own_names(weights)
    expect(isinstance(found, dict), "a dict is asked for: name -> tensor")
    names = set(found)
    extra = {"input_resolution", "context_length", "vocab_size"}
    for mistake, wrong in {
        "these are the names as they came: the text tower's begin with text. in your CLIP": set(cleaned(weights)),
        "nothing changed: rename the text tower's, leave out the three that are no weights": set(weights),
        "the image tower's names are as they should be already: visual. stays": {"text." + n for n in cleaned(weights)},
        "logit_scale belongs to neither tower: its name stays": {("" if n.startswith("visual.") else "text.") + n
                                                                 for n in cleaned(weights)},
        "input_resolution, context_length and vocab_size are no weights: leave them out": set(right) | extra,
        "input_resolution, context_length and vocab_size are no weights, under any name":
            set(right) | {"text." + n for n in extra},
        "logit_scale was left out": set(right) - {"logit_scale"},
        "the image tower was left out": {n for n in right if not n.startswith("visual.")},
        "the text tower was left out": {n for n in right if not n.startswith("text.")},
    }.items():
        expect(names != wrong, mistake)
    expect(names == set(right), say("these names differ: {names}", names=sorted(names ^ set(right))[:4]))
    expect(all(isinstance(t, Tensor) for t in found.values()), "the values are tensors, as they came")
    for name, t in found.items():
        expect(t.dtype == torch.float32, say("{name} is {dtype} still: t.float() makes float32 of every kind",
                                             name=name, dtype=str(t.dtype).removeprefix("torch.")))
    expect(is_near(found, right), "the names are right, but a tensor went to another's name")


def _loading(seed: int) -> tuple[nn.Module, dict[str, Tensor]]:
    norm = nn.BatchNorm1d(4) if seed % 3 == 1 else nn.LayerNorm(4)
    model = nn.Sequential(nn.Linear(3, 4), norm, nn.Linear(4, 2 + seed % 2))
    filled(model, seed)
    weights = {name: t + 1 for name, t in reversed(model.state_dict().items())}
    names = sorted(weights)
    if seed % 4 in (1, 3):
        del weights[names[seed % 5]], weights[names[5]]
    if seed % 4 in (2, 3):
        weights |= {"position_ids": torch.zeros(3), "attn.mask": torch.ones(2)}
    if seed % 4 == 2 or seed % 8 == 4:
        for name in (names[seed % 3], names[4]):
            weights[name] = torch.zeros(*weights[name].shape, 2) if seed % 3 else weights[name][:-1]
    return model, weights


def _load(model: nn.Module, weights: dict[str, Tensor]) -> tuple:
    own = model.state_dict()
    missing, left_over = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    misshapen = sorted(name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape)
    if not (missing or left_over or misshapen):
        model.load_state_dict(weights)
    return model.state_dict(), missing, left_over, misshapen


@checker(right=_load, cases=_loading)
def load_strictly(function) -> None:
    """Lesson 18: function(model, weights: name -> tensor) -> (the model's state_dict, missing, left over, misshapen):
    the last three are sorted lists of names, and only if all are empty the weights are loaded."""
    model = cast(nn.Module, filled(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))))
    own = model.state_dict()
    good = {name: t + 1 for name, t in own.items()}
    bad = {**{n: t for n, t in good.items() if n not in ("0.bias", "1.bias")}, "b": torch.ones(1), "a": torch.ones(1),
           "1.weight": torch.ones(4, 2)}
    found = function(model, bad)
    expect(isinstance(found, (tuple, list)) and len(found) == 4,
           "four things are asked for: return model.state_dict(), missing, left_over, misshapen")
    expect(isinstance(found[0], dict), "the first is the model's state_dict, after loading or not loading")
    expect(all(isinstance(part, (list, tuple)) for part in found[1:]),
           "three lists of names are asked for; a set has no order: sorted(...) makes a list of it")
    right = (["0.bias", "1.bias"], ["a", "b"], ["1.weight"])
    missing, left_over, misshapen = found[1:]
    expect((missing, left_over) != (right[1], right[0]),
           "missing and left over changed places: missing is what the model has and the file lacks")
    expect([*map(sorted, found[1:])] != [*right] or [*found[1:]] == [*right], "sort each list of names")
    expect(misshapen != [], "a tensor of another shape was not told: compare .shape of those that both have")
    expect("1.weight" not in [*missing, *left_over],
           "a name that both have is neither missing nor left over; its shape differs")
    expect("0.weight" not in misshapen, "0.weight has the right shape, and is listed among the misshapen")
    expect([*found[1:]] == [*right], say("{found} is not {right}", found=tuple(found[1:]), right=right))
    expect(is_near(found[0]["0.weight"], own["0.weight"]),
           "weights that fit were loaded though others did not: load all of a file or nothing (strict)")
    for only in ({n: t for n, t in good.items() if n != "0.bias"}, {**good, "a": torch.ones(1)}):
        expect(is_near(function(model, only)[0], own),
               "with one name missing or one left over it loads the rest: load all or nothing")
    shape = function(model, {**good, "1.weight": torch.ones(4, 2)})
    expect(is_near(shape[0], own), "with a shape that differs, the rest was loaded all the same (load_state_dict "
                                   "copies what fits before it raises): look at the lists before you load")
    norm = nn.BatchNorm1d(3).state_dict()
    expect(not any(function(nn.BatchNorm1d(3), norm)[1:]), "running_mean of a BatchNorm is no parameter, and is in the "
                                                          "file all the same: state_dict(), not named_parameters()")
    loaded = function(model, good)
    expect(not any(loaded[1:]), "here everything fits, and the three lists must be empty")
    expect(not is_near(loaded[0], own), "everything fits, and nothing was loaded: model.load_state_dict(weights), and "
                                        "take the state_dict after that")
    expect(is_near(loaded[0], good), "everything fits, but the model does not hold the file's numbers afterwards")


@checker(right=lambda *case: trained(*copy.deepcopy(case)), cases=training)
def train_steps(function) -> None:
    """Lesson 18: function(model, batches of (pixels, ids), rate, decay, max_norm) -> each step's loss, a list."""
    found, right = function(*training(1, 5)), trained(*training(1, 5))
    expect(isinstance(found, (list, tuple)), "a list of losses is asked for, one number for each batch")
    expect(len(found) == len(right), say("{right} batches give {right} losses, each before its step; yours are {found}",
                                         right=len(right), found=len(found)))
    expect(not any(isinstance(x, Tensor) and x.requires_grad for x in found),
           "the losses keep their graphs alive: loss.item() makes a number")
    for mistake, value in mistaken().items():
        expect(not is_near([*found], value), mistake)
    for seed, about in ((0, "logit_scale may not fall below 0: clamp_ it after each step"),
                        (2, "logit_scale may not rise above ln 100: clamp_ it after each step")):
        expect(not is_near([*function(*training(seed))], trained(*training(seed), free=True)), about)
    expect(is_near(found[0], right[0]), say("the first loss must be {right}; yours is {found}",
                                            right=round(right[0], 4), found=round(float(found[0]), 4)))
    expect(is_near([*found], right), "the first loss is right, and later ones are not: check the groups (which "
                                     "decay?), the optimizer, rate, max_norm, then the order zero_grad, backward, "
                                     "clip_grad_norm_, step, clamp_")
