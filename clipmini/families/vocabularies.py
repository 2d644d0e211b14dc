"""The vocabularies of published models: CLIP's byte pairs, and BERT's word pieces.

What a folder says of its vocabulary is obeyed, or refused with the file and the value: never passed over.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipmini.bpe import END, START
from clipmini.config import TextConfig
from clipmini.families.wordpieces import WordPieces
from clipmini.files import CheckpointError, read_json
from clipmini.tokenizer import Tokenizer, TokenizerError

# What tokenizer_config.json and special_tokens_map.json may say where they say it: any other value makes other ids.
SHARED = {"padding_side": ("right",), "truncation_side": ("right",), "split_special_tokens": (False,),
          "additional_special_tokens": ([],), "extra_special_tokens": ([], {}), "do_basic_tokenize": (True,),
          "never_split": ([],), "add_bos_token": (True,), "add_eos_token": (True,)}
CLIP_SAYS = {**SHARED, "do_lower_case": (True,), "strip_accents": (False,), "add_prefix_space": (False,),
             "bos_token": (START,), "eos_token": (END,),
             "tokenizer_class": ("CLIPTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend")}
BERT_SAYS = {**SHARED, "do_lower_case": (True, False), "strip_accents": (True, False),
             "tokenize_chinese_chars": (True, False), "unk_token": ("[UNK]",), "cls_token": ("[CLS]",),
             "sep_token": ("[SEP]",), "pad_token": ("[PAD]",),
             "tokenizer_class": ("BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend")}
WORD_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"  # bpe.WORDS without the special tokens
FOREIGN = ("vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")  # vocabularies of other kinds


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
    Raises CheckpointError where the folder's files contradict one another, or ask for what CLIP's tokenizer does not
    do. A model_max_length below the model's context is the longest text.
    """
    repair = repair and importlib.util.find_spec("ftfy") is not None
    length = _longest(folder, _settings(folder, CLIP_SAYS), text.context_length)
    with _describing(folder / "tokenizer.json"):
        rust = _clip_json(folder / "tokenizer.json") if (folder / "tokenizer.json").is_file() else None
    try:
        tokenizer = _byte_pairs(folder, rust, length, repair)
    except TokenizerError as error:
        raise CheckpointError(f"the vocabulary of {str(folder)!r} cannot be read: {error}") from error
    for name in ("vocab_size", "sot_id", "eos_id"):
        if getattr(tokenizer, name) != getattr(text, name):
            raise CheckpointError(f"{str(folder)!r} mixes two models: its vocabulary has {name} "
                                  f"{getattr(tokenizer, name)}, the configuration says {getattr(text, name)}; "
                                  "download all files of one model")
    _check_vocabulary(folder, rust, tokenizer)
    return tokenizer


def _byte_pairs(folder: Path, rust: dict | None, length: int, repair: bool) -> Tokenizer:
    if (folder / "merges.txt").is_file():
        return Tokenizer.from_merges_file(folder / "merges.txt", length, repair)
    if rust is not None:
        return Tokenizer(rust["merges"], length, repair)
    places = (folder / "bpe_simple_vocab_16e6.txt.gz", released_merges())
    path = next((p for p in places if p and p.is_file()), None)
    other = next((name for name in FOREIGN if (folder / name).is_file()), None)
    if other and path != places[0]:
        raise CheckpointError(f"{str(folder / other)!r} is a vocabulary of another kind than CLIP's byte pairs, which "
                              "clipmini does not read here; open this model with the library that wrote it")
    if path is None:
        raise CheckpointError(
            f"{str(folder)!r} brings no vocabulary, and CLIP's released one is not on this computer. Either "
            "put bpe_simple_vocab_16e6.txt.gz (from OpenAI's repository) beside the weights, or: "
            "pip install --no-deps open_clip_torch, which carries it")
    return Tokenizer.from_merges_file(path, length, repair)


def _check_vocabulary(folder: Path, rust: dict | None, tokenizer: Tokenizer) -> None:
    """Refuse files that give tokens other ids than the merges make."""
    made = {START: tokenizer.sot_id, END: tokenizer.eos_id}
    if rust is not None:
        path = folder / "tokenizer.json"
        _same(path, {**made, **rust["vocab"]}, tokenizer.vocab)
        _same(path, {t["content"]: t["id"] for t in rust["added"]}, made, "added_tokens")
        if rust["merges"] != tokenizer.merges:
            raise CheckpointError(f"{str(folder)!r} mixes two models: the merges in tokenizer.json are not those of "
                                  "merges.txt; delete the one that the model was not trained with")
    if (path := folder / "vocab.json").is_file():
        _same(path, {**made, **read_json(path)}, tokenizer.vocab)
    if (path := folder / "added_tokens.json").is_file():
        _same(path, read_json(path), made, "added tokens")
    if (path := folder / "tokenizer_config.json").is_file():
        with _describing(path):
            added = read_json(path).get("added_tokens_decoder") or {}
            _same(path, {_token(t): int(i) for i, t in added.items()}, made, "added_tokens_decoder")


def _same(path: Path, found: dict, made: dict[str, int], part: str = "") -> None:
    """Refuse the first token that a file gives another id than the tokenizer makes; a whole vocabulary lacks none."""
    wrong = next((t for t, i in found.items() if made.get(t) != i), None)
    if wrong is None and not part:
        wrong = next((t for t in made if t not in found), None)
    if wrong is not None:
        where, merges = f" ({part})" if part else "", f"the merges make {made.get(wrong, 'no such token')}"
        raise CheckpointError(f"{str(path)!r}{where} says {found.get(wrong, 'nothing')} for {wrong!r} where {merges}. "
                              "The files are of two models, or the model wants a tokenizer that clipmini does not "
                              "have; download all files of one model")


def _token(value: Any) -> Any:
    """A special token as files write it: a string, or an object with its content."""
    return value.get("content", value) if isinstance(value, dict) else value


def _settings(folder: Path, allowed: dict[str, tuple]) -> dict:
    """tokenizer_config.json, where it is there. CheckpointError names what it or special_tokens_map.json says beside
    what is allowed."""
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = folder / name
        found = read_json(path) if path.is_file() else {}
        for key, values in allowed.items():
            value = _token(found.get(key))
            ours = [START, END] if key == "additional_special_tokens" else []
            if isinstance(value, list):
                value = [v for v in map(_token, value) if v not in ours]
            if value is not None and not any(value is v if isinstance(v, bool) else value == v for v in values):
                raise CheckpointError(f"{str(path)!r} says {key} {value!r}; clipmini's tokenizer knows "
                                      f"{' or '.join(map(repr, values))} only. Open this model with the library that "
                                      "wrote it")
    return found


def _longest(folder: Path, settings: dict, context_length: int) -> int:
    """The longest text in tokens: what the file says, at most what the model has places for."""
    said = settings.get("model_max_length", settings.get("max_len"))
    if said is None:
        return context_length
    if isinstance(said, bool) or not isinstance(said, (int, float)) or not said >= 3:
        raise CheckpointError(f"{str(folder / 'tokenizer_config.json')!r} says model_max_length {said!r}; the longest "
                              f"text is a whole number of tokens from 3 to {context_length}. Correct it")
    return int(min(said, context_length))


def _clip_json(path: Path) -> dict[str, Any]:
    """merges, vocab and added tokens of a tokenizer.json that works as CLIP's. CheckpointError names what does not."""
    raw = read_json(path)
    model, start, cut = raw["model"], raw.get("normalizer") or {}, raw.get("pre_tokenizer") or {}
    steps = {s["type"]: s for s in start.get("normalizers", [start] if start else [])}
    space = steps.get("Replace", {"pattern": {"Regex": r"\s+"}, "content": " "})
    _need(path, "normalizer", start, {"NFC", "Lowercase"} <= set(steps) <= {"NFC", "Lowercase", "Replace"}
          and (space["pattern"], space["content"]) == ({"Regex": r"\s+"}, " "))
    cuts = {s["type"]: s for s in cut.get("pretokenizers", [cut] if cut else [])}
    _need(path, "pre_tokenizer", cut, set(cuts) == {"Split", "ByteLevel"} and _is_word_pattern(cuts["Split"])
          and not cuts["ByteLevel"].get("add_prefix_space") and cuts["ByteLevel"].get("use_regex", True))
    _need(path, "post_processor", end := raw.get("post_processor"), end is None or _adds_start_and_end(end))
    for key, values in {"type": ("BPE", None), "end_of_word_suffix": ("</w>",), "dropout": (None, 0),
                        "continuing_subword_prefix": ("", None), "ignore_merges": (False, None),
                        "byte_fallback": (False, None)}.items():
        _need(path, f"model.{key}", model.get(key), model.get(key) in values)
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    return {"merges": merges, "vocab": dict(model["vocab"]), "added": raw.get("added_tokens") or []}


def _need(path: Path, key: str, value: Any, good: bool) -> None:
    if not good:
        raise CheckpointError(f"{str(path)!r} says {key} {str(value)[:200]}, which is not what CLIP's tokenizer does "
                              "(NFC, lower case, CLIP's words, byte pairs, start and end); open this model with the "
                              "library that wrote it")


def _is_word_pattern(split: dict) -> bool:
    pattern = split["pattern"].get("Regex", "").removeprefix(r"<\|startoftext\|>|<\|endoftext\|>|")
    pattern = pattern.replace(r"[\p{L}]", r"\p{L}").replace(r"[\p{N}]", r"\p{N}")
    return pattern == WORD_PATTERN and split["behavior"] == "Removed" and split["invert"] is True


def _adds_start_and_end(end: dict) -> bool:
    if end["type"] == "RobertaProcessing":
        return (end["cls"][0], end["sep"][0]) == (START, END)
    single = [next(iter(piece.items())) for piece in end.get("single", [])]
    return [(kind, about["id"]) for kind, about in single] == [("SpecialToken", START), ("Sequence", "A"),
                                                               ("SpecialToken", END)]


@contextmanager
def _describing(path: Path) -> Iterator[None]:
    """Whatever may be amiss with a file's structure becomes a CheckpointError that names it."""
    try:
        yield
    except CheckpointError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, StopIteration) as error:
        raise CheckpointError(f"{str(path)!r} is no tokenizer's file that clipmini knows ({type(error).__name__}: "
                              f"{error}); download it again") from error


def chinese_tokenizer(folder: Path, text: TextConfig) -> WordPieces:
    """The word pieces of a Chinese-CLIP folder, lower-cased or not as its tokenizer_config.json says. Raises
    CheckpointError."""
    path = next((folder / name for name in ("vocab.txt", "tokenizer.json") if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"{str(folder)!r} has neither vocab.txt nor tokenizer.json; the download is incomplete")
    settings = _settings(folder, BERT_SAYS)
    length = _longest(folder, settings, text.context_length)
    options = {"lowercase": settings.get("do_lower_case"), "strip_accents": settings.get("strip_accents"),
               "handle_chinese_chars": settings.get("tokenize_chinese_chars")}
    said = {key: value for key, value in options.items() if value is not None}
    try:
        tokenizer = WordPieces(path, length, **(said if path.suffix == ".txt" else {}))
    except Exception as error:  # tokenizers raises plain Exceptions
        raise CheckpointError(f"{str(path)!r} is damaged ({error}); download it again") from error
    if tokenizer.vocab_size != text.vocab_size or tokenizer.sot_id is None:
        raise CheckpointError(f"{str(path)!r} has {tokenizer.vocab_size} pieces, config.json says {text.vocab_size}; "
                              "download all files of one model")
    if (folder / "tokenizer.json").is_file():
        with _describing(folder / "tokenizer.json"):
            _check_pieces(folder / "tokenizer.json", said, tokenizer.vocabulary())
    if (path := folder / "added_tokens.json").is_file():
        _same(path, read_json(path), tokenizer.vocabulary(), "added tokens")
    return tokenizer


def _check_pieces(path: Path, said: dict, vocabulary: dict[str, int]) -> None:
    """Refuse a BERT's tokenizer.json that contradicts tokenizer_config.json (`said`) or vocab.txt."""
    raw = read_json(path)
    start = raw.get("normalizer") or {}
    for key, default in {"lowercase": True, "strip_accents": None, "handle_chinese_chars": True}.items():
        other = said.get(key, default if (path.parent / "vocab.txt").is_file() else start.get(key))
        if start.get("type") != "BertNormalizer" or start.get(key) != other:
            raise CheckpointError(f"{str(path)!r} says normalizer {str(start)[:200]}, the files beside it say {key} "
                                  f"{other!r}; correct the wrong file")
    _same(path, dict(raw["model"]["vocab"]), vocabulary)
