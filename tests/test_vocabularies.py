"""The vocabulary that is there is the one used: ids against transformers and OpenAI, and files refused."""

import html
import json
import random
import unicodedata
import warnings
from pathlib import Path

import ftfy
import pytest
import regex

import clipmini
from clipmini.families.vocabularies import released_merges
from clipmini.families.wordpieces import WordPieces
from clipmini.files import CheckpointError
from clipmini.tokenizer import Tokenizer
from foreign import hugging_face_folder, write_json

STRINGS = 4_000
# What the two ways treat differently, or what one of them once got wrong, beside any letter of any script.
ODD = [*"aAsStTΣσςİıẞßKſ'’`´<|>&;#x1b!?.,-_ \n\t\r\x00\x85\xa0\u0301\u0323\u0345\u200d\u200b\ufeff🧑é한ᄀ猫犬½²١२",
       " ΣΑΣ", "Σ", "ΟΔΟΣ.", "'ſ", "'S", "'LL", "’s", "&amp;", "&amp;amp;", "&lt;b&gt;", "&eacute;", "&#931;",
       "&#x1F600;","e&#769;", "Ã©", "â€™", "schÃ¶n", "\x1b[31m", "<|endoftext|>", "<|EndOfText|>", "<|startoftext|>",
       "  ", "1️⃣", "🇩🇪"]
TINY = {"hidden_size": 8, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}


def fuzz(seed: int) -> list[str]:
    """Strings of words, odd pieces and letters of any script of Unicode 3.2, which everybody's tables know."""
    rng = random.Random(seed)
    words = ["a photo of a", "Red", "cat", "DOG's", "don't", "Straße", "ЛЮБОВЬ", "ΘΑΛΑΣΣΑ", "漢字", "naïve", "12:30"]
    old = unicodedata.ucd_3_2_0
    known = [c for c in map(chr, range(0x20, 0x3000)) if old.category(c) not in ("Cs", "Cn", "Co")]
    kinds = (lambda: rng.choice(words) + " ", lambda: rng.choice(ODD), lambda: rng.choice(known),
             lambda: rng.choice("abcXYZ "))
    return ["".join(rng.choice(kinds)() for _ in range(rng.randint(0, 25))) for _ in range(STRINGS)]


@pytest.fixture(scope="module")
def released() -> Tokenizer:
    path = released_merges()
    if path is None:
        pytest.skip("the released vocabulary is not here: install open_clip_torch without its dependencies")
    return Tokenizer.from_merges_file(path)


class OpenAI:
    """What the code published with CLIP documents: clean, lower, cut by one pattern, merge the best pair first."""

    WORDS = regex.compile(
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
        regex.IGNORECASE)

    def __init__(self, merges):
        shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
        hidden = [b for b in range(256) if b not in shown]
        self.letters = {b: chr(b) for b in shown} | {b: chr(256 + n) for n, b in enumerate(hidden)}
        tokens = [*self.letters.values(), *(c + "</w>" for c in self.letters.values()), *("".join(m) for m in merges),
                  "<|startoftext|>", "<|endoftext|>"]
        self.ids, self.rank, self.known = {t: i for i, t in enumerate(tokens)}, {m: i for i, m in enumerate(merges)}, {}

    def word(self, word: str) -> list[int]:
        parts = [self.letters[b] for b in word.encode("utf-8")]
        if "".join(parts) in ("<|startoftext|>", "<|endoftext|>"):
            return [self.ids["".join(parts)]]
        parts[-1] += "</w>"
        while len(parts) > 1:
            pairs = list(zip(parts, parts[1:], strict=False))
            best = min(pairs, key=lambda pair: self.rank.get(pair, 1 << 60))
            if best not in self.rank:
                break
            joined = []
            for part in parts:
                whole = joined and joined[-1][1] and (joined[-1][0], part) == best
                joined[-1:] = [(joined[-1][0] + part, False)] if whole else [*joined[-1:], (part, True)]
            parts = [part for part, _ in joined]
        return [self.ids[part] for part in parts]

    def encode(self, text: str) -> list[int]:
        text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
        text = regex.sub(r"\s+", " ", text).strip().lower()
        return [i for word in self.WORDS.findall(text) for i in self.word(word)]


@pytest.mark.filterwarnings("ignore:a caption spells")
def test_4000_strings_have_the_ids_of_transformers(released):
    from transformers import CLIPTokenizer

    texts = fuzz(1)
    theirs = CLIPTokenizer(vocab=released.vocab, merges=released.merges)(texts)["input_ids"]
    different = [t for t, a, b in zip(texts, released.token_lists(texts, truncate=True), theirs, strict=True)
                 if a != (b if len(b) <= 77 else [*b[:76], released.eos_id])]
    assert len(texts) == STRINGS and different == []


@pytest.mark.filterwarnings("ignore:a caption spells")
def test_4000_strings_have_the_ids_of_openais_way_with_repair(released):
    texts, theirs = fuzz(2), OpenAI(released.merges)
    ours = Tokenizer(released.merges, repair=True)
    assert [t for t in texts if ours.encode(t) != theirs.encode(t)] == []
    assert sum("Σ" in t for t in texts) > 300 and sum("&" in t for t in texts) > 500


def test_the_work_shown_with_repair_ends_in_the_ids_of_encode(released):
    ours = Tokenizer(released.merges, repair=True)
    with warnings.catch_warnings(action="ignore"):
        for text in [*ODD, *fuzz(3)[:100]]:
            shown = [int(i) for s in ours.show_work(text) if s.name == "ids" for i in s.detail.split()]
            assert shown == ours.encode(text)


# ---------------------------------------------------------------- files


@pytest.fixture
def folder(tokenizer, tmp_path) -> Path:
    """A little CLIPModel folder with all of the tokenizer's files that transformers writes."""
    from transformers import CLIPTokenizer

    hugging_face_folder(tmp_path, tokenizer, {**TINY, "patch_size": 8, "image_size": 16}, TINY)
    CLIPTokenizer.from_pretrained(tmp_path).backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    change(content)
    write_json(path, content)


def swap(ids: dict) -> None:
    a, b = [token for token, i in ids.items() if i in (514, 515)]
    ids[a], ids[b] = ids[b], ids[a]


def without_lower_case(raw: dict) -> None:
    raw["normalizer"]["normalizers"] = [n for n in raw["normalizer"]["normalizers"] if n["type"] != "Lowercase"]


def more(content: str, i: int) -> dict:
    return {"content": content, "id": i, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True}


REFUSED = {
    "ids swapped": ("vocab.json", swap, "vocab.json' says 51[45] for .* where the merges make 51[45]"),
    "a token more": (
        "vocab.json", lambda v: v.update(zebra=7),
        "vocab.json' says 7 for 'zebra' where .* no such token"),
    "a token fewer": ("vocab.json", lambda v: v.pop("a"), "vocab.json' says nothing for 'a' where the merges make 64"),
    "ids swapped in tokenizer.json": ("tokenizer.json", lambda r: swap(r["model"]["vocab"]), "tokenizer.json' says 51"),
    "other merges": (
        "tokenizer.json", lambda r: r["model"]["merges"].reverse(),
        "merges in tokenizer.json are not those"),
    "capitals": ("tokenizer.json", without_lower_case, "tokenizer.json' says normalizer .*NFC"),
    "no normalizer": ("tokenizer.json", lambda r: r.update(normalizer=None), "tokenizer.json' says normalizer"),
    "accents": (
        "tokenizer.json", lambda r: r["normalizer"]["normalizers"].append({"type": "StripAccents"}),
        "StripAccents"),
    "added": ("tokenizer.json", lambda r: r["added_tokens"].append(more("<cat>", 600)), "says 600 for '<cat>'"),
    "other words": (
        "tokenizer.json", lambda r: r.update(pre_tokenizer={"type": "Whitespace"}),
        "says pre_tokenizer .*Whitespace"),
    "other pattern": (
        "tokenizer.json", lambda r: r["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=r"\w+"),
                      r"says pre_tokenizer .*\\w\+"),
    "no start": (
        "tokenizer.json", lambda r: r["post_processor"].update(cls=["<|endoftext|>", 599]),
        "says post_processor"),
    "dropout": ("tokenizer.json", lambda r: r["model"].update(dropout=0.1), "says model.dropout 0.1"),
    "word pieces": ("tokenizer.json", lambda r: r["model"].update(type="WordPiece"), "says model.type WordPiece"),
    "whole words first": (
        "tokenizer.json", lambda r: r["model"].update(ignore_merges=True),
        "says model.ignore_merges True"),
    "no model": ("tokenizer.json", lambda r: r.pop("model"), "tokenizer.json' is no tokenizer's file.*KeyError"),
    "keeps case": (
        "tokenizer_config.json", lambda c: c.update(do_lower_case=False),
        "tokenizer_config.json' says do_lower_case False"),
    "another class": (
        "tokenizer_config.json", lambda c: c.update(tokenizer_class="GPT2Tokenizer"),
        "says tokenizer_class 'GPT2"),
    "prefix space": ("tokenizer_config.json", lambda c: c.update(add_prefix_space=True), "says add_prefix_space True"),
    "another start": (
        "tokenizer_config.json", lambda c: c.update(bos_token={"content": "<s>"}),
        "says bos_token '<s>'"),
    "pads before": ("tokenizer_config.json", lambda c: c.update(padding_side="left"), "says padding_side 'left'"),
    "added in the decoder": (
        "tokenizer_config.json", lambda c: c.update(added_tokens_decoder={"600": {"content": "<cat>"}}),
                             "says 600 for '<cat>'"),
    "no length": ("tokenizer_config.json", lambda c: c.update(model_max_length="long"), "says model_max_length 'long'"),
    "added file": (
        "added_tokens.json", lambda a: a.update({"<cat>": 600}),
        "added_tokens.json'.* says 600 for '<cat>'"),
    "more specials": ("special_tokens_map.json", lambda m: m.update(additional_special_tokens=["<cat>"]),
                      r"special_tokens_map.json' says additional_special_tokens \['<cat>'\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_vocabulary_that_is_not_clips_is_refused_by_name(case, folder):
    name, change, told = REFUSED[case]
    clipmini.load(folder)
    edit(folder / name, change)
    with pytest.raises(CheckpointError, match=told) as caught:
        clipmini.load(folder)
    assert str(folder) in str(caught.value)


def test_what_published_folders_say_is_read(folder, tokenizer):
    """Keys and spellings of OpenAI's, LAION's and other folders of the hub."""
    start, end = ({"content": t, "lstrip": False, "normalized": True, "__type": "AddedToken"} for t in
                  ("<|startoftext|>", "<|endoftext|>"))
    edit(folder / "tokenizer_config.json", lambda c: c.update(
        unk_token=end, bos_token=start, eos_token=end, pad_token="!", add_prefix_space=False, errors="replace",
        do_lower_case=True, name_or_path="x", model_max_length=10**30, tokenizer_class="CLIPTokenizerFast",
        additional_special_tokens=[], added_tokens_decoder={str(tokenizer.sot_id): start, str(tokenizer.eos_id): end}))
    write_json(folder / "special_tokens_map.json", {"bos_token": start, "eos_token": end, "pad_token": "!",
                                                    "additional_special_tokens": ["<|startoftext|>", "<|endoftext|>"]})
    edit(folder / "tokenizer.json", lambda r: (
        r["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(
            Regex=r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"),
        r["model"].update(merges=[" ".join(m) for m in r["model"]["merges"]]),
        [r["model"].pop(key) for key in ("byte_fallback", "ignore_merges")]))
    ours = clipmini.load(folder).tokenizer
    assert (ours.context_length, ours.merges) == (tokenizer.context_length, tokenizer.merges)
    (folder / "merges.txt").unlink()
    assert clipmini.load(folder).tokenizer.merges == tokenizer.merges


def test_a_shorter_limit_of_the_file_is_kept(folder):
    from transformers import CLIPTokenizer

    edit(folder / "tokenizer_config.json", lambda c: c.update(model_max_length=9))
    ours = clipmini.load(folder).tokenizer
    theirs = CLIPTokenizer.from_pretrained(folder)
    texts = ["a red cat " * 9]
    assert ours.token_lists(texts, truncate=True) == theirs(texts, truncation=True)["input_ids"]


def test_another_kind_of_vocabulary_is_not_replaced_by_the_released_one(folder, released):
    for name in ("merges.txt", "vocab.json", "tokenizer.json"):
        (folder / name).unlink()
    (folder / "spiece.model").write_bytes(b"pieces")
    with pytest.raises(CheckpointError, match="spiece.model' is a vocabulary of another kind"):
        clipmini.load(folder)


# ---------------------------------------------------------------- Chinese-CLIP

PIECES = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]",
          *"猫狗红色abcdefABC", "##b", "##c", "##猫", "cafe", "Cafe", "Café", "café", "##狗"]
CHINESE = ["猫狗", "Café 红a猫", "CAFE", "café", "Cafe", "A b C", "ab猫c", "Abc"]


@pytest.fixture
def chinese(tmp_path) -> Path:
    """A small Chinese-CLIP folder."""
    from transformers import ChineseCLIPConfig, ChineseCLIPModel

    vision = {**TINY, "patch_size": 8, "image_size": 16}
    config = ChineseCLIPConfig(text_config={**TINY, "vocab_size": len(PIECES)}, vision_config=vision, projection_dim=8)
    ChineseCLIPModel(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    write_json(tmp_path / "preprocessor_config.json", {
        "size": {"height": 16, "width": 16}, "do_center_crop": False, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    return tmp_path


@pytest.mark.parametrize("says", [{}, {"do_lower_case": False}, {"do_lower_case": True, "strip_accents": False},
                                  {"do_lower_case": False, "strip_accents": True}, {"tokenize_chinese_chars": False}])
def test_word_pieces_are_cut_as_the_folder_says(says, chinese):
    from transformers import BertTokenizer

    write_json(chinese / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "model_max_length": 512, **says})
    theirs = BertTokenizer.from_pretrained(chinese)
    assert clipmini.load(chinese).tokenizer.token_lists(CHINESE) == theirs(CHINESE)["input_ids"]
    theirs.backend_tokenizer.save(str(chinese / "tokenizer.json"))
    assert clipmini.load(chinese).tokenizer.token_lists(CHINESE) == theirs(CHINESE)["input_ids"]
    (chinese / "vocab.txt").unlink()
    assert clipmini.load(chinese).tokenizer.token_lists(CHINESE) == theirs(CHINESE)["input_ids"]
    plain = WordPieces(chinese / "tokenizer.json", 52)
    assert plain.vocabulary() == theirs.get_vocab()


CHINESE_REFUSED = {
    "a piece more": ("added_tokens.json", lambda a: a.update({"<cat>": 600}), "says 600 for '<cat>'"),
    "another class": ("tokenizer_config.json", lambda c: c.update(tokenizer_class="XLMRobertaTokenizer"), "XLMRoberta"),
    "another start": ("tokenizer_config.json", lambda c: c.update(cls_token="<s>"), "says cls_token '<s>'"),
    "one keeps case": (
        "tokenizer_config.json", lambda c: c.update(do_lower_case=False),
        "tokenizer.json' says normalizer"),
    "ids swapped": (
        "tokenizer.json", lambda r: r["model"]["vocab"].update({"猫": 105, "狗": 104}),
        "says 10[45] for '[猫狗]'"),
}


@pytest.mark.parametrize("case", CHINESE_REFUSED)
def test_word_pieces_that_contradict_are_refused_by_name(case, chinese):
    from transformers import BertTokenizer

    BertTokenizer.from_pretrained(chinese).backend_tokenizer.save(str(chinese / "tokenizer.json"))
    clipmini.load(chinese)
    name, change, told = CHINESE_REFUSED[case]
    edit(chinese / name, change)
    with pytest.raises(CheckpointError, match=told) as caught:
        clipmini.load(chinese)
    assert str(chinese) in str(caught.value)
