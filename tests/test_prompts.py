"""Labels and templates: what people type."""

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
