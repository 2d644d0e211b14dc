"""Text towers: ids (B, T) -> features (B, E), not yet of unit length.

The causal Transformer reads the words in order and answers at the end token. CBOW (continuous bag of words) averages
the token embeddings: it can't tell "dog bites man" from "man bites dog", and learns ten times faster for it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from clipmini.config import TextConfig
from clipmini.transformer import Transformer


class TextTransformer(nn.Module):
    """CLIP's text tower (paper section 2.4)."""

    def __init__(self, config: TextConfig, embed_dim: int):
        super().__init__()
        W = config.width
        self.eos_id, self.context_length = config.eos_id, config.context_length
        self.token_embedding = nn.Embedding(config.vocab_size, W)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(config.context_length, W))
        self.transformer = Transformer(W, config.layers, config.heads, config.activation, config.mlp_width, config.eps)
        self.ln_final = nn.LayerNorm(W, config.eps)
        self.text_projection = nn.Parameter(W**-0.5 * torch.randn(W, embed_dim))
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def end_positions(self, ids: Tensor) -> Tensor:
        """Where each caption's first end token stands: (B, T) -> (B,)."""
        is_end = ids == self.eos_id
        if len(rows := (~is_end.any(dim=1)).nonzero()):
            raise ValueError(f"row {int(rows[0])} of ids has no end token ({self.eos_id}); tokenise with this model's "
                             "tokenizer")
        return is_end.int().argmax(dim=1)

    def tokens(self, ids: Tensor) -> Tensor:
        """Token embeddings with positions (B, T, W)."""
        T = ids.shape[1]
        if T > self.context_length:
            raise ValueError(f"ids have {T} tokens; the context is {self.context_length}. Pass truncate=True to the "
                             "tokenizer")
        return self.token_embedding(ids) + self.positional_embedding[:T]

    def forward(self, ids: Tensor) -> Tensor:
        ends = self.end_positions(ids)
        # Causal: nothing behind the end token is ever seen, so padding needs no mask and batches may be trimmed.
        pooled = self.transformer.forward_row(self.tokens(ids), ends, causal=True)
        return self.ln_final(pooled) @ self.text_projection

    def forward_lists(self, lists: list[list[int]], batch: int = 256) -> Tensor:
        """N lists of ids, each with its end token -> (N, E), the numbers of forward. Prompts share their beginnings ("a
        photo of a ..."), and a causal state depends on nothing else: each distinct beginning is computed once.

        batch: how many of them go through the tower in one sequence.
        """
        lists = [ids[:ids.index(self.eos_id) + 1] for ids in lists]
        order = sorted(range(len(lists)), key=lists.__getitem__)  # neighbours share most
        out = self.text_projection.new_empty(len(lists), self.text_projection.shape[1])
        for rows in packs([lists[i] for i in order], batch):
            tree = PrefixTree([lists[order[r]] for r in rows])
            ids, sees = torch.tensor(tree.ids, device=out.device), tree.ancestors().to(out.device)
            depths = sees.sum(1) - 1  # a node sees itself and what stands before it
            x = self.token_embedding(ids) + self.positional_embedding[depths]  # (places, W)
            states = self.transformer(x[None], mask=sees)[0]
            out[[order[r] for r in rows]] = self.ln_final(states[tree.ends]) @ self.text_projection
        return out

    def forward_features(self, ids: Tensor) -> dict:
        """states: each layer's (B, T, W); attentions: each layer's (B, H, T, T); features: forward's answer (B, E);
        tokens: every position in the joint space (B, T, E)."""
        ends = self.end_positions(ids)
        named = self.transformer.forward_features(self.tokens(ids), causal=True)
        projected = self.ln_final(named["states"][-1]) @ self.text_projection
        return {**named, "tokens": projected, "features": projected[torch.arange(len(ids)), ends]}


def in_batches(encode: Callable[[Tensor], Tensor], lists: list[list[int]], pad_id: int, batch: int,
               device: torch.device | str = "cpu") -> Tensor:
    """N lists of ids through an encoder of padded ids (B, T) -> (N, E), `batch` of them at a time; sorted by length, so
    that short ones are not padded to the longest."""
    order = sorted(range(len(lists)), key=lambda i: len(lists[i]))
    found = []
    for i in range(0, len(order), batch):
        rows = [lists[r] for r in order[i:i + batch]]
        ids = torch.tensor([row + [pad_id] * (len(rows[-1]) - len(row)) for row in rows], device=device)
        found.append(encode(ids))
    return torch.cat(found)[torch.tensor(order).argsort().to(device)]


class PrefixTree:
    """Lists of ids as a tree of their distinct beginnings, parents before children.

    ids, parents: of each node (the parent of a first token is -1); ends: the node where each list ends.

    >>> tree = PrefixTree([[5, 6, 9], [5, 7, 9]])
    >>> tree.ids, tree.parents, tree.ends
    ([5, 6, 9, 7, 9], [-1, 0, 1, 0, 3], [2, 4])
    """

    def __init__(self, lists: list[list[int]]):
        known: dict[tuple[int, int], int] = {}  # (parent, id) -> node, in the order of the nodes
        self.ends: list[int] = []
        for ids in lists:
            node = -1
            for token in ids:
                node = known.setdefault((node, token), len(known))
            self.ends.append(node)
        self.ids, self.parents = [token for _, token in known], [parent for parent, _ in known]

    def ancestors(self) -> Tensor:
        """(nodes, nodes) bool: which nodes a node sees, itself and those on its way to the root."""
        sees = torch.eye(len(self.ids), dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                sees[node] |= sees[parent]
        return sees


def packs(lists: list[list[int]], places: int) -> list[range]:
    """Cut sorted lists into runs whose trees have at most `places` nodes, or one list."""
    found, start, nodes = [], 0, 0
    for i, ids in enumerate(lists):
        before = lists[i - 1] if i > start else []
        pairs = enumerate(zip(ids, before, strict=False))
        shared = next((n for n, (a, b) in pairs if a != b), min(len(ids), len(before)))
        if nodes + len(ids) - shared > places and i > start:
            found.append(range(start, i))
            start, nodes, shared = i, 0, 0
        nodes += len(ids) - shared
    return [*found, range(start, len(lists))] if lists else []


class CBOW(nn.Module):
    """The mean of the token embeddings, normalised and projected."""

    def __init__(self, config: TextConfig, embed_dim: int):
        super().__init__()
        W = config.width
        self.eos_id = config.eos_id
        self.token_embedding = nn.Embedding(config.vocab_size, W)
        self.ln_final = nn.LayerNorm(W, config.eps)
        self.text_projection = nn.Parameter(W**-0.5 * torch.randn(W, embed_dim))
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def words(self, ids: Tensor) -> Tensor:
        """1 for what is averaged: everything before the end token; (B, T, 1).

        The start token is in, so the bag of an empty caption is not empty.
        """
        return ((ids == self.eos_id).cumsum(1) == 0)[..., None].float()

    def forward(self, ids: Tensor) -> Tensor:
        words = self.words(ids)
        mean = (self.token_embedding(ids) * words).sum(1) / words.sum(1).clamp(min=1)
        return self.ln_final(mean) @ self.text_projection

    def forward_features(self, ids: Tensor) -> dict:
        """tokens: each token's embedding (B, T, W), 0 from the end token on; features: forward's answer (B, E)."""
        return {"tokens": self.token_embedding(ids) * self.words(ids), "features": self.forward(ids)}


class BertText(nn.Module):
    """Chinese-CLIP's text tower (Yang et al. 2022): transformers' BertModel, read at its first token, projected."""

    def __init__(self, config: TextConfig, embed_dim: int):
        from transformers import BertConfig, BertModel  # seconds to import, and only this tower wants it

        super().__init__()
        W = config.width
        self.pad_id, self.context_length = config.pad_id, config.context_length
        theirs = BertConfig(
            vocab_size=config.vocab_size, hidden_size=W, num_hidden_layers=config.layers, hidden_act=config.activation,
            num_attention_heads=config.heads, intermediate_size=config.mlp_width or 4 * W, pad_token_id=config.pad_id,
            layer_norm_eps=config.eps, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        with torch.device("cpu"):  # its table of positions is in no file, so it may not be left on "meta"
            self.bert = BertModel(theirs, add_pooling_layer=False)
        self.text_projection = nn.Parameter(W**-0.5 * torch.randn(W, embed_dim))

    def forward(self, ids: Tensor) -> Tensor:
        states = self.bert(input_ids=ids, attention_mask=(ids != self.pad_id).long()).last_hidden_state  # (B, T, W)
        return states[:, 0] @ self.text_projection


def build_text(config: TextConfig, embed_dim: int) -> TextTransformer | CBOW | BertText:
    """The text tower that the configuration names."""
    if config.tower == "transformer":
        return TextTransformer(config, embed_dim)
    return CBOW(config, embed_dim) if config.tower == "cbow" else BertText(config, embed_dim)
