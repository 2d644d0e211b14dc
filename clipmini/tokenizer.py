"""Byte-level byte-pair encoding (BPE), as CLIP uses it: from a caption to the ids that the text tower reads.

Reading order is the order of the work: bytes to characters, a caption to words, training, merging one
word, and then the Tokenizer that puts them together.
Sources: Sennrich et al. 2016 (BPE), Radford et al. 2019 (bytes as the alphabet), Radford et al. 2021 (CLIP).
"""

import gzip
import heapq
import html
import json
import os
import unicodedata
import warnings
import zlib
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import regex
import torch

START = "<|startoftext|>"
END = "<|endoftext|>"
WORD_END = "</w>"  # marks the last piece of a word, so that "art" in "art" and in "party" are two tokens
BYTES = 256
FIRST_MERGE = 2 * BYTES  # ids below: a byte inside a word (0-255), a byte that ends a word (256-511)
RELEASED_MERGES = 48_894  # OpenAI's file lists 262,144 merges, its models know the first of them
NOT_A_MERGE = 1 << 62  # larger than any id, so that min() never picks it
LONG_WORD = 64  # bytes; from here on a heap beats a search through the whole word
CACHE_SIZE, CACHED_CHARACTERS, CACHED_IDS = 1 << 16, 128, 32  # chunks remembered, and how large they may be
SHOW_LIMIT = 1_000  # characters; every merge shows all pieces, so the output grows with the square


class TokenizerError(ValueError):
    """Something is wrong with a text, with the merges or with a tokenizer folder."""


class TokenLimitError(TokenizerError):
    """A caption has more tokens than the text tower has positions."""


# ---- 1. Bytes as printable characters ------------------------------------------------------------------


def byte_characters() -> dict[int, str]:
    """Give every byte a visible character, so that merges can be written to a text file.

    The 188 bytes that Latin-1 prints keep their character; the others borrow one from U+0100 on. The
    order of the dict is the order of CLIP's first 256 ids: the printable ones come first.

    >>> table = byte_characters()
    >>> table[ord("a")], table[ord(" ")], list(table)[:3]
    ('a', 'Ġ', [33, 34, 35])
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(BYTES) if byte not in printable]
    table = {byte: chr(byte) for byte in printable}
    return table | {byte: chr(BYTES + n) for n, byte in enumerate(hidden)}


BYTE_CHARACTERS = byte_characters()
# bytes.translate with this table turns a byte into its id: the id is the byte's place in the table above.
BYTE_TO_ID = bytes(list(BYTE_CHARACTERS).index(byte) for byte in range(BYTES))


# ---- 2. From a caption to words ------------------------------------------------------------------------

# Contractions, runs of letters, single digits, runs of anything else. White space only separates.
WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
)
LETTERS_OR_NOT = regex.compile(r"\p{L}+|\P{L}+")
SPECIAL = regex.compile(r"(<\|startoftext\|>|<\|endoftext\|>)")
NOT_SPACE = regex.compile(r"\S+")
# str.split() takes these four for white space; Unicode's White_Space property and regex's \s do not.
SEPARATORS = "\x1c\x1d\x1e\x1f"


def normalise(text: str) -> str:
    """Compose accents (NFC), collapse white space and lower the case, as transformers' CLIPTokenizer does.

    str.lower() writes a sigma at a word's end as a final sigma; transformers lowers letter by letter.

    >>> normalise("Cafe\\u0301  ΣΑΣ")
    'café σασ'
    """
    text = " ".join(NOT_SPACE.findall(unicodedata.normalize("NFC", text)))
    return text.replace("Σ", "σ").lower()


def repair_text(text: str) -> str:
    """Mend broken Unicode and HTML entities, as OpenAI's code does before anything else.

    Printable ASCII without "&" is returned at once: nothing in it is broken (a test asks ftfy).

    >>> repair_text("fish &amp;amp; chips ")
    'fish & chips'
    """
    if text.isascii() and "&" not in text and text.isprintable():
        return text.strip()
    try:
        import ftfy  # costs a tenth of a second, which most captions never need
    except ModuleNotFoundError:
        raise ImportError("repair=True needs ftfy for this text: pip install ftfy") from None
    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def split_words(text: str) -> list[str]:
    """Cut a normalised text into the words inside which merges happen.

    >>> split_words("it's 2 cats, really!?")
    ['it', "'s", '2', 'cats', ',', 'really', '!?']
    """
    words = WORDS.findall(text)
    if "<|" not in text:
        return words
    # Only "<|ENDOFTEXT|>" in other case gets here: transformers cuts it once more, so it is no special token.
    pairs = (LETTERS_OR_NOT.findall(word) if word in (START, END) else [word] for word in words)
    return list(chain.from_iterable(pairs))


def text_bytes(word: str) -> bytes:
    """Return the UTF-8 bytes of a word, or raise a TokenizerError for half of a surrogate pair."""
    try:
        return word.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"the text holds {word[error.start]!r}, half of a surrogate pair, which no UTF-8 text may hold. "
            "Read the file as UTF-8, or make the tokenizer with repair=True."
        ) from None


def word_ids(word: str) -> list[int]:
    """Return a word as ids of single bytes, the last one marked as the word's end."""
    ids = list(text_bytes(word).translate(BYTE_TO_ID))
    ids[-1] += BYTES
    return ids


# ---- 3. Training: which pairs become tokens? -----------------------------------------------------------


def count_words(texts) -> Counter:
    """Count the words of all texts: a merge is decided once for a word, however often it occurs."""
    chunks = Counter(chain.from_iterable(map(NOT_SPACE.findall, texts)))
    words = Counter()
    for chunk, count in chunks.items():
        for part in SPECIAL.split(chunk)[::2]:  # the odd parts are the special tokens themselves
            for word in split_words(normalise(part)):
                words[word] += count
    return words


def merge_pair(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """Replace every occurrence of the pair by the new id, from left to right.

    >>> merge_pair([1, 1, 1, 2], (1, 1), 9)
    [9, 1, 2]
    """
    merged, i = [], 0
    while i < len(ids):
        found = tuple(ids[i : i + 2]) == pair
        merged.append(new_id if found else ids[i])
        i += 2 if found else 1
    return merged


def learn_merges(words: dict[str, int], n_merges: int) -> list[tuple[str, str]]:
    """Merge the most frequent neighbouring pair, n_merges times; a tie goes to the pair of smaller ids.

    Pair counts are kept up to date: after a merge only the words that hold the pair are counted again.
    The heap may hold old counts of a pair; a popped entry counts only while it is still true.

    Args:
        words: each word with its count.
        n_merges: how many merges to learn; fewer come back when every word has become one token.
    Returns:
        the merges in order, as pairs of token strings.
    """
    spelled = [(word_ids(word), count) for word, count in words.items()]
    tokens = list(BYTE_CHARACTERS.values()) + [c + WORD_END for c in BYTE_CHARACTERS.values()]
    known, merges = set(tokens), []
    counts, places = Counter(), defaultdict(set)
    for place, (ids, count) in enumerate(spelled):
        for pair in pairwise(ids):
            counts[pair] += count
            places[pair].add(place)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    while heap and len(merges) < n_merges:
        count, pair = heapq.heappop(heap)
        name = tokens[pair[0]] + tokens[pair[1]]
        if -count != counts[pair] or name in known:  # an old count, or a second way to a known token
            continue
        merges.append((tokens[pair[0]], tokens[pair[1]]))
        known.add(name)
        tokens.append(name)
        for changed in _apply_merge(spelled, pair, len(tokens) - 1, counts, places):
            if counts[changed]:
                heapq.heappush(heap, (-counts[changed], changed))
    return merges


def _apply_merge(spelled, pair, new_id, counts, places) -> set[tuple[int, int]]:
    """Merge the pair in every word that holds it; return the pairs whose counts have changed."""
    changed = set()
    for place in places.pop(pair):
        old, count = spelled[place]
        new = merge_pair(old, pair, new_id)
        spelled[place] = (new, count)
        for neighbours in pairwise(old):
            counts[neighbours] -= count
            changed.add(neighbours)
        for neighbours in pairwise(new):
            counts[neighbours] += count
            places[neighbours].add(place)
            changed.add(neighbours)
    return changed


# ---- 4. Merging one word -------------------------------------------------------------------------------


def merge_word(ids: list[int], pair_to_id: dict[tuple[int, int], int]) -> list[int]:
    """Apply the earliest learnt merge that fits, until none fits.

    Ids of merges rise in the order of learning, so the id of the merged pair is its rank as well, and the
    smallest one comes first. Only the two pairs beside a merge change; the other ranks are kept.

    >>> merge_word([1, 2, 3], {(2, 3): 512, (1, 2): 513, (1, 512): 514})
    [514]
    """
    rank = pair_to_id.get
    ranks = [rank(pair, NOT_A_MERGE) for pair in pairwise(ids)]
    while ranks:
        best = min(ranks)
        if best == NOT_A_MERGE:
            break
        i = ranks.index(best)
        ids[i : i + 2] = [best]
        del ranks[i]
        if i > 0:
            ranks[i - 1] = rank((ids[i - 1], best), NOT_A_MERGE)
        if i < len(ranks):
            ranks[i] = rank((best, ids[i + 1]), NOT_A_MERGE)
    return ids


def merge_long_word(ids: list[int], pair_to_id: dict[tuple[int, int], int]) -> list[int]:
    """Give the same result as merge_word in n log n steps: a heap of candidate merges over a linked list.

    Without it, one pasted line of a million letters would take days.
    """
    size = len(ids)
    before, after = list(range(-1, size - 1)), list(range(1, size + 1))
    heap = [(pair_to_id[p], i) for i, p in enumerate(pairwise(ids)) if p in pair_to_id]
    heapq.heapify(heap)  # (rank, place): the earliest merge first, and of equal ones the leftmost
    while heap:
        best, i = heapq.heappop(heap)
        j = after[i]
        if j == size or pair_to_id.get((ids[i], ids[j])) != best:
            continue  # one of the two was merged away since
        ids[i], ids[j] = best, -1  # -1: swallowed by its left neighbour; in no pair
        after[i] = after[j]
        if after[i] < size:
            before[after[i]] = i
        for left, right in ((before[i], i), (i, after[i])):
            if left >= 0 and right < size and (ids[left], ids[right]) in pair_to_id:
                heapq.heappush(heap, (pair_to_id[ids[left], ids[right]], left))
    return [i for i in ids if i >= 0]


# ---- 5. The tokenizer ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One step of the work: what was done (clean, word, merge, ids), to what, and the pieces after it."""

    name: str
    detail: str
    pieces: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name:6} {self.detail:24} {' | '.join(self.pieces)}".rstrip()


class _ChunkCache(dict):
    """Remember the ids of white-space separated chunks; a new chunk is encoded at its first look-up.

    Being a dict, it answers a known chunk without a line of Python run: that is the tokenizer's speed.
    """

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

    Ids: 256 bytes, 256 bytes that end a word, one id for a merge, <|startoftext|>, <|endoftext|>.
    A caption that spells a special token in full ("<|endoftext|>") gets its id, as it does in transformers
    (OpenAI's code takes it in any case). The text tower pools at the first end token, so what follows it
    has no say in the feature: a warning tells. A character newer than the Unicode tables of Python or of
    `regex` may be cut otherwise than by transformers.

    Args:
        merges: pairs of token strings in the order of learning.
        context_length: the longest caption in tokens, start and end included.
        repair: mend broken Unicode and HTML entities first, as OpenAI's code does (needs ftfy).
    Raises:
        TokenizerError: a merge is there twice, or uses a token that no merge before it made.
    """

    def __init__(self, merges: list[tuple[str, str]], context_length: int = 77, repair: bool = False):
        if not isinstance(context_length, int) or context_length < 3:
            raise TokenizerError(
                f"context_length is {context_length!r}; it must be a whole number of at least 3."
            )
        self.merges = [tuple(pair) for pair in merges]
        self.context_length = context_length
        self.repair = bool(repair)
        single = list(BYTE_CHARACTERS.values())
        self.vocab = {token: i for i, token in enumerate(single + [c + WORD_END for c in single])}
        self._pair_to_id: dict[tuple[int, int], int] = {}
        alphabet = [bytes([byte]) for byte in BYTE_CHARACTERS]
        self._token_bytes = alphabet + [byte + b" " for byte in alphabet]
        for number, pair in enumerate(self.merges):
            self._add_merge(number, pair)
        self.sot_id = self.vocab[START] = len(self.vocab)
        self.eos_id = self.vocab[END] = len(self.vocab)
        self.pad_id = self.eos_id
        self.vocab_size = len(self.vocab)
        self._cache = _ChunkCache(self._encode_chunk)

    def _add_merge(self, number: int, pair: tuple[str, str]) -> None:
        ids = tuple(self.vocab.get(token) for token in pair)
        if len(ids) != 2 or None in ids:
            raise TokenizerError(
                f"merge {number} is {pair!r}: it must be two tokens that bytes or earlier merges make."
            )
        name = pair[0] + pair[1]
        if name in self.vocab or name in (START, END):
            raise TokenizerError(
                f"merge {number} makes {name!r} again. Each token may be made once; delete this merge."
            )
        self._pair_to_id[ids] = self.vocab[name] = len(self.vocab)
        self._token_bytes.append(self._token_bytes[ids[0]] + self._token_bytes[ids[1]])

    def __reduce__(self):  # what a worker process needs; the cache stays behind
        return Tokenizer, (self.merges, self.context_length, self.repair)

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocab_size} ids, context_length={self.context_length}, repair={self.repair})"

    @classmethod
    def train(cls, texts, vocab_size: int, context_length: int = 77) -> "Tokenizer":
        """Learn merges from texts; the same texts in any order give the same tokenizer.

        Args:
            texts: an iterable of str.
            vocab_size: ids in all, at least 514 (the bytes, and start and end); fewer when the texts hold
                nothing more to merge.
        """
        if vocab_size < FIRST_MERGE + 2:
            raise TokenizerError(
                f"vocab_size is {vocab_size}; bytes and special tokens are {FIRST_MERGE + 2}. Ask for more."
            )
        return cls(learn_merges(count_words(_checked(texts)), vocab_size - FIRST_MERGE - 2), context_length)

    # -- text to ids and back

    def _encode_word(self, word: str) -> list[int]:
        ids = word_ids(word)
        return (merge_word if len(ids) < LONG_WORD else merge_long_word)(ids, self._pair_to_id)

    def _encode_chunk(self, chunk: str) -> list[int]:
        """Return the ids of a text without white space."""
        if chunk.isascii() and chunk.isalpha():  # the common case needs no pattern
            return self._encode_word(chunk.lower())
        if START in chunk or END in chunk:
            return self._encode_special(chunk)
        ids = []
        for word in split_words(normalise(chunk)):
            plain = word != chunk and word.isascii()  # "dog," and "dog" share the work
            ids += self._cache[word] if plain else self._encode_word(word)
        return ids

    def _encode_special(self, chunk: str) -> list[int]:
        warnings.warn(
            f"a caption spells a special token: {chunk[:40]!r}. "
            "What follows an end token does not reach the feature.",
            stacklevel=2,
        )
        parts = filter(None, SPECIAL.split(chunk))
        return [i for p in parts for i in ([self.vocab[p]] if p in (START, END) else self._encode_chunk(p))]

    def _ids_of(self, texts: list[str]) -> list:
        """Return an iterator over the ids of each text; everything is decided chunk by chunk."""
        if self.repair:
            texts = [repair_text(text) for text in texts]
        joined = "".join(texts)
        split = NOT_SPACE.findall if any(c in joined for c in SEPARATORS) else str.split
        look_up = self._cache.__getitem__
        return (chain.from_iterable(map(look_up, split(text))) for text in texts)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text of any length, without start and end."""
        return list(next(iter(self._ids_of(_checked([text])))))

    def decode(self, ids) -> str:
        """Return the text of ids (a list or a 1-D tensor): words with a space between, no start or end.

        Raises:
            TokenizerError: an id is not in the vocabulary.
        """
        ids = [int(i) for i in ids]
        for i in ids:
            if not 0 <= i < self.vocab_size:
                raise TokenizerError(f"id {i} is not in the vocabulary: ids are 0 to {self.vocab_size - 1}.")
        data = b"".join(self._token_bytes[i] for i in ids if i < self.sot_id)
        return data.decode("utf-8", errors="replace").rstrip(" ")

    def pieces(self, ids) -> list[str]:
        """What each id stands for; a word's last piece ends with a space, a byte that is no letter alone is \ufffd."""
        names = {self.sot_id: START, self.eos_id: END}
        return [names.get(i) or self._token_bytes[i].decode("utf-8", errors="replace") for i in map(int, ids)]

    def show_work(self, text: str) -> list[Step]:
        """Return every step from the text to its ids: print them to see how a caption is read.

        Raises:
            TokenizerError: the text has more than 1,000 characters; encode() takes it.
        """
        text = _checked([text])[0]
        if len(text) > SHOW_LIMIT:
            raise TokenizerError(
                f"the text has {len(text)} characters; show_work shows at most {SHOW_LIMIT}. Use encode."
            )
        mended = repair_text(text) if self.repair else text
        steps = []
        for part in SPECIAL.split(mended):
            if part in (START, END):
                steps.append(Step("ids", str(self.vocab[part]), (part,)))
            elif clean := normalise(part):
                steps.append(Step("clean", repr(clean)))
                steps += chain.from_iterable(map(self._show_word, split_words(clean)))
        return steps

    def _show_word(self, word: str) -> list[Step]:
        names = list(self.vocab)
        ids = word_ids(word)
        steps = [Step("word", repr(word), tuple(names[i] for i in ids))]
        while found := [self._pair_to_id[p] for p in pairwise(ids) if p in self._pair_to_id]:
            left, right = self.merges[min(found) - FIRST_MERGE]
            ids = merge_pair(ids, (self.vocab[left], self.vocab[right]), min(found))
            merge = f"#{min(found) - FIRST_MERGE} {left} + {right}"
            steps.append(Step("merge", merge, tuple(names[i] for i in ids)))
        return [*steps, Step("ids", " ".join(map(str, ids)), tuple(names[i] for i in ids))]

    # -- batches

    def token_lists(self, texts: str | list[str], truncate: bool = False) -> list[list[int]]:
        """Return the ids of each caption with start and end; one str counts as one caption.

        Args:
            texts: N captions.
            truncate: cut a caption that is too long: its first context_length - 1 ids, then the end id.
        Raises:
            TokenLimitError: a caption is too long and truncate is False. Nothing is cut in silence.
            TypeError: a caption is not a str.
        """
        start, end, limit = self.sot_id, self.eos_id, self.context_length
        rows = [[start, *ids, end] for ids in self._ids_of(_checked(texts))]
        if max(map(len, rows), default=0) <= limit:
            return rows
        if not truncate:
            index, row = next((i, row) for i, row in enumerate(rows) if len(row) > limit)
            raise TokenLimitError(
                f"caption {index} has {len(row)} tokens; the context is {limit} tokens (not characters). "
                "Shorten it or pass truncate=True."
            )
        return [row if len(row) <= limit else [*row[: limit - 1], end] for row in rows]

    def __call__(
        self, texts: str | list[str], truncate: bool = False, length: int | None = None
    ) -> torch.Tensor:
        """Return the captions as one batch of ids.

        The batch is as wide as its longest caption: the text tower is causal and is read at the end token, so
        what stands behind it never matters.

        Args:
            texts: N captions.
            truncate: see token_lists.
            length: pad to this many tokens instead, at most context_length.
        Returns:
            int64 (N, T), filled up with pad_id.
        """
        rows = self.token_lists(texts, truncate)
        longest = max(map(len, rows), default=2)
        width = longest if length is None else length
        if not longest <= width <= self.context_length:
            raise TokenizerError(
                f"length is {length}; it must lie between the longest caption ({longest} tokens) and the "
                f"context ({self.context_length} tokens)."
            )
        ids = torch.full((len(rows), width), self.pad_id)  # (N, T)
        if rows:
            lengths = torch.tensor([len(row) for row in rows])
            flat = array("q", chain.from_iterable(rows))  # ten times faster than torch.tensor on lists
            ids[torch.arange(width) < lengths[:, None]] = torch.frombuffer(flat, dtype=torch.long)
        return ids

    # -- files

    def save(self, folder) -> None:
        """Write vocab.json, merges.txt and tokenizer_config.json, which transformers opens as its own.

        Raises:
            TokenizerError: a file cannot be written, or transformers would prefer a tokenizer.json there.
        """
        folder = Path(folder)
        if (folder / "tokenizer.json").exists():
            raise TokenizerError(
                f"{folder / 'tokenizer.json'} exists, and transformers would read it first. Delete it."
            )
        config = {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": self.context_length,
            "bos_token": START,
            "eos_token": END,
            "pad_token": END,
            "unk_token": END,
            "repair": self.repair,
        }
        _write(folder / "merges.txt", "\n".join(["#version: 0.2", *map(" ".join, self.merges)]) + "\n")
        _write(folder / "vocab.json", json.dumps(self.vocab, ensure_ascii=False))
        _write(folder / "tokenizer_config.json", json.dumps(config, indent=2) + "\n")

    @classmethod
    def load(cls, folder) -> "Tokenizer":
        """Open a folder that save() wrote, or one with the same three files from the hub.

        Raises:
            TokenizerError: a file is missing or damaged, or vocab.json and merges.txt disagree.
        """
        folder = Path(folder)
        config = _read_json(folder / "tokenizer_config.json")
        vocab = _read_json(folder / "vocab.json")
        path = folder / "merges.txt"
        merges = _parse_merges(path, _read(path))
        try:
            tokenizer = cls(merges, config.get("model_max_length", 77), config.get("repair", False))
        except TokenizerError as error:
            where = folder / "tokenizer_config.json" if "context_length" in str(error) else path
            raise TokenizerError(f"{where} is damaged: {error} {REMEDY}") from None
        _check_vocab(folder / "vocab.json", vocab, tokenizer.vocab)
        return tokenizer

    @classmethod
    def from_merges_file(cls, path, context_length: int = 77, repair: bool = False) -> "Tokenizer":
        """Open CLIP's released merges, bpe_simple_vocab_16e6.txt.gz (or unpacked); 48,894 are used."""
        text = _read(path, packed=str(path).endswith(".gz"))
        try:
            return cls(_parse_merges(path, text, RELEASED_MERGES), context_length, repair)
        except TokenizerError as error:
            raise TokenizerError(f"{path} is not a merges file: {error}") from None


def _checked(texts) -> list[str]:
    """Return the captions as a list, or raise a TypeError that names the one which is no str."""
    texts = [texts] if isinstance(texts, str) else list(texts)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"caption {index} is of type {type(text).__name__}; a caption must be a str.")
    return texts


# ---- 6. Files ------------------------------------------------------------------------------------------

REMEDY = "Copy the whole folder again, or write it anew with Tokenizer.save."


def _write(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it: a full disk leaves the old file whole."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(text, encoding="utf-8", newline="\n")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise TokenizerError(
            f"{path} could not be written: {error.strerror or error}. Free space or choose another folder."
        ) from error


def _read(path, packed: bool = False) -> str:
    try:
        data = Path(path).read_bytes()
        return (gzip.decompress(data) if packed else data).decode("utf-8")
    except FileNotFoundError:
        raise TokenizerError(f"{path} is missing. {REMEDY}") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} cannot be read: {error}. {REMEDY}") from None


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise TokenizerError(f"{path} is damaged: {error}. {REMEDY}") from None
    if not isinstance(content, dict):
        raise TokenizerError(
            f"{path} is damaged: it holds a {type(content).__name__}, not an object. {REMEDY}"
        )
    return content


def _parse_merges(path, text: str, limit: int | None = None) -> list[tuple[str, str]]:
    """Return the pairs of a merges file; its first line is a header when it names a version."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    first = 1 if "#version" in lines[0] else 0
    merges = [tuple(line.split(" ")) for line in lines[first:][:limit] if line]
    for number, pair in enumerate(merges):
        if len(pair) != 2:
            raise TokenizerError(
                f"{path} is damaged: merge {number} is {' '.join(pair)!r}, not two tokens. {REMEDY}"
            )
    return merges


def _check_vocab(path: Path, found: dict, expected: dict[str, int]) -> None:
    if found == expected:
        return
    if len(found) != len(expected):
        raise TokenizerError(
            f"{path} has {len(found)} tokens where merges.txt makes {len(expected)}. {REMEDY}"
        )
    if sorted(map(str, found.values())) != sorted(map(str, expected.values())):
        raise TokenizerError(
            f"{path} is damaged: its ids are not 0 to {len(expected) - 1}, each once. {REMEDY}"
        )
    token = next(token for token, i in expected.items() if found.get(token) != i)
    raise TokenizerError(
        f"{path} says {found.get(token)} for {token!r} where merges.txt makes {expected[token]}. {REMEDY}"
    )
