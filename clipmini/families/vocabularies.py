"""The vocabularies of published models: CLIP's byte pairs, and BERT's word pieces."""

import importlib.util
from pathlib import Path

from clipmini.config import TextConfig
from clipmini.families.wordpieces import WordPieces
from clipmini.files import CheckpointError, read_json
from clipmini.tokenizer import Tokenizer, TokenizerError


def released_merges() -> Path | None:
    """CLIP's released vocabulary on this computer: in the package open_clip (or clip), which is not imported."""
    for package in ("open_clip", "clip"):
        spec = importlib.util.find_spec(package)
        path = spec and spec.origin and Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
        if path and path.is_file():
            return path
    return None


def read_tokenizer(folder: Path, text: TextConfig, repair: bool) -> Tokenizer:
    """The tokenizer of a folder with merges.txt, tokenizer.json or OpenAI's merges; else the released one.

    repair: mend broken Unicode first, as OpenAI's and open_clip's code does; transformers' does not. Needs ftfy.
    """
    repair = repair and importlib.util.find_spec("ftfy") is not None
    try:
        if (folder / "merges.txt").is_file():
            tokenizer = Tokenizer.from_merges_file(folder / "merges.txt", text.context_length, repair)
        elif (folder / "tokenizer.json").is_file():
            merges = read_json(folder / "tokenizer.json").get("model", {}).get("merges", [])
            merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in merges]
            tokenizer = Tokenizer(merges, text.context_length, repair)
        else:
            places = (folder / "bpe_simple_vocab_16e6.txt.gz", released_merges())
            path = next((p for p in places if p and p.is_file()), None)
            if path is None:
                raise CheckpointError(
                    f"{str(folder)!r} brings no vocabulary, and CLIP's released one is not on this computer. Either "
                    "put bpe_simple_vocab_16e6.txt.gz (from OpenAI's repository) beside the weights, or: "
                    "pip install --no-deps open_clip_torch, which carries it")
            tokenizer = Tokenizer.from_merges_file(path, text.context_length, repair)
    except TokenizerError as error:
        raise CheckpointError(f"the vocabulary of {str(folder)!r} cannot be read: {error}") from error
    for name in ("vocab_size", "sot_id", "eos_id"):
        if getattr(tokenizer, name) != getattr(text, name):
            raise CheckpointError(f"{str(folder)!r} mixes two models: its vocabulary has {name} "
                                  f"{getattr(tokenizer, name)}, the configuration says {getattr(text, name)}; "
                                  "download all files of one model")
    return tokenizer


def chinese_tokenizer(folder: Path, text: TextConfig) -> WordPieces:
    """The word pieces of a Chinese-CLIP folder. Raises CheckpointError."""
    path = next((folder / name for name in ("vocab.txt", "tokenizer.json") if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"{str(folder)!r} has neither vocab.txt nor tokenizer.json; the download is incomplete")
    try:
        tokenizer = WordPieces(path, text.context_length)
    except Exception as error:  # tokenizers raises plain Exceptions
        raise CheckpointError(f"{str(path)!r} is damaged ({error}); download it again") from error
    if tokenizer.vocab_size != text.vocab_size or tokenizer.sot_id is None:
        raise CheckpointError(f"{str(path)!r} has {tokenizer.vocab_size} pieces, config.json says {text.vocab_size}; "
                              "download all files of one model")
    return tokenizer
