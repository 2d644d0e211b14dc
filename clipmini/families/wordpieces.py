"""WordPiece, the tokenizer of BERT: for the sentence encoder of the photo model, and for Chinese-CLIP.

Its work is done by the library tokenizers; CLIP's own tokenizer is in tokenizer.py.
"""

from pathlib import Path
from typing import Any

from clipmini.tokenizer import TokenLimitError


def check_lengths(lists: list[list[int]], context_length: int) -> None:
    """Raise TokenLimitError that names the first text with more ids than the context has places."""
    long = next((i for i, ids in enumerate(lists) if len(ids) > context_length), None)
    if long is not None:
        raise TokenLimitError(f"text {long} has {len(lists[long])} tokens; the context is {context_length} tokens (not "
                              "characters). Shorten it or pass truncate=True.")


class WordPieces:
    """BERT's tokenizer with the methods of our Tokenizer that an Embedder needs.

    path: a tokenizer.json, or a vocab.txt of pieces; context_length: the longest text in tokens; options: lowercase,
    strip_accents and handle_chinese_chars for a vocab.txt, whose defaults are BERT's: True, as lowercase, True.
    """

    def __init__(self, path: Path, context_length: int, **options: bool):
        from tokenizers import BertWordPieceTokenizer, Tokenizer

        path = Path(path)
        make: Any = BertWordPieceTokenizer if path.suffix == ".txt" else Tokenizer.from_file
        self._pieces = make(str(path), **options)
        self._pieces.no_truncation()
        self._pieces.no_padding()
        self.context_length = context_length
        special = ("[CLS]", "[SEP]", "[PAD]", "[UNK]")
        self.sot_id, self.eos_id, self.pad_id, self.unk_id = map(self._pieces.token_to_id, special)
        self.vocab_size = self._pieces.get_vocab_size()

    def vocabulary(self) -> dict[str, int]:
        """Each piece with its id."""
        return self._pieces.get_vocab()

    def encode(self, text: str) -> list[int]:
        """Ids without start and end; a letter or word that the vocabulary lacks is one [UNK] for each of its bytes."""
        found = self._pieces.encode(text, add_special_tokens=False)
        unknown = [len(text[a:b].encode()) for a, b in found.offsets]
        return [i for i, n in zip(found.ids, unknown, strict=True) for _ in range(n if i == self.unk_id else 1)]

    def pieces(self, ids) -> list[str]:
        """What each id stands for."""
        return [self._pieces.id_to_token(int(i)) for i in ids]

    def token_lists(self, texts: list[str], truncate: bool = False) -> list[list[int]]:
        """N texts -> N lists of ids with start and end. Raises TokenLimitError beyond the context unless truncate."""
        lists = [found.ids for found in self._pieces.encode_batch(list(texts))]
        if not truncate:
            check_lengths(lists, self.context_length)
        T = self.context_length
        return [ids if len(ids) <= T else [*ids[:T - 1], self.eos_id] for ids in lists]
