"""The tokenizer against transformers' CLIPTokenizer, against ftfy, and against examples worked by hand."""

import copy
import functools
import gzip
import html
import importlib.metadata
import json
import os
import pickle
import random
import sys
import unicodedata
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clipmini import tokenizer as tokenizer_module
from clipmini.bpe import (
    END,
    START,
    byte_characters,
    learn_merges,
    merge_long_word,
    merge_word,
    normalise,
    split_words,
    word_ids,
)
from clipmini.repair import repair_text
from clipmini.tokenizer import Tokenizer, TokenizerError, TokenLimitError
from test_vocabularies import OpenAI

MERGES_FILE = "bpe_simple_vocab_16e6.txt.gz"

TEXTS = [
    "",
    " \t\n ",
    "Hello World!",
    "a photo of a cat",
    "it's DON'T we'Re I'VE they'll 'tis ''s 's 't' o'clock's'",
    "fish &amp; chips &lt;b&gt; &amp;amp; &eacute; &#39; &copy &notit; &NTILDE; &AMP; &#x1F600; &#0; & ; &",
    "<b>&amp;</b> &amp;lt; &amp;amp;lt;",
    "\x00a\x01b\x1b[31mred\x1b[0m \x07\x7f\x80\x9f",
    "a\x1cb \x1d\x1e c\x1f \x1c",
    "a\x85b\u2028c\u2029d\u00a0e\u3000f\u1680g\u2000h\u2001i\u202fj\u205fk\u180el",
    "zero\u200bwidth\u200cjoin\u200d\u2060\ufeff soft\u00adhyphen",
    "🧑‍🚀 👩🏽‍💻 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ❤️ ☃ 1️⃣",
    "红色圆形在蓝色方块的左边 漢字 日本語カタカナ ﾊﾝｶｸ 한국어 각",
    "قطة حمراء ١٢٣ עברית שָׁלוֹם \u202eabc\u202c",
    "cafe\u0301 e\u0301\u0323 \u0301start a\u0301\u0302\u0303 ṩ Å ﬁ ﬃ",
    "İstanbul ISPARTA ıi ẞ ß ſ K Å ΑΣ ΣΑΣ ΌΣΟΣ Σ ς ǅ Ǆ ᾈ Ⴀ Ꭰ Ω",
    "१२३ ½ ² Ⅷ ① 𝟘𝔘 ௧",
    "हिन्दी ไทย தமிழ் မြန်မာ",
    "a_b-c...d???!!! #tag @me $5.00 100% c++ ~`^|\\",
    "ａｂｃ　ＡＢＣ “quoted” ‘single’ – —",
    "schÃ¶n â€œquotesâ€\x9d Ã©tÃ© ï»¿x",
    "\ue000\ufffd\uffff\U0010ffff",
    "supercalifragilisticexpialidocious" * 20,
    "word " * 300,
    "x" * 1000,
    "!?" * 500,
]
SPECIAL_TEXTS = [
    f"a {END} b",
    f"{START}{END}",
    f"x{END}.{END}y e{END}\u0301",
    "a <|ENDOFTEXT|>!! !<|EndOfText|>x <|startoftext|",
    "<|StartOfText|> <|endoftext| endoftext|>",
]
# Characters that newer Unicode versions added are classed otherwise by older tables; both sides are right.
# Half a surrogate pair is no text at all, and has a test of its own.
CAPTIONS = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=60)
TRICKY = "aAsStTΣσİıẞK'’<|>&;#x1b\x1b[31m\x1c\x00\x85 \n\t\u0301\u0323\u200d🧑é한ᄀ"


@pytest.fixture(scope="session")
def released_merges() -> Path:
    """CLIP's own merges, which the open_clip_torch wheel carries (open_clip itself is never imported)."""
    for package in ("open_clip_torch", "clip-anytorch"):
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == MERGES_FILE:
                return Path(file.locate())
    if "CLIPMINI_BPE" in os.environ:
        return Path(os.environ["CLIPMINI_BPE"])
    pytest.skip(
        "CLIP's released merges are not here: `pip install --no-deps open_clip_torch`, "
        f"or set CLIPMINI_BPE to the path of {MERGES_FILE}"
    )


@pytest.fixture(scope="session")
def clip(released_merges) -> Tokenizer:
    return Tokenizer.from_merges_file(released_merges)


@pytest.fixture(scope="session")
def theirs(clip):
    from transformers import CLIPTokenizer

    return CLIPTokenizer(vocab=clip.vocab, merges=clip.merges)


@pytest.fixture(scope="session")
def small() -> Tokenizer:
    texts = [f"a {size} {colour} {shape} left of the café" for size in ("small", "large") for colour in
             ("red", "green", "blue") for shape in ("triangle", "circle", "square", "star")]  # fmt: skip
    return Tokenizer.train([*texts, "红色圆形", "it's the emoji 🧑‍🚀's"], vocab_size=600, context_length=20)


# ---- the released vocabulary ---------------------------------------------------------------------------


def test_released_ids(clip):
    assert clip("Hello World!").tolist() == [[49406, 3306, 1002, 256, 49407]]
    assert (clip.vocab_size, clip.sot_id, clip.eos_id, clip.pad_id) == (49408, 49406, 49407, 49407)
    assert [clip.vocab[t] for t in ("!", "~", "¡", "ÿ", "Ā", "!</w>", "in", "jekyll</w>")] == [
        0, 93, 94, 187, 188, 256, 512, 49405,
    ]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS + SPECIAL_TEXTS, ids=lambda text: ascii(text[:24]))
@pytest.mark.filterwarnings("ignore:a caption spells")
def test_same_ids_as_transformers(clip, theirs, text):
    assert [clip.sot_id, *clip.encode(text), clip.eos_id] == theirs(text)["input_ids"]
    assert (
        clip.token_lists([text], truncate=True)[0]
        == theirs(text, truncation=True, max_length=77)["input_ids"]
    )


@given(text=CAPTIONS | st.text(TRICKY, max_size=40))
@settings(max_examples=600, deadline=None)
def test_same_ids_as_transformers_on_any_text(clip, theirs, text):
    with warnings.catch_warnings(action="ignore"):
        assert [clip.sot_id, *clip.encode(text), clip.eos_id] == theirs(text)["input_ids"]


def test_every_character_is_lowered_and_cut_as_transformers_does(clip, theirs):
    known = (
        chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")
    )
    rare = [c for c in known if c.isspace() or c.lower() != c or unicodedata.normalize("NFC", c) != c]
    texts = [f"a{c}1 !{c}Σ" for c in rare]
    texts += [f"a{c}1 !{c}" for c in map(chr, range(0x3000)) if unicodedata.category(c) not in ("Cs", "Cn")]
    expected = [e.ids for e in theirs.backend_tokenizer.encode_batch(texts)]
    different = [t for t, a, b in zip(texts, clip.token_lists(texts), expected, strict=True) if a != b]
    assert len(texts) > 12_000 and different == []


@given(texts=st.lists(CAPTIONS, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_batch_gives_each_caption_what_it_gets_alone(clip, texts):
    expected = [[clip.sot_id, *clip.encode(text)[:75], clip.eos_id] for text in texts]
    assert clip.token_lists(texts, truncate=True) == expected


# ---- repair --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def repairing(clip) -> Tokenizer:
    return Tokenizer(clip.merges, repair=True)


def openai_clean(text: str) -> str:
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


@pytest.fixture(scope="session")
def openai(clip) -> OpenAI:
    return OpenAI(clip.merges)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:24]))
def test_repair_is_openais_cleaning(repairing, openai, text):
    assert repair_text(text) == openai_clean(text)
    assert repairing.encode(text) == openai.encode(text)


@given(text=CAPTIONS | st.text(TRICKY, max_size=40) | st.text(st.characters(max_codepoint=127), max_size=60))
@settings(max_examples=400, deadline=None)
def test_repair_on_any_text(repairing, openai, text):
    # Repair may make a character that Python's Unicode tables do not know and regex's do, such as U+058B of ":\xd6\x8b".
    assume(not any(unicodedata.category(c) == "Cn" for c in openai_clean(text)))
    with warnings.catch_warnings(action="ignore"):
        assert repairing.encode(text) == openai.encode(text)


def test_repair_is_off_unless_asked_for(clip, repairing):
    assert (
        clip.encode("fish &amp; chips") != clip.encode("fish & chips") == repairing.encode("fish &amp; chips")
    )


# ---- steps of the algorithm ----------------------------------------------------------------------------


def test_byte_characters_are_a_printable_bijection():
    table = byte_characters()
    assert sorted(table) == list(range(256)) and len(set(table.values())) == 256
    assert all(c.isprintable() and not c.isspace() for c in table.values())


def test_training_worked_by_hand():
    words = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}
    # 1. p+u 17 (pug 5 + pun 12), u+n</w> 16, u+g</w> 15, h+u 15, g+s</w> 5, u+g 5, b+u 4  -> pu
    # 2. h+u 15, pu+n</w> 12, u+g</w> 10, pu+g</w> 5, ...                                  -> hu
    # 3. pu+n</w> 12, hu+g</w> 10                                                          -> pun</w>
    # 4. hu+g</w> 10, then 5 each: g+s</w>, hu+g, pu+g</w>                                 -> hug</w>
    # 5. a tie of 5: ids of the left parts are g 70, hu 513, pu 512: the smallest is g+s   -> gs</w>
    assert learn_merges(words, 5) == [
        ("p", "u"),
        ("h", "u"),
        ("pu", "n</w>"),
        ("hu", "g</w>"),
        ("g", "s</w>"),
    ]


def test_overlapping_pairs_merge_from_the_left():
    assert learn_merges({"aaaa": 1}, 2) == [("a", "a"), ("a", "a</w>")]
    assert merge_word([64, 64, 64, 320], {(64, 64): 512}) == [512, 64, 320]


def test_incremental_counts_equal_counting_anew():
    rng = random.Random(0)
    words = {"".join(rng.choices("abcd", k=rng.randint(1, 9))): rng.randint(1, 50) for _ in range(300)}
    assert learn_merges(words, 120) == slow_merges(words, 120)


def slow_merges(words, n_merges):
    """Training as the textbook has it: count everything again before each merge."""
    spelled = {word: word_ids(word) for word in words}
    characters = list(byte_characters().values())
    names = characters + [c + "</w>" for c in characters]
    merges = []
    while len(merges) < n_merges:
        counts = {}
        for word, ids in spelled.items():
            for left, right in zip(ids, ids[1:], strict=False):
                if names[left] + names[right] not in names:
                    counts[left, right] = counts.get((left, right), 0) + words[word]
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append((names[best[0]], names[best[1]]))
        for word, ids in spelled.items():
            out = []
            for i in ids:
                if out and out[-1] is not None and (out[-1], i) == best:
                    out[-1] = len(names)
                else:
                    out.append(i)
            spelled[word] = out
        names.append(names[best[0]] + names[best[1]])
    return merges


def test_training_does_not_depend_on_the_order_of_texts():
    texts = ["the red circle", "a blue square", "the green star", "red red blue"] * 3
    shuffled = texts[::-1]
    assert Tokenizer.train(texts, 540).merges == Tokenizer.train(iter(shuffled), 540).merges


def test_training_stops_when_nothing_is_left_to_merge():
    assert Tokenizer.train(["ab"], 10_000).merges == [("a", "b</w>")]
    assert Tokenizer.train([], 514).vocab_size == 514
    with pytest.raises(TokenizerError, match="vocab_size is 513"):
        Tokenizer.train(["ab"], 513)


def test_training_skips_special_tokens():
    assert Tokenizer.train([f"{END}ab{END} {START}"], 600).merges == [("a", "b</w>")]


@given(word=st.text("abc", min_size=1, max_size=150))
@settings(max_examples=150, deadline=None)
def test_long_words_merge_as_short_ones(word):
    pairs = merges_of_abc()
    assert merge_long_word(word_ids(word), pairs) == merge_word(word_ids(word), pairs)


@functools.cache
def merges_of_abc() -> dict[tuple[int, int], int]:
    rng = random.Random(1)
    words = {"".join(rng.choices("abc", k=7)): 1 for _ in range(60)}
    return Tokenizer(learn_merges(words, 60))._pair_to_id


def test_a_pasted_line_without_spaces_takes_a_second(clip):
    assert clip.decode(clip.encode("abcdefgh" * 25_000)) == "abcdefgh" * 25_000


def test_show_work_tells_every_merge(clip):
    steps = clip.show_work("It's  Cards")
    assert [(s.name, s.pieces) for s in steps] == [
        ("clean", ()),
        ("word", ("i", "t</w>")),
        ("merge", ("it</w>",)),
        ("ids", ("it</w>",)),
        ("word", ("'", "s</w>")),
        ("merge", ("'s</w>",)),
        ("ids", ("'s</w>",)),
        ("word", ("c", "a", "r", "d", "s</w>")),
        ("merge", ("c", "ar", "d", "s</w>")),
        ("merge", ("c", "ar", "ds</w>")),
        ("merge", ("car", "ds</w>")),
        ("merge", ("cards</w>",)),
        ("ids", ("cards</w>",)),
    ]
    assert str(steps[0]) == 'clean  "it\'s cards"'
    assert str(steps[-2]) == "merge  #3582 car + ds</w>       cards</w>"
    with pytest.raises(TokenizerError, match="1001 characters"):
        clip.show_work("x" * 1001)


@given(text=CAPTIONS)
@settings(max_examples=100, deadline=None)
def test_show_work_ends_in_the_ids_of_encode(clip, text):
    shown = [int(i) for s in clip.show_work(text) if s.name == "ids" for i in s.detail.split()]
    assert shown == clip.encode(text)


@given(text=CAPTIONS | st.text(TRICKY, max_size=40))
@settings(max_examples=200, deadline=None)
def test_decode_returns_the_normalised_words(clip, text):
    text = text.replace(START, "").replace(END, "")
    ids = clip.encode(text)
    assert clip.decode([clip.sot_id, *ids, clip.eos_id]) == " ".join(split_words(normalise(text)))
    assert clip.encode(clip.decode(ids)) == ids


def test_decode_takes_tensors_and_refuses_unknown_ids(clip):
    assert clip.decode(clip("a red fox")[0]) == "a red fox"
    assert clip.decode([0, 511, 49405]) == "!\xad jekyll".encode("latin-1").decode("utf-8", "replace")
    for wrong in (49408, -1):
        with pytest.raises(TokenizerError, match=f"id {wrong} is not in the vocabulary: ids are 0 to 49407"):
            clip.decode([wrong])


# ---- batches and their limits --------------------------------------------------------------------------


def test_a_batch_is_trimmed_to_its_longest_caption(small):
    ids = small(["", "red", "a small red circle"])
    assert ids.dtype == torch.long and ids.shape[0] == 3
    lists = small.token_lists(["", "red", "a small red circle"])
    assert ids.shape[1] == len(lists[2])
    for row, expected in zip(ids.tolist(), lists, strict=True):
        assert row == expected + [small.pad_id] * (ids.shape[1] - len(expected))
    assert lists[0] == [small.sot_id, small.eos_id]
    assert small("red", length=20).shape == (1, 20)
    assert small([]).shape == (0, 2) and small.token_lists([]) == []


def test_one_str_is_one_caption(small):
    assert small.token_lists("red star") == small.token_lists(["red star"])


@pytest.mark.parametrize(("words", "fits"), [(18, True), (19, False)])
def test_the_limit_counts_start_and_end(small, words, fits):
    text = " ".join(["red"] * words)
    assert len(small.encode(text)) == words
    if fits:
        assert small(text).shape == (1, 20)
        return
    with pytest.raises(TokenLimitError) as error:
        small(["red", "", text])
    assert str(error.value) == (
        "caption 2 has 21 tokens; the context is 20 tokens (not characters). "
        "Shorten it or pass truncate=True."
    )


def test_truncation_keeps_the_first_ids_and_the_end(clip, theirs):
    texts = ["red " * 75, "red " * 76, "red " * 500, "short"]
    rows = clip.token_lists(texts, truncate=True)
    assert rows == theirs(texts, truncation=True, max_length=77)["input_ids"]
    assert [len(row) for row in rows] == [77, 77, 77, 3] and all(row[-1] == clip.eos_id for row in rows)


@pytest.mark.parametrize("length", [3, 21, 0, -1])
def test_a_length_that_does_not_fit(small, length):
    with pytest.raises(TokenizerError, match=f"length is {length}; it must lie between the longest caption"):
        small(["a red star"], length=length)


@pytest.mark.parametrize("wrong", [None, 3, b"red", ["red"], float("nan")])
def test_a_caption_must_be_a_str(small, wrong):
    with pytest.raises(TypeError, match=f"caption 1 is of type {type(wrong).__name__}"):
        small(["red", wrong])


def test_half_a_surrogate_pair(small):
    with pytest.raises(TokenizerError, match=r"\\ud800.*half of a surrogate pair.*repair=True"):
        small("broken \ud800")
    assert Tokenizer(small.merges, repair=True).encode("broken \ud800") == small.encode("broken \ufffd")


def test_a_special_token_in_a_caption_warns(small):
    with pytest.warns(UserWarning, match="spells a special token"):
        assert small.encode(f"red {END}") == [*small.encode("red"), small.eos_id]


def test_the_cache_stays_bounded_and_never_changes_an_answer(small, monkeypatch):
    monkeypatch.setattr(tokenizer_module, "CACHE_SIZE", 5)
    fresh = Tokenizer(small.merges)
    texts = [f"red{i} circle{i % 7} {'long' * 60} {'红' * 40}" for i in range(40)]
    assert [fresh.encode(t) for t in texts] == [Tokenizer(small.merges).encode(t) for t in texts]
    assert 0 < len(fresh._cache) <= 5
    assert all(len(chunk) <= 128 and len(ids) <= 32 for chunk, ids in fresh._cache.items())


def test_repair_without_ftfy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    assert Tokenizer([], repair=True).encode("plain")
    with pytest.raises(ImportError, match="pip install ftfy"):
        Tokenizer([], repair=True).encode("caf\u00e9")


def test_pickle_and_copy(small):
    for twin in (pickle.loads(pickle.dumps(small)), copy.deepcopy(small)):
        assert twin.encode("a red star") == small.encode("a red star")
        assert (twin.context_length, twin.vocab) == (20, small.vocab)


# ---- files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repair", [False, True])
def test_save_and_load(small, tmp_path, repair):
    Tokenizer(small.merges, 20, repair).save(tmp_path / "new" / "folder")
    again = Tokenizer.load(tmp_path / "new" / "folder")
    assert (again.merges, again.vocab, again.context_length, again.repair) == (
        small.merges,
        small.vocab,
        20,
        repair,
    )
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "merges.txt", "tokenizer_config.json", "vocab.json",
    ]  # fmt: skip


@pytest.mark.parametrize("which", ["small", "clip"])
@pytest.mark.filterwarnings("ignore:a caption spells")
def test_transformers_opens_a_saved_folder(request, tmp_path, which):
    from transformers import AutoTokenizer, CLIPTokenizer

    ours = request.getfixturevalue(which)
    ours.save(tmp_path)
    for opener in (CLIPTokenizer, AutoTokenizer) if which == "small" else (CLIPTokenizer,):
        opened = opener.from_pretrained(tmp_path, local_files_only=True)
        assert opened.model_max_length == ours.context_length and opened.get_vocab() == ours.vocab
        assert (opened.bos_token_id, opened.eos_token_id) == (ours.sot_id, ours.eos_id)
        assert (opened.pad_token_id, opened.unk_token_id) == (ours.eos_id, ours.eos_id)
        texts = TEXTS + SPECIAL_TEXTS
        assert opened(texts, truncation=True)["input_ids"] == ours.token_lists(texts, truncate=True)


def damage(folder: Path, name: str, change) -> None:
    path = folder / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


def edit_vocab(change):
    def edited(text):
        vocab = json.loads(text)
        change(vocab)
        return json.dumps(vocab)

    return edited


def swap_first_merges(text: str) -> str:
    lines = text.split("\n")
    return "\n".join([lines[0], lines[2], lines[1], *lines[3:]])


DAMAGES = {
    "vocab truncated": ("vocab.json", lambda t: t[:-20], r"vocab\.json is damaged"),
    "vocab is a list": ("vocab.json", lambda t: "[1, 2]", r"vocab\.json is damaged: it holds a list"),
    "vocab lacks one": (
        "vocab.json",
        edit_vocab(lambda v: v.pop("red</w>")),
        r"vocab\.json has \d+ tokens where",
    ),
    "ids have a gap": (
        "vocab.json",
        edit_vocab(lambda v: v.update({END: 9999})),
        r"vocab\.json.*not 0 to \d+",
    ),
    "ids swapped": (
        "vocab.json",
        edit_vocab(lambda v: v.update(a=v["b"], b=v["a"])),
        r"vocab\.json says 65 for 'a'",
    ),
    "merge lost": (
        "merges.txt",
        lambda t: t.rstrip("\n").rsplit("\n", 1)[0],
        r"tokens where merges\.txt makes",
    ),
    "merges swapped": ("merges.txt", swap_first_merges, r"vocab\.json says|merges\.txt is damaged"),
    "merge twice": (
        "merges.txt",
        lambda t: t + t.split("\n")[1] + "\n",
        r"merges\.txt is damaged.*makes .* again",
    ),
    "merge of unknowns": (
        "merges.txt",
        lambda t: t + "qq zz\n",
        r"merges\.txt is damaged.*must be two tokens",
    ),
    "merge of three": ("merges.txt", lambda t: t + "a b c\n", r"merges\.txt is damaged.*not two tokens"),
    "config broken": ("tokenizer_config.json", lambda t: "{", r"tokenizer_config\.json is damaged"),
    "config limit": (
        "tokenizer_config.json",
        lambda t: t.replace("20", "-1"),
        r"tokenizer_config\.json.*is -1",
    ),
    "config huge": (
        "tokenizer_config.json",
        lambda t: t.replace("20", "1e30"),
        r"tokenizer_config\.json.*1e\+30",
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_folder_is_refused(small, tmp_path, case):
    name, change, message = DAMAGES[case]
    small.save(tmp_path)
    damage(tmp_path, name, change)
    with pytest.raises(TokenizerError, match=message) as error:
        Tokenizer.load(tmp_path)
    assert str(tmp_path) in str(error.value) and "Copy the whole folder again" in str(error.value)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer_config.json"])
def test_a_missing_or_unreadable_file_is_named(small, tmp_path, name):
    small.save(tmp_path)
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TokenizerError, match=f"{name} cannot be read"):
        Tokenizer.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(TokenizerError, match=f"{name} is missing"):
        Tokenizer.load(tmp_path)


def test_windows_line_ends_are_read(small, tmp_path):
    small.save(tmp_path)
    (tmp_path / "merges.txt").write_bytes((tmp_path / "merges.txt").read_bytes().replace(b"\n", b"\r\n"))
    assert Tokenizer.load(tmp_path).merges == small.merges


def test_a_full_disk_is_an_error_and_leaves_the_old_file(small, tmp_path, monkeypatch):
    small.save(tmp_path)

    def full(path, *args, **kwargs):
        Path.write_bytes(path, b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(TokenizerError, match=r"merges\.txt could not be written: No space left on device"):
        Tokenizer.train(["other words"], 600).save(tmp_path)
    assert Tokenizer.load(tmp_path).merges == small.merges
    assert len(list(tmp_path.iterdir())) == 3


def test_saving_where_nothing_can_be_saved(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TokenizerError, match="could not be written"):
        small.save(tmp_path / "file")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json exists"):
        small.save(tmp_path)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"a b\n" * 99)[:-12], gzip.compress(b"v1\nx")])
def test_a_wrong_merges_file_is_named(tmp_path, content):
    path = tmp_path / MERGES_FILE
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=MERGES_FILE):
        Tokenizer.from_merges_file(path)
    with pytest.raises(TokenizerError, match="is missing"):
        Tokenizer.from_merges_file(tmp_path / "none.gz")


@pytest.mark.parametrize("merges", [[("a", "b"), ("a", "b")], [("ab", "c")], [("a",)], [("a", "b", "c")]])
def test_wrong_merges_are_refused(merges):
    with pytest.raises(TokenizerError, match="merge [01] "):
        Tokenizer(merges)


@pytest.mark.parametrize("limit", [2, 0, 7.5, None, "77"])
def test_a_wrong_context_length(limit):
    with pytest.raises(TokenizerError, match="context_length is"):
        Tokenizer([], limit)


def test_pieces_are_what_ids_stand_for():
    tokenizer = Tokenizer.train(["a red cat", "a red dog"] * 5, 600, context_length=16)
    ids = tokenizer.token_lists(["a red zebra ☕"])[0]
    pieces = tokenizer.pieces(ids)
    assert pieces[0] == "<|startoftext|>" and pieces[-1] == "<|endoftext|>" and len(pieces) == len(ids)
    assert pieces[1:3] == ["a ", "red "] and "\ufffd" in "".join(pieces)  # a coffee cup is several bytes
