"""Right and wrong answers to the exercises of lesson 18: the solutions, and each with one thing changed."""

import torch
import torch.nn.functional as F

ATTENTION = '''\
class Attention(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = torch.nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = torch.nn.Parameter(torch.zeros(3 * width))
        self.out_proj = torch.nn.Linear(width, width)

    def forward(self, x, causal=False):
        B, T, W = x.shape
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (part.view(B, T, self.heads, -1).transpose(1, 2) for part in (q, k, v))
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5  # (B, H, T, T)
        if causal:
            future = torch.ones(T, T, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        mixed = scores.softmax(dim=-1) @ v  # (B, H, T, W/H)
        return self.out_proj(mixed.transpose(1, 2).reshape(B, T, W))
'''

BLOCK = '''\
class Block(torch.nn.Module):
    def __init__(self, width, heads, quick):
        super().__init__()
        self.quick = quick
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        wide, narrow = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)
        self.mlp = torch.nn.ModuleDict({"c_fc": wide, "c_proj": narrow})

    def forward(self, x, causal=False):
        x = x + self.attn(self.ln_1(x), causal)
        hidden = self.mlp.c_fc(self.ln_2(x))
        hidden = hidden * torch.sigmoid(1.702 * hidden) if self.quick else F.gelu(hidden)
        return x + self.mlp.c_proj(hidden)
'''

VISIONTRANSFORMER = '''\
class VisionTransformer(torch.nn.Module):
    def __init__(self, side, patch, width, layers, heads, embed, quick):
        super().__init__()
        places = (side // patch) ** 2 + 1
        self.conv1 = torch.nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = torch.nn.Parameter(torch.zeros(width))
        self.positional_embedding = torch.nn.Parameter(torch.zeros(places, width))
        self.ln_pre, self.ln_post = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        blocks = torch.nn.ModuleList(Block(width, heads, quick) for _ in range(layers))
        self.transformer = torch.nn.ModuleDict({"resblocks": blocks})
        self.proj = torch.nn.Parameter(torch.zeros(width, embed))

    def forward(self, pixels):
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)  # (B, P, W)
        cls = self.class_embedding.expand(len(pixels), 1, -1)
        x = self.ln_pre(torch.cat([cls, patches], dim=1) + self.positional_embedding)
        for block in self.transformer.resblocks:
            x = block(x)
        return self.ln_post(x[:, 0]) @ self.proj
'''

TEXTTRANSFORMER = '''\
class TextTransformer(torch.nn.Module):
    def __init__(self, words, places, end, width, layers, heads, embed, quick):
        super().__init__()
        self.end = end
        self.token_embedding = torch.nn.Embedding(words, width)
        self.positional_embedding = torch.nn.Parameter(torch.zeros(places, width))
        blocks = torch.nn.ModuleList(Block(width, heads, quick) for _ in range(layers))
        self.transformer = torch.nn.ModuleDict({"resblocks": blocks})
        self.ln_final = torch.nn.LayerNorm(width)
        self.text_projection = torch.nn.Parameter(torch.zeros(width, embed))

    def forward(self, ids):
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        for block in self.transformer.resblocks:
            x = block(x, causal=True)
        ends = (ids == self.end).int().argmax(dim=1)  # the first end token of each row
        return self.ln_final(x[torch.arange(len(ids)), ends]) @ self.text_projection
'''

CLIP = '''\
class CLIP(torch.nn.Module):
    def __init__(self, embed, vision, text, quick):
        super().__init__()
        self.visual = VisionTransformer(*vision, embed, quick)
        self.text = TextTransformer(*text, embed, quick)
        self.logit_scale = torch.nn.Parameter(torch.zeros(()))

    def forward(self, pixels, ids):
        image = F.normalize(self.visual(pixels), dim=-1)
        text = F.normalize(self.text(ids), dim=-1)
        return self.logit_scale.exp().clamp(max=100) * image @ text.t()
'''

OPENAI_NAMES = '''\
def openai_names(weights):
    own = {}
    for name, tensor in weights.items():
        if name in ("input_resolution", "context_length", "vocab_size"):
            continue
        stays = name.startswith("visual.") or name == "logit_scale"
        own[name if stays else "text." + name] = tensor.float()
    return own
'''

LOAD_STRICTLY = '''\
def load_strictly(model, weights):
    own = model.state_dict()
    missing = sorted(own.keys() - weights.keys())
    left_over = sorted(weights.keys() - own.keys())
    both = own.keys() & weights.keys()
    misshapen = sorted(name for name in both if own[name].shape != weights[name].shape)
    if not (missing or left_over or misshapen):
        model.load_state_dict(weights)
    return model.state_dict(), missing, left_over, misshapen
'''

TRAIN_STEPS = '''\
def train_steps(model, batches, rate, decay, max_norm):
    kept, decayed = [], []
    for name, p in model.named_parameters():
        (kept if p.ndim < 2 or "positional_embedding" in name else decayed).append(p)
    groups = [{"params": kept, "weight_decay": 0.0}, {"params": decayed, "weight_decay": decay}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-6)
    losses = []
    for pixels, ids in batches:
        logits = model(pixels, ids)
        target = torch.arange(len(logits))
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, torch.tensor(100.0).log().item())
    return losses
'''

PARTS = (ATTENTION, BLOCK, VISIONTRANSFORMER, TEXTTRANSFORMER, CLIP)


def made(source, *changes):
    """What a source defines, after changes: old, new, old, new ..., each found at least once."""
    place = {"torch": torch, "F": F}
    for part in PARTS:
        exec(part, place)
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source, old
        source = source.replace(old, new)
    exec(source, place)
    return place[source.split("(")[0].split()[1]]


class Shorter(torch.nn.MultiheadAttention):
    """Attention in the words of torch."""

    def __init__(self, width, heads):
        super().__init__(width, heads, batch_first=True)

    def forward(self, x, causal=False):
        mask = torch.ones(len(x[0]), len(x[0])).triu(1).bool() if causal else None
        return super().forward(x, x, x, need_weights=False, attn_mask=mask)[0]


LN, ADD = "self.ln_2(x)", "x = x + self.attn(self.ln_1(x), causal)"
READ, POSITIONS = "self.ln_post(x[:, 0]) @ self.proj", " + self.positional_embedding"
END = "self.ln_final(x[torch.arange(len(ids)), ends]) @ self.text_projection"
ENDS = "(ids == self.end).int().argmax(dim=1)"
STAYS = 'name.startswith("visual.") or name == "logit_scale"'
LISTS = "model.state_dict(), missing, left_over, misshapen"
LOSS = "(F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2"
CLAMP = "model.logit_scale.clamp_(0, torch.tensor(100.0).log().item())"

# name of the checker -> (right answers, {a word of its message: wrong answer})
ANSWERS = {
    "Attention": (
        [made(ATTENTION), Shorter],
        {
            "not divided by the root of a head": made(ATTENTION, " / q.shape[-1] ** 0.5", ""),
            "root of the whole width": made(ATTENTION, "q.shape[-1] ** 0.5", "W**0.5"),
            "one head only": made(ATTENTION, "self.heads, -1", "1, -1"),
            "view alone, which mixes": made(ATTENTION, "view(B, T, self.heads, -1).transpose(1, 2)",
                                            "reshape(B, self.heads, T, -1)", ".transpose(1, 2).reshape", ".reshape"),
            "view alone: view": made(ATTENTION, "view(B, T, self.heads, -1).transpose(1, 2)",
                                     "reshape(B, self.heads, T, -1)"),
            "put together without": made(ATTENTION, ".transpose(1, 2).reshape", ".reshape"),
            "as k, q, v": made(ATTENTION, "q, k, v = F", "k, q, v = F"),
            "as q, v, k": made(ATTENTION, "q, k, v = F", "q, v, k = F"),
            "as v, k, q": made(ATTENTION, "q, k, v = F", "v, k, q = F"),
            "in_proj_bias is not added": made(ATTENTION, "self.in_proj_weight, self.in_proj_bias", "self.in_proj_weight"),
            "not yet mixed": made(ATTENTION, "self.out_proj(mixed.transpose(1, 2).reshape(B, T, W))",
                                  "mixed.transpose(1, 2).reshape(B, T, W)"),
            "down the columns": made(ATTENTION, "softmax(dim=-1)", "softmax(dim=-2)"),
            "without having been asked": made(ATTENTION, "if causal", "if True"),
            "causal=True changes nothing": made(ATTENTION, "if causal", "if False"),
            "hides the past": made(ATTENTION, "triu(1)", "tril(-1)"),
            "itself included": made(ATTENTION, "triu(1)", "triu(2)"),
            "names of its weights differ": made(ATTENTION, "out_proj", "output"),
            "has the shape": made(ATTENTION, "torch.zeros(3 * width, width)", "torch.zeros(width, 3 * width)"),
            "is no nn.Module": lambda width, heads: 0,
        },
    ),
    "Block": (
        [made(BLOCK)],
        {
            "post-norm": made(BLOCK, ADD, "x = self.ln_1(x + self.attn(x, causal))", LN, "x",
                              "x + self.mlp.c_proj(hidden)", "self.ln_2(x + self.mlp.c_proj(hidden))"),
            "nothing is added to what": made(BLOCK, ADD, "x = self.attn(self.ln_1(x), causal)", "return x +", "return"),
            "MLP's answer is not added": made(BLOCK, "return x +", "return"),
            "attention's answer is not added": made(BLOCK, "x = x + self.attn", "x = self.attn"),
            "as it was before attention": made(BLOCK, ADD, "before = x\n        " + ADD, LN, "self.ln_2(before)"),
            "starts from the old x": made(BLOCK, ADD, "before = x\n        " + ADD, "return x +", "return before +"),
            "MLP is missing": made(BLOCK, "return x + self.mlp.c_proj(hidden)", "return x"),
            "changed places$": made(BLOCK, "ln_1(x)", "ln_3(x)", "ln_2(x)", "ln_1(x)", "ln_3(x)", "ln_2(x)"),
            "norms are missing": made(BLOCK, "self.ln_1(x)", "x", LN, "x"),
            "activations changed places": made(BLOCK, "if self.quick", "if not self.quick"),
            "always x \\*": made(BLOCK, "if self.quick else F.gelu(hidden)", ""),
            "always the exact": made(BLOCK, "hidden * torch.sigmoid(1.702 * hidden) if self.quick else ", ""),
            "is ReLU": made(BLOCK, "hidden * torch.sigmoid(1.702 * hidden) if self.quick else F.gelu(hidden)",
                            "hidden.relu()"),
            "no activation": made(BLOCK, "hidden * torch.sigmoid(1.702 * hidden) if self.quick else F.gelu(hidden)", "hidden"),
            "is SiLU": made(BLOCK, "1.702 * ", ""),
            "not handed on": made(BLOCK, ", causal)\n        h", ")\n        h"),
            "then that": made(BLOCK, "return x +", "return 2 * x +"),
        },
    ),
    "VisionTransformer": (
        [made(VISIONTRANSFORMER)],
        {
            "ln_pre is missing": made(VISIONTRANSFORMER, "x = self.ln_pre(", "x = ("),
            "embedding is not added": made(VISIONTRANSFORMER, POSITIONS, ""),
            "has a position too": made(VISIONTRANSFORMER, "[cls, patches]", "[cls, patches + self.positional_embedding[1:]]",
                                       ", dim=1)" + POSITIONS, ", dim=1)"),
            "added after ln_pre": made(VISIONTRANSFORMER, "dim=1)" + POSITIONS + ")", "dim=1))" + POSITIONS),
            "stands first, not last": made(VISIONTRANSFORMER, "[cls, patches]", "[patches, cls]", "x[:, 0]", "x[:, -1]"),
            "mean of all tokens": made(VISIONTRANSFORMER, READ, "self.ln_post(x.mean(1)) @ self.proj"),
            "at the last token": made(VISIONTRANSFORMER, "x[:, 0]", "x[:, -1]"),
            "ln_post is missing": made(VISIONTRANSFORMER, READ, "x[:, 0] @ self.proj"),
            "proj is missing": made(VISIONTRANSFORMER, READ, "self.ln_post(x[:, 0])"),
            "proj comes after": made(VISIONTRANSFORMER, READ, "F.layer_norm(x[:, 0] @ self.proj, self.proj.shape[1:])"),
            "column by column": made(VISIONTRANSFORMER, ".flatten(2)", ".transpose(2, 3).flatten(2)"),
            "view alone mixes": made(VISIONTRANSFORMER, ".flatten(2).transpose(1, 2)",
                                     ".view(len(pixels), -1, len(self.class_embedding))"),
            "not causal": made(VISIONTRANSFORMER, "block(x)", "block(x, causal=True)"),
            "quick is not handed": made(VISIONTRANSFORMER, "heads, quick)", "heads, False)"),
            "only one block": made(VISIONTRANSFORMER, "self.transformer.resblocks:", "self.transformer.resblocks[:1]:"),
            "every token is answered": made(VISIONTRANSFORMER, "x[:, 0]", "x"),
            "length 1 yet": made(VISIONTRANSFORMER, READ, "F.normalize(" + READ + ", dim=-1)"),
            "names of its weights": made(VISIONTRANSFORMER, "ln_post", "ln_last"),
            "it was called with": made(VISIONTRANSFORMER, ".transpose(1, 2)  # (B, P, W)", ""),
        },
    ),
    "TextTransformer": (
        [made(TEXTTRANSFORMER)],
        {
            "it is not causal": made(TEXTTRANSFORMER, "block(x, causal=True)", "block(x)"),
            "which is padding": made(TEXTTRANSFORMER, "torch.arange(len(ids)), ends", ":, -1"),
            "last end token": made(TEXTTRANSFORMER, ENDS, "ids.shape[1] - 1 - (ids == self.end).int().flip(1).argmax(dim=1)"),
            "at the largest id": made(TEXTTRANSFORMER, ENDS, "ids.argmax(dim=1)"),
            "one place too early": made(TEXTTRANSFORMER, ENDS, ENDS + " - 1"),
            "at the first token": made(TEXTTRANSFORMER, "torch.arange(len(ids)), ends", ":, 0"),
            "mean of all places": made(TEXTTRANSFORMER, END, "self.ln_final(x.mean(1)) @ self.text_projection"),
            "embedding is not added": made(TEXTTRANSFORMER, " + self.positional_embedding[: ids.shape[1]]", ""),
            "counted from the end": made(TEXTTRANSFORMER, "[: ids.shape[1]]", "[-ids.shape[1]:]"),
            "ln_final is missing": made(TEXTTRANSFORMER, "self.ln_final(x[torch.arange(len(ids)), ends])",
                                        "x[torch.arange(len(ids)), ends]"),
            "after the blocks": made(TEXTTRANSFORMER, "        for block", "        x = self.ln_final(x)\n        for block",
                                     "self.ln_final(x[torch.arange(len(ids)), ends])", "x[torch.arange(len(ids)), ends]"),
            "projection is missing": made(TEXTTRANSFORMER, " @ self.text_projection", ""),
            "quick is not handed": made(TEXTTRANSFORMER, "heads, quick)", "heads, False)"),
            "only one block": made(TEXTTRANSFORMER, "self.transformer.resblocks:", "self.transformer.resblocks[:1]:"),
            "every place is answered": made(TEXTTRANSFORMER, "x[torch.arange(len(ids)), ends]", "x"),
            "length 1 yet": made(TEXTTRANSFORMER, END, "F.normalize(" + END + ", dim=-1)"),
        },
    ),
    "CLIP": (
        [made(CLIP)],
        {
            "is a logarithm": made(CLIP, "self.logit_scale.exp()", "self.logit_scale"),
            "it multiplies": made(CLIP, "self.logit_scale.exp()", "(-self.logit_scale).exp()"),
            "these are the cosines": made(CLIP, "self.logit_scale.exp().clamp(max=100) * ", ""),
            "the features were not brought": made(
                CLIP, "F.normalize(self.visual(pixels), dim=-1)", "self.visual(pixels)",
                "F.normalize(self.text(ids), dim=-1)", "self.text(ids)"),
            "texts' features": made(CLIP, "F.normalize(self.text(ids), dim=-1)", "self.text(ids)"),
            "pictures' features": made(CLIP, "F.normalize(self.visual(pixels), dim=-1)", "self.visual(pixels)"),
            "other way round": made(CLIP, "image @ text.t()", "text @ image.t()"),
            "before the softmax": made(CLIP, "return self.logit_scale.exp().clamp(max=100) * image @ text.t()",
                                       "return (self.logit_scale.exp() * image @ text.t()).softmax(-1)"),
            "along the batch": made(CLIP, "dim=-1", "dim=0"),
            "the scale has no bound": made(CLIP, ".clamp(max=100)", ""),
            "counts as 100": made(CLIP, "max=100", "max=99"),
            "names of its weights": made(CLIP, "logit_scale", "scale"),
        },
    ),
    "openai_names": (
        [made(OPENAI_NAMES)],
        {
            "these are the names as they came": made(OPENAI_NAMES, '"text." + name', "name"),
            "nothing changed": lambda weights: weights,
            "visual. stays": made(OPENAI_NAMES, STAYS, "False"),
            "belongs to neither": made(OPENAI_NAMES, ' or name == "logit_scale"', ""),
            "no weights: leave them out": made(OPENAI_NAMES, "            continue", "            own[name] = tensor.float()\n"
                                               "            continue"),
            "under any name": made(OPENAI_NAMES, 'name in ("input_resolution", "context_length", "vocab_size")', "False"),
            "logit_scale was left out": made(OPENAI_NAMES, '("input', '("logit_scale", "input'),
            "image tower was left out": made(OPENAI_NAMES, 'if name in (', 'if name.startswith("visual.") or name in ('),
            "text tower was left out": made(OPENAI_NAMES, "        own[name", "        if stays:\n            own[name"),
            "names differ": made(OPENAI_NAMES, '"text."', '"texts."'),
            "is bfloat16 still": made(OPENAI_NAMES, "tensor.float()",
                                      "tensor.float() if tensor.dtype == torch.float16 else tensor"),
            "is float64 still": made(OPENAI_NAMES, "tensor.float()", "tensor.float() if tensor.itemsize < 4 else tensor"),
            "is float16 still": made(OPENAI_NAMES, "tensor.float()", "tensor"),
            "another's name": made(OPENAI_NAMES, "tensor.float()", "2 * tensor.float()"),
            "a dict is asked": lambda weights: [*weights],
            "values are tensors": made(OPENAI_NAMES, "tensor.float()", "name"),
        },
    ),
    "load_strictly": (
        [made(LOAD_STRICTLY)],
        {
            "four things": made(LOAD_STRICTLY, LISTS, "missing, left_over"),
            "first is the model's": made(LOAD_STRICTLY, LISTS, "model.training, missing, left_over, misshapen"),
            "a set has no order": made(LOAD_STRICTLY, "sorted(own.keys() - weights.keys())", "own.keys() - weights.keys()"),
            "changed places": made(LOAD_STRICTLY, "missing, left_over, misshapen", "left_over, missing, misshapen"),
            "sort each list": made(LOAD_STRICTLY, LISTS, "model.state_dict(), missing[::-1], left_over, misshapen"),
            "of another shape was not told": made(LOAD_STRICTLY, LISTS, "model.state_dict(), missing, left_over, []"),
            "neither missing nor left over": made(LOAD_STRICTLY, LISTS,
                                                  "model.state_dict(), sorted(missing + misshapen), left_over, misshapen"),
            "among the misshapen": made(LOAD_STRICTLY, " if own[name].shape != weights[name].shape", ""),
            "is not": made(LOAD_STRICTLY, LISTS, "model.state_dict(), missing[:1], left_over, misshapen"),
            "others did not": made(LOAD_STRICTLY, "    if not (missing", "    fit = {name: weights[name] for name in both "
                                   "if name not in misshapen}\n    model.load_state_dict(fit, strict=False)\n"
                                   "    if not (missing"),
            "load all or nothing$": made(LOAD_STRICTLY, "if not (missing or left_over or misshapen)", "if not misshapen",
                                         "model.load_state_dict(weights)", "model.load_state_dict(weights, strict=False)"),
            "with a shape that differs": made(LOAD_STRICTLY, "if not (missing or left_over or misshapen)",
                                              "if not (missing or left_over)", "model.load_state_dict(weights)",
                                              """try:
            model.load_state_dict(weights)
        except RuntimeError:
            pass"""),
            "running_mean": made(LOAD_STRICTLY, "own = model.state_dict()", "own = dict(model.named_parameters())"),
            "nothing was loaded": made(LOAD_STRICTLY, "model.load_state_dict(weights)", "pass"),
            "file's numbers": made(LOAD_STRICTLY, "model.load_state_dict(weights)",
                                   "model.load_state_dict({n: 2 * t for n, t in weights.items()})"),
        },
    ),
    "train_steps": (
        [made(TRAIN_STEPS)],
        {
            "a list of losses": made(TRAIN_STEPS, "return losses", "return losses[-1]"),
            "each before its step": made(TRAIN_STEPS, "return losses", "return losses[1:]"),
            "loss.item\\(\\) makes": made(TRAIN_STEPS, "loss.item()", "loss"),
            "rows only": made(TRAIN_STEPS, LOSS, "F.cross_entropy(logits, target)"),
            "were added": made(TRAIN_STEPS, LOSS, LOSS[:-4]),
            "does not change": made(TRAIN_STEPS, "        optimizer.step()\n", ""),
            "earlier batches": made(TRAIN_STEPS, "        optimizer.zero_grad()\n", ""),
            "not clipped": made(TRAIN_STEPS, "        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n", ""),
            "everything decays": made(TRAIN_STEPS, '"weight_decay": 0.0', '"weight_decay": decay'),
            "nothing decays": made(TRAIN_STEPS, '"weight_decay": decay', '"weight_decay": 0.0'),
            "positions decay": made(TRAIN_STEPS, ' or "positional_embedding" in name', ""),
            "groups changed places": made(TRAIN_STEPS, '"params": kept', '"params": x', '"params": decayed', '"params": kept',
                                          '"params": x', '"params": decayed'),
            "make one, before": made(TRAIN_STEPS, "        logits = model", "        optimizer = torch.optim.AdamW("
                                     "groups, lr=rate, betas=(0.9, 0.98), eps=1e-6)\n        logits = model"),
            "usual betas": made(TRAIN_STEPS, ", betas=(0.9, 0.98)", ""),
            "fall below 0": made(TRAIN_STEPS, CLAMP, CLAMP.replace("clamp_(0", "clamp_(-9")),
            "rise above ln 100": made(TRAIN_STEPS, CLAMP, "model.logit_scale.clamp_(0)"),
            "first loss must be": made(TRAIN_STEPS, LOSS, "2 * " + LOSS + " - 1"),
            "check the groups": made(TRAIN_STEPS, "lr=rate", "lr=2 * rate"),
            "gains decay": made(TRAIN_STEPS, "p.ndim < 2 or", 'p.ndim < 2 and ("bias" in name or p.numel() == 1 or '
                                '"class" in name or "scale" in name) or'),
            "fewer than two have no decay": made(TRAIN_STEPS, "p.ndim < 2", "p.ndim <= 2"),
            "decay is not handed on": made(TRAIN_STEPS, ', "weight_decay": decay', ""),
            "the group without decay": made(TRAIN_STEPS, ', "weight_decay": 0.0', ""),
            "give each group": made(TRAIN_STEPS, ', "weight_decay": decay', "", ', "weight_decay": 0.0', ""),
            "this is Adam": made(TRAIN_STEPS, "optim.AdamW", "optim.Adam"),
            "rate is not handed on": made(TRAIN_STEPS, "lr=rate, ", ""),
            "limits each number": made(TRAIN_STEPS, "clip_grad_norm_", "clip_grad_value_"),
            "clipped alone": made(TRAIN_STEPS, "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
                                  "[torch.nn.utils.clip_grad_norm_([p], max_norm) for p in model.parameters()]"),
            "fixed at 1": made(TRAIN_STEPS, "parameters(), max_norm", "parameters(), 1.0"),
            "in neither group": made(TRAIN_STEPS, "        (kept if p", '        name == "logit_scale" or (kept if p'),
            "any more": made(TRAIN_STEPS, CLAMP, "model.logit_scale = torch.nn.Parameter(model.logit_scale.clamp(0, 4.60517))"),
        },
    ),
}
