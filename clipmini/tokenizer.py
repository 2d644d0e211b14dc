"""The tokenizer of CLIP: from a caption to the ids that the text tower reads, by the merges of bpe.py."""

import gzip
import json
import warnings
import zlib
from collections import Counter, namedtuple
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import torch

from clipmini import bpe
from clipmini.bpe import END, START, TokenizerError, TokenLimitError, merge_pair, normalise, word_ids
from clipmini.files import CheckpointError, written_whole
from clipmini.repair import openai_words, repair_text

RELEASED_MERGES = 48_894  # OpenAI's file lists 262,144 merges, its models know the first of them
CACHE_SIZE, CACHED_CHARACTERS, CACHED_IDS = 1 << 16, 128, 32  # chunks remembered, and how large they may be
LARGEST_FILE = 8_000_000  # bytes, unpacked; the released vocabulary has 1.4 million
SHOW_LIMIT = 1_000  # characters; every merge shows all pieces, so the output grows with the square
REMEDY = "Copy the whole folder again, or write it anew with Tokenizer.save."


class Step(namedtuple("Step", "name detail pieces", defaults=[()])):
    """One step of the work: what was done (clean, word, merge, ids), to what, and the pieces after it, all as str."""

    def __str__(self) -> str:
        return f"{self.name:6} {self.detail:24} {' | '.join(self.pieces)}".rstrip()


class _ChunkCache(dict):
    """The ids of white-space separated chunks, encoded at the first look-up. Being a dict, it answers a known chunk
    without a line of Python run: that is the tokenizer's speed."""

    def __init__(self, encode_chunk):
        self.encode_chunk = encode_chunk

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        ids = tuple(self.encode_chunk(chunk))
        if len(chunk) <= CACHED_CHARACTERS and len(ids) <= CACHED_IDS:
            if len(self) >= CACHE_SIZE:
                self.clear()
            self[chunk] = ids
        return ids


class Tokenizer:
    """Turn captions into ids as CLIP does; the ids equal those of transformers' CLIPTokenizer.

    merges: pairs of token strings in the order of learning; context_length: the longest caption in tokens, start and
    end included; repair: mend broken Unicode and HTML entities first, as OpenAI's code does (needs ftfy).
    Raises TokenizerError for a merge that is there twice, or uses a token that no merge before it made.

    Ids: 256 bytes, 256 bytes that end a word, one id for a merge, <|startoftext|>, <|endoftext|>. A caption that spells
    a special token in full gets its id, as in transformers; with repair in any case, as in OpenAI's code, which also
    writes a sigma at a word's end as a final sigma. The text tower pools at the first end token, so what follows it has
    no say in the feature: a warning tells. A character newer than the Unicode tables of Python or `regex` may be cut
    otherwise than by transformers.
    """

    def __init__(self, merges: list[tuple[str, str]], context_length: int = 77, repair: bool = False):
        if not isinstance(context_length, int) or context_length < 3:
            raise TokenizerError(f"context_length is {context_length!r}; it must be a whole number of at least 3.")
        self.merges = [tuple(pair) for pair in merges]
        self.context_length, self.repair = context_length, bool(repair)
        self.vocab = {token: i for i, token in enumerate(bpe.SINGLE)}
        self._pair_to_id: dict[tuple[int, int], int] = {}
        self._token_bytes = [bytes([byte]) + end for end in (b"", b" ") for byte in bpe.BYTE_CHARACTERS]
        for n, pair in enumerate(self.merges):
            ids = tuple(self.vocab.get(token, -1) for token in pair)
            if len(ids) != 2 or -1 in ids:
                raise TokenizerError(f"merge {n} is {pair!r}: it must be two tokens that bytes or earlier merges make.")
            name = pair[0] + pair[1]
            if name in self.vocab or name in (START, END):
                raise TokenizerError(f"merge {n} makes {name!r} again. Each token may be made once; delete this merge.")
            self._pair_to_id[ids] = self.vocab[name] = len(self.vocab)
            self._token_bytes.append(self._token_bytes[ids[0]] + self._token_bytes[ids[1]])
        self.sot_id = self.vocab[START] = len(self.vocab)
        self.eos_id = self.pad_id = self.vocab[END] = len(self.vocab)
        self.vocab_size = len(self.vocab)
        self._cache = _ChunkCache(self._encode_chunk)

    def __reduce__(self):  # what a worker process needs; the cache stays behind
        return Tokenizer, (self.merges, self.context_length, self.repair)

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocab_size} ids, context_length={self.context_length}, repair={self.repair})"

    @classmethod
    def train(cls, texts, vocab_size: int, context_length: int = 77) -> "Tokenizer":
        """Learn merges from an iterable of texts, whose order has no say. vocab_size: ids in all, at least 514 (bytes,
        start and end); fewer come when nothing is left to merge."""
        least = bpe.FIRST_MERGE + 2
        if vocab_size < least:
            raise TokenizerError(f"vocab_size is {vocab_size}; bytes and special tokens are {least}. Ask for more.")
        words: Counter[str] = Counter()  # a merge is decided once for a word, however often it occurs
        for chunk, count in Counter(chain.from_iterable(map(bpe.NOT_SPACE.findall, _checked(texts)))).items():
            for part in bpe.SPECIAL.split(chunk)[::2]:  # the odd parts are the special tokens themselves
                for word in bpe.split_words(normalise(part)):
                    words[word] += count
        return cls(bpe.learn_merges(words, vocab_size - least), context_length)

    def _encode_chunk(self, chunk: str) -> list[int]:
        """Return the ids of a text without white space."""
        plain = chunk.isascii() and chunk.isalpha()  # the common case needs no pattern
        ids = []
        for word in [chunk.lower()] if plain else self._words(chunk):
            if word in (START, END):
                warnings.warn(f"a caption spells a special token: {chunk[:40]!r}. "
                              "What follows an end token does not reach the feature.", stacklevel=3)
                ids.append(self.vocab[word])
            elif word != chunk and word.isascii():
                ids += self._cache[word]  # "dog," and "Dog" share the work of "dog"
            else:
                single = word_ids(word)
                merge = bpe.merge_word if len(single) < bpe.LONG_WORD else bpe.merge_long_word
                ids += merge(single, self._pair_to_id)
        return ids

    def _words(self, text: str) -> list[str]:
        """Return the words of a text, special tokens among them."""
        if self.repair:
            return openai_words(text)
        parts = bpe.SPECIAL.split(text)
        return [w for p in parts for w in ([p] if p in (START, END) else bpe.split_words(normalise(p)))]

    def _ids_of(self, texts: list[str]):
        """Return an iterator over the ids of each text; everything is decided chunk by chunk."""
        texts = [repair_text(text) for text in texts] if self.repair else texts
        joined = "".join(texts)  # str.split() takes four characters for white space that Unicode and `regex` do not
        split = bpe.NOT_SPACE.findall if any(c in joined for c in "\x1c\x1d\x1e\x1f") else str.split
        look_up = self._cache.__getitem__
        return (chain.from_iterable(map(look_up, split(text))) for text in texts)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text of any length, without start and end."""
        return list(next(self._ids_of(_checked([text]))))

    def decode(self, ids) -> str:
        """Return the text of ids (a list or a 1-D tensor): words with a space between, no start or end."""
        ids = [int(i) for i in ids]
        if unknown := [i for i in ids if not 0 <= i < self.vocab_size]:
            raise TokenizerError(f"id {unknown[0]} is not in the vocabulary: ids are 0 to {self.vocab_size - 1}.")
        return b"".join(self._token_bytes[i] for i in ids if i < self.sot_id).decode(errors="replace").rstrip(" ")

    def pieces(self, ids) -> list[str]:
        """What each id stands for; a word's last piece ends with a space, a byte that is no letter alone is \ufffd."""
        names = {self.sot_id: START, self.eos_id: END}
        return [names.get(i) or self._token_bytes[i].decode(errors="replace") for i in map(int, ids)]

    def show_work(self, text: str) -> list[Step]:
        """Return every step from a text of at most 1,000 characters to its ids: print them to see how it is read."""
        length = len(_checked([text])[0])
        if length > SHOW_LIMIT:
            raise TokenizerError(f"the text has {length} characters; show_work shows at most {SHOW_LIMIT}. Use encode.")
        steps = []
        for part in [repair_text(text)] if self.repair else bpe.SPECIAL.split(text):
            clean = " ".join(part.lower().split()) if self.repair else normalise(part)
            steps += [Step("clean", repr(clean))] if clean and part not in (START, END) else []
            steps += chain.from_iterable(map(self._show_word, self._words(part)))
        return steps

    def _show_word(self, word: str):
        """Yield the steps of one word; every merge is made wherever it fits, as in training."""
        if word in (START, END):
            yield Step("ids", str(self.vocab[word]), (word,))
            return
        names, ids = list(self.vocab), word_ids(word)
        yield Step("word", repr(word), tuple(names[i] for i in ids))
        while found := [(self._pair_to_id[p], p) for p in pairwise(ids) if p in self._pair_to_id]:
            new_id, pair = min(found)
            ids = merge_pair(ids, pair, new_id)
            merge = f"#{new_id - bpe.FIRST_MERGE} {names[pair[0]]} + {names[pair[1]]}"
            yield Step("merge", merge, tuple(names[i] for i in ids))
        yield Step("ids", " ".join(map(str, ids)), tuple(names[i] for i in ids))

    def token_lists(self, texts: str | list[str], truncate: bool = False) -> list[list[int]]:
        """Return the ids of each of N captions with start and end; one str counts as one caption. truncate: cut one
        that is too long to its first context_length - 1 ids and the end id; without it, it is a TokenLimitError."""
        start, end, limit = self.sot_id, self.eos_id, self.context_length
        rows = [[start, *ids, end] for ids in self._ids_of(_checked(texts))]
        for n in [n for n, row in enumerate(rows) if len(row) > limit]:
            if not truncate:
                raise TokenLimitError(f"caption {n} has {len(rows[n])} tokens; the context is {limit} tokens (not "
                                      "characters). Shorten it or pass truncate=True.")
            rows[n][limit - 1 :] = [end]
        return rows

    def __call__(self, texts: str | list[str], truncate: bool = False, length: int | None = None) -> torch.Tensor:
        """Return N captions (see token_lists) as int64 (N, T), filled up with pad_id. T is length, or that of the
        longest caption: the text tower is causal and read at the end token, so what stands behind never matters."""
        rows = self.token_lists(texts, truncate)
        longest = max(map(len, rows), default=2)
        width = longest if length is None else length
        if not longest <= width <= self.context_length:
            raise TokenizerError(f"length is {length}; it must lie between the longest caption ({longest} tokens) and "
                                 f"the context ({self.context_length} tokens).")
        padded = chain.from_iterable(row + [self.pad_id] * (width - len(row)) for row in rows)
        return torch.from_numpy(np.fromiter(padded, np.int64)).reshape(len(rows), width)

    def save(self, folder) -> None:
        """Write vocab.json, merges.txt and tokenizer_config.json, which transformers opens as its own. Raises
        TokenizerError when a file cannot be written, or transformers would prefer a tokenizer.json there."""
        folder = Path(folder)
        if (other := folder / "tokenizer.json").exists():
            raise TokenizerError(f"{other} exists, and transformers would read it first. Delete it.")
        config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": self.context_length, "bos_token": START,
                  "eos_token": END, "pad_token": END, "unk_token": END, "repair": self.repair}
        contents = {folder / "merges.txt": "\n".join(["#version: 0.2", *map(" ".join, self.merges)]) + "\n",
                    folder / "vocab.json": json.dumps(self.vocab, ensure_ascii=False),
                    folder / "tokenizer_config.json": json.dumps(config, indent=2) + "\n"}
        try:
            for path, content in contents.items():
                with written_whole(path) as temporary:
                    temporary.write_text(content, encoding="utf-8", newline="\n")
        except CheckpointError as error:
            why = getattr(error.__cause__, "strerror", None) or error.__cause__
            raise TokenizerError(f"{path} could not be written: {why}. Free space or choose another folder.") from error

    @classmethod
    def load(cls, folder) -> "Tokenizer":
        """Open a folder that save() wrote, or one with the same three files from the hub. Raises TokenizerError when a
        file is missing or damaged, or vocab.json and merges.txt disagree."""
        paths = [Path(folder) / name for name in ("tokenizer_config.json", "vocab.json", "merges.txt")]
        config, vocab, merges = _read_json(paths[0]), _read_json(paths[1]), _pairs(paths[2], _read(paths[2]))
        if not isinstance(repair := config.get("repair", False), bool):
            raise TokenizerError(f"{paths[0]} says repair {repair!r}, which is true or false. {REMEDY}")
        try:
            tokenizer = cls(merges, config.get("model_max_length", 77), repair)
        except TokenizerError as error:
            where = paths[0] if "context_length" in str(error) else paths[2]
            raise TokenizerError(f"{where} is damaged: {error} {REMEDY}") from None
        if vocab != tokenizer.vocab:
            raise TokenizerError(f"{paths[1]} {_difference(vocab, tokenizer.vocab)}. {REMEDY}")
        return tokenizer

    @classmethod
    def from_merges_file(cls, path, context_length: int = 77, repair: bool = False) -> "Tokenizer":
        """Open CLIP's released merges, bpe_simple_vocab_16e6.txt.gz (or unpacked); 48,894 are used."""
        text = _read(path)
        try:
            return cls(_pairs(path, text, RELEASED_MERGES), context_length, repair)
        except TokenizerError as error:
            raise TokenizerError(f"{path} is not a merges file: {error}") from None


def _checked(texts) -> list[str]:
    """Return the captions as a list, or raise a TypeError that names the one which is no str."""
    texts = [texts] if isinstance(texts, str) else list(texts)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"caption {index} is of type {type(text).__name__}; a caption must be a str.")
    return texts


def _read(path) -> str:
    try:
        with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise OSError(f"it holds more than {LARGEST_FILE:,} bytes, which no vocabulary has")
        return data.decode("utf-8")
    except FileNotFoundError:
        raise TokenizerError(f"{path} is missing. {REMEDY}") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} cannot be read: {error}. {REMEDY}") from None


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(_read(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise TokenizerError(f"{path} is damaged: {error}. {REMEDY}") from None
    if not isinstance(content, dict):
        raise TokenizerError(f"{path} is damaged: it holds a {type(content).__name__}, not an object. {REMEDY}")
    return content


def _pairs(path, text: str, limit: int | None = None) -> list[tuple[str, str]]:
    """Return the pairs of a merges file; its first line is a header when it names a version."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    first = 1 if "#version" in lines[0] else 0
    merges: list = [tuple(line.split(" ")) for line in lines[first:][:limit] if line]
    for n, pair in enumerate(merges):
        if len(pair) != 2:
            raise TokenizerError(f"{path} is damaged: merge {n} is {' '.join(pair)!r}, not two tokens. {REMEDY}")
    return merges


def _difference(found: dict, expected: dict[str, int]) -> str:
    """Say in what vocab.json departs from the vocabulary that merges.txt makes."""
    if len(found) != len(expected):
        return f"has {len(found)} tokens where merges.txt makes {len(expected)}"
    if sorted(map(str, found.values())) != sorted(map(str, expected.values())):
        return f"is damaged: its ids are not 0 to {len(expected) - 1}, each once"
    token = next(token for token, i in expected.items() if found.get(token) != i)
    return f"says {found.get(token)} for {token!r} where merges.txt makes {expected[token]}"
