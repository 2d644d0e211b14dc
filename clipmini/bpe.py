"""Byte-pair encoding (BPE): from a text to words, from words to bytes, and merges that are learnt and applied.

Read on in the order of the work: byte_characters, split_words, learn_merges, merge_word.
Sources: Sennrich et al. 2016 (BPE), Radford et al. 2019 (bytes as the alphabet), Radford et al. 2021 (CLIP).
"""

import heapq
import unicodedata
from collections import Counter, defaultdict
from itertools import pairwise

import regex

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"  # marks the last piece of a word, so that "art" in "art" and in "party" are two tokens
BYTES, FIRST_MERGE = 256, 512  # ids below 512: a byte inside a word (0-255), a byte that ends a word (256-511)
NOT_A_MERGE = 1 << 62  # larger than any id, so that min() never picks it
LONG_WORD = 64  # bytes; from here on a heap beats a search through the whole word


class TokenizerError(ValueError):
    """Something is wrong with a text, with the merges or with a tokenizer folder."""


class TokenLimitError(TokenizerError):
    """A caption has more tokens than the text tower has positions."""


def byte_characters() -> dict[int, str]:
    """Give every byte a visible character, so that merges can be written to a text file. The 188 bytes that Latin-1
    prints keep theirs and come first, which is the order of CLIP's ids; the others borrow one from U+0100 on.

    >>> table = byte_characters()
    >>> table[ord("a")], table[ord(" ")], list(table)[:3]
    ('a', 'Ġ', [33, 34, 35])
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(BYTES) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(BYTES + n) for n, byte in enumerate(hidden)}


BYTE_CHARACTERS = byte_characters()
SINGLE = [*BYTE_CHARACTERS.values(), *(c + WORD_END for c in BYTE_CHARACTERS.values())]  # the tokens before any merge
BYTE_TO_ID = bytes(list(BYTE_CHARACTERS).index(byte) for byte in range(BYTES))  # a table for bytes.translate
# Contractions, runs of letters, single digits, runs of anything else. White space only separates.
WORDS = regex.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
SPECIAL = regex.compile(r"(<\|startoftext\|>|<\|endoftext\|>)")
NOT_SPACE = regex.compile(r"\S+")


def normalise(text: str) -> str:
    """Compose accents (NFC), collapse white space and lower the case, as transformers' CLIPTokenizer does.

    >>> normalise("Cafe\\u0301  ΣΑΣ")
    'café σασ'
    """
    text = " ".join(NOT_SPACE.findall(unicodedata.normalize("NFC", text)))
    return text.replace("Σ", "σ").lower()  # str.lower() alone would write a sigma at a word's end as a final sigma


def split_words(text: str) -> list[str]:
    """Cut a normalised text into the words inside which merges happen.

    >>> split_words("it's 2 cats, really!?")
    ['it', "'s", '2', 'cats', ',', 'really', '!?']
    """
    words = WORDS.findall(text)
    if "<|" in text:  # it was "<|EndOfText|>" in a caption, no special token: transformers cuts it once more
        words = [p for w in words for p in (regex.findall(r"\p{L}+|\P{L}+", w) if w in (START, END) else [w])]
    return words


def word_ids(word: str) -> list[int]:
    """Return a word as ids of its UTF-8 bytes, the last one marked as the word's end."""
    try:
        ids = list(word.encode("utf-8").translate(BYTE_TO_ID))
    except UnicodeEncodeError as error:
        raise TokenizerError(f"the text holds {word[error.start]!r}, half of a surrogate pair, which no UTF-8 text may "
                             "hold. Read the file as UTF-8, or make the tokenizer with repair=True.") from None
    ids[-1] += BYTES
    return ids


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
    """Merge the most frequent neighbouring pair, n_merges times; a tie goes to the pair of smaller ids. words: each
    with its count. Returns the merges in order, as pairs of strings; fewer when every word has become one token."""
    spelled = {word: word_ids(word) for word in words}
    tokens, known = list(SINGLE), set(SINGLE)
    merges: list[tuple[str, str]] = []
    counts: Counter[tuple[int, int]] = Counter()  # of each pair: how often it occurs,
    holders = defaultdict(set)  # and in which words
    for word, ids in spelled.items():
        for pair in pairwise(ids):
            counts[pair] += words[word]
            holders[pair].add(word)
    heap = sorted((-count, pair) for pair, count in counts.items())  # a sorted list is a heap
    while heap and len(merges) < n_merges:
        count, pair = heapq.heappop(heap)
        left, right = tokens[pair[0]], tokens[pair[1]]
        if -count != counts[pair] or left + right in known:  # an old count, or a second way to a known token
            continue
        merges.append((left, right))
        known.add(left + right)
        tokens.append(left + right)
        changed: set[tuple[int, int]] = set()
        for word in holders.pop(pair):  # only the words that hold the pair are counted again
            old = spelled[word]
            new = spelled[word] = merge_pair(old, pair, len(tokens) - 1)
            for gone in pairwise(old):
                counts[gone] -= words[word]
            for made in pairwise(new):
                counts[made] += words[word]
                holders[made].add(word)
            changed.update(pairwise(old), pairwise(new))
        for pair in changed:
            if counts[pair]:
                heapq.heappush(heap, (-counts[pair], pair))
    return merges


def merge_word(ids: list[int], pair_to_id: dict[tuple[int, int], int]) -> list[int]:
    """Apply the earliest learnt merge that fits, until none fits. Ids of merges rise in the order of learning, so the
    id of the merged pair is its rank as well. Only the two pairs beside a merge change; the other ranks are kept.

    >>> merge_word([1, 2, 3], {(2, 3): 512, (1, 2): 513, (1, 512): 514})
    [514]
    """
    rank = pair_to_id.get
    ranks = [rank(pair, NOT_A_MERGE) for pair in pairwise(ids)]
    while ranks and (best := min(ranks)) != NOT_A_MERGE:
        i = ranks.index(best)
        ids[i : i + 2] = [best]
        del ranks[i]
        if i > 0:
            ranks[i - 1] = rank((ids[i - 1], best), NOT_A_MERGE)
        if i < len(ranks):
            ranks[i] = rank((best, ids[i + 1]), NOT_A_MERGE)
    return ids


def merge_long_word(ids: list[int], pair_to_id: dict[tuple[int, int], int]) -> list[int]:
    """Give the same result as merge_word in n log n steps: a heap of candidate merges over a linked list. Without it, a
    pasted line of a million letters would take days."""
    ids = [*ids, -1]  # -1 is in no pair: it closes the word, and stands for what its left neighbour has swallowed
    before, after = list(range(-1, len(ids) - 1)), list(range(1, len(ids) + 1))
    heap = sorted((pair_to_id[p], i) for i, p in enumerate(pairwise(ids)) if p in pair_to_id)
    while heap:
        best, i = heapq.heappop(heap)  # the earliest merge, and of equal ones the leftmost
        j = after[i]
        if pair_to_id.get((ids[i], ids[j])) != best:
            continue  # one of the two was merged away since
        ids[i], ids[j] = best, -1
        after[i], before[after[j]] = after[j], i
        for left, right in ((before[i], i), (i, after[i])):
            if (ids[left], ids[right]) in pair_to_id:
                heapq.heappush(heap, (pair_to_id[ids[left], ids[right]], left))
    return [i for i in ids if i >= 0]
