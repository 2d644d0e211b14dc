"""Labels and templates: what people type."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipmini.tasks import prompts
from clipmini.tasks.prompts import PromptError, check_template, clean_labels, clean_templates, fill


def said(notes) -> str:
    return " | ".join(str(note) for note in notes)


def test_every_named_template_is_usable():
    for name, templates in prompts.TEMPLATES.items():
        assert clean_templates(name) == templates and len(set(templates)) == len(templates)
    assert len(prompts.TEMPLATES["openai7"]) == 7


@pytest.mark.parametrize("template", [
    "a cat", "", "{} and {}", "{0.__class__}", "{", "}", "{{}}", "{}{", "{label}", "{!r:>99999999}", "{} {0.__class__}",
    "{ }"])
def test_template_is_refused_with_its_name_and_the_remedy(template):
    with pytest.raises(PromptError) as error:
        check_template(template)
    assert repr(template) in str(error.value) and "'a photo of a {}.'" in str(error.value)
    with pytest.raises(PromptError):
        fill(template, "cat")


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_fill_puts_the_label_in_and_touches_nothing_else(before, label, after):
    before, after = (s.replace("{", "").replace("}", "") for s in (before, after))
    assert fill(before + "{}" + after, label) == before + label + after


def test_a_label_with_braces_is_only_text():
    assert fill("a {}.", "{0.__class__}") == "a {0.__class__}." and fill("a {}.", "{}") == "a {}."


def test_templates_from_a_text_box():
    assert clean_templates("a {}\n\n  the {} \na {}\n") == ("a {}", "the {}")
    with pytest.raises(PromptError, match="there are no templates"):
        clean_templates(" \n ")
    with pytest.raises(PromptError, match="101 templates; the limit is 100"):
        clean_templates([f"{{}} {i}" for i in range(101)])
    with pytest.raises(PromptError, match="more than 300"):
        clean_templates("{}" + "x" * 300)


def test_labels_are_split_stripped_and_kept_in_order():
    assert clean_labels(" dog,cat\n hot   dog ,，鸟、鱼;fox；\r\nowl,") == prompts.CleanLabels(
        ("dog", "cat", "hot dog", "鸟", "鱼", "fox", "owl"))
    assert clean_labels(["red, then blue", "cat"]).labels == ("red, then blue", "cat")  # a list is not split


def test_duplicates_are_merged_visibly():
    cleaned = clean_labels("cat, Cat,  CAT , dog, caf\u00e9, cafe\u0301")
    assert cleaned.labels == ("cat", "dog", "caf\u00e9")
    assert said(cleaned.notes) == "merged 3 repeated label(s), the same but for case and spaces: Cat, CAT, caf\u00e9"


def test_invisible_characters_are_removed_visibly():
    cleaned = clean_labels(["c\x00at", "do\u200bg", "\u202eowl", "\ud800fish", "bird"])
    assert cleaned.labels == ("cat", "dog", "owl", "fish", "bird")
    assert said(cleaned.notes) == "removed control or invisible characters from 4 label(s): cat, dog, owl, fish"
    astronaut, persian = "\U0001f469\u200d\U0001f680", "\u0645\u06cc\u200c\u062e\u0648"
    assert clean_labels([astronaut, persian]) == prompts.CleanLabels((astronaut, persian))
    assert clean_labels("ca\u200dt").labels == ("cat",)


def flag(code: str) -> str:
    """The flag of a region, spelled with tags: a black flag, its code, an end."""
    return "\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in code) + "\U000e007f"


ENGLAND, SCOTLAND, WALES, TEXAS = map(flag, ("gbeng", "gbsct", "gbwls", "ustx"))
END, TAG, ZWJ, ZWNJ = "\U000e007f", "\U000e0067", "\u200d", "\u200c"


def test_the_flags_of_england_scotland_and_wales_are_three_labels():
    """They differ in tags alone, which nobody sees."""
    labels = (ENGLAND, SCOTLAND, WALES, TEXAS, "\U0001f3f4")
    assert clean_labels(labels) == prompts.CleanLabels(labels)
    assert clean_labels(", ".join(labels)) == prompts.CleanLabels(labels)
    assert [fill(t, ENGLAND) for t in clean_templates(f"{{}} {WALES}")] == [f"{ENGLAND} {WALES}"]


@pytest.mark.parametrize("label", [
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f469\U0001f3fd\u200d\U0001f680",
    "\U0001f3f3\ufe0f\u200d\U0001f308", "\u2764\ufe0f\u200d\U0001f525",
    "\U0001f3c3\U0001f3fb\u200d\u2640\ufe0f\u200d\u27a1\ufe0f", "1\ufe0f\u20e3", "#\ufe0f\u20e3", "\u2764\ufe0e",
    "\U0001f44d\U0001f3ff", "\U0001f1eb\U0001f1f7", "\U0001f1ec\U0001f1e7",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u06f5\u200c\u0627\u0645", "PDF\u200c\u0647\u0627",
    "\u0645\u064f\u200c\u0646", "\u0915\u094d\u200d\u0937", "\u0d28\u0d4d\u200d", "\u0dc1\u0dca\u200d\u0dbb\u0dd3",
    "\u845b\U000e0100", "\u2229\ufe00", "\u1820\u180b", "\u182c\u180e\u1820", "\u06dd\u0661", "\u1100\u1160",
    "\u2813\u2800\u280a", "\ue000\uf8ff"])
def test_what_emoji_and_words_are_spelled_with_stays(label):
    assert clean_labels([label, f"a {label}", f"{label} a"]) == prompts.CleanLabels((label, f"a {label}", f"{label} a"))


@pytest.mark.parametrize("junk", [
    TAG, END, TAG + END, "a" + TAG + END, "\U0001f3f4" + TAG, "\U0001f3f4" + END, ENGLAND + TAG, ENGLAND + END,
    ENGLAND + ENGLAND[1:], "\U0001f1ec" + TAG + END, ZWJ, "a" + ZWJ, ZWJ + "a", "\U0001f680" + ZWJ,
    ZWJ + "\U0001f680", "\u00e9" + ZWJ + "a", "a" + ZWNJ + "b", "\u706b" + ZWJ + "\u7bad", "\u0645" + ZWNJ,
    ZWNJ + "\u0645", "\u0645" + ZWNJ * 2 + "\u0645", "\u0645" + ZWNJ + " \u0645", "\ufe0f", "a\ufe0f", "\u00e9\ufe0f",
    "\u2764\ufe0f\ufe0f", "\ufe0f\u2764", "\u845b\U000e0100\U000e0101", "a\U000e0100", "\u200b", "\u2060", "\ufeff",
    "\u00ad", "\u200e", "\u200f", "\u202e", "\u2066x\u2069", "\u034f", "\u3164", "\uffa0", "\u115f", "\u1160\u115f",
    "\u2800", "\u17b4", "\u180e", "\u180b", "\U000e0001", "\ufff9", "\U0001d173", "\x07", "\x7f", "\x9b", "\udc80",
    "\U000e01f0"])
def test_what_is_invisible_and_out_of_place_goes_with_a_note(junk):
    cleaned = clean_labels(["cat", junk + " dog"])
    assert cleaned.labels[1] != junk + " dog" and "removed control or invisible characters from 1" in said(cleaned.notes)
    left = prompts._visible(junk)
    assert len(left) < len(junk) and left in ("", *junk, "a", ENGLAND, "x", "ab", "\u00e9a", "\u706b\u7bad", "\u2764\ufe0f",
                                              "\u0645\u200c\u0645", "\u0645 \u0645", "\u845b\U000e0100")


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from([
    *ENGLAND, END, TAG, ZWJ, ZWNJ, "\ufe0f", "\u2764", "\U0001f3fd", "a", " ", "\u0645", "\u064f", "\u0915", "\u094d",
    "\u093c", "\u0301", "e", "\u200b", "\u1100", "\u1160", "\u115f", "\u2800", "\u2801", "1", "\u20e3", "\u1820",
    "\u180b", "\u180e"]), max_size=14))
def test_cleaning_twice_changes_nothing_where_every_neighbour_counts(text):
    once = prompts._visible(text)
    assert prompts._visible(once) == once
    assert [c for c in once if c.isalpha()] == [c for c in prompts.unicodedata.normalize("NFC", once) if c.isalpha()]


def test_long_nonsense_is_cleaned_at_once():
    start = time.perf_counter()
    for text in (TAG * 100_000, "\U0001f3f4" + TAG * 100_000, ZWJ * 100_000, ("\u0645" + ZWNJ) * 50_000,
                 "\u0301" * 100_000 + ZWNJ, "\u1820" + "\u180b" * 100_000, "\u706b" * 300_000,
                 "\ufe0f" * 100_000, "\U0001f3fd" * 100_000 + ZWJ, "\u094d\u200c\u0301" * 30_000):
        prompts._visible(text)
    assert time.perf_counter() - start < 20


def test_empty_labels_of_a_list_are_told():
    cleaned = clean_labels(["cat", " ", "", "dog"])
    assert cleaned.labels == ("cat", "dog") and said(cleaned.notes) == "left out 2 empty label(s)"


@pytest.mark.parametrize("labels", ["", " , \n,", [], [" "], "\u200b", "\x00"])
def test_no_labels(labels):
    with pytest.raises(PromptError, match="no labels; type at least one"):
        clean_labels(labels)


def test_limits_name_count_and_limit():
    assert len(clean_labels([f"label {i}" for i in range(1000)]).labels) == 1000
    with pytest.raises(PromptError, match="10,000 labels; the limit is 1,000"):
        clean_labels("\n".join(f"label {i}" for i in range(10_000)))
    with pytest.raises(PromptError, match="'x{59}…' has 301 characters; the limit is 300"):
        clean_labels(["cat", "x" * 301])
    with pytest.raises(PromptError, match="9,000,000 characters in all; the limit is 302,000"):
        clean_labels("cat, dog, " * 900_000)
    with pytest.raises(PromptError, match="of type int"):
        clean_labels(["cat", 3])


@settings(max_examples=200)
@given(st.lists(st.text(max_size=20), max_size=20))
def test_cleaning_twice_changes_nothing_and_loses_nothing_in_silence(labels):
    try:
        first = clean_labels(labels)
    except PromptError:
        assert not any(prompts._visible(label) for label in labels)
        return
    second = clean_labels(list(first.labels))
    assert second.labels == first.labels and not second.notes
    assert len(first.labels) == len(labels) or first.notes


def test_everyday_words_are_distinct_and_clean():
    assert 150 <= len(prompts.EVERYDAY_WORDS) <= 200
    cleaned = clean_labels(list(prompts.EVERYDAY_WORDS))
    assert cleaned.labels == prompts.EVERYDAY_WORDS and not cleaned.notes


@pytest.mark.parametrize("template, label, prompt", [
    ("an emoji of a {}", "a dog", "an emoji of a dog"), ("an emoji of a {}", "the dog", "an emoji of the dog"),
    ("A {}", "An owl", "An owl"), ("a {} emoji", "an owl", "an owl emoji"), ("{}", "a dog", "a dog"),
    ("a photo of {}", "a dog", "a photo of a dog"), ("a photo of my {}.", "a dog", "a photo of my dog."),
    ("a bad photo of the large {}.", "a dog", "a bad photo of the large dog."), ("a toy {}.", "the dog", "a toy dog."),
    ("a photo of a {}", "dog", "a photo of a dog"), ("a photo of a {}", "apple", "a photo of a apple"),  # as published
    ("the letter of a {}", "a", "the letter of a a"), ("a {}", "another", "a another"), ("一张{}的图", "a dog", "一张a dog的图"),
])
def test_a_prompt_has_one_article(template, label, prompt):
    assert prompts.fill_with_one_article(template, label) == prompt


@pytest.mark.parametrize("name", prompts.TEMPLATES)
def test_no_set_gives_two_articles_and_labels_without_one_are_filled_as_published(name):
    for template in prompts.TEMPLATES[name]:
        assert not re.search(r"\b(an?|the|one|my) (\w+ )?(a|the) dog", prompts.fill_with_one_article(template, "a dog"))
        assert prompts.fill_with_one_article(template, "hot dog") == prompts.fill(template, "hot dog")
    with pytest.raises(PromptError, match="twice|2 times"):
        prompts.fill_with_one_article("{} {}", "a dog")
