"""Labels and templates: what people type, checked and turned into the prompts that the text tower reads."""

import re
import unicodedata
from dataclasses import dataclass, field

import regex

from clipmini.data.classnames import PUBLISHED_TEMPLATES

MAX_LABELS, MAX_LABEL_LENGTH, MAX_TEMPLATES = 1000, 300, 100  # labels, characters, templates

TEMPLATES: dict[str, tuple[str, ...]] = {
    "plain": ("{}",),
    "emoji": ("{}", "an emoji of a {}", "a drawing of a {}", "an icon of a {}", "a {} emoji",
              "a small picture of a {}"),
    "photo": ("a photo of a {}.",),
    "shapes": ("a {}", "{}", "one {}", "a picture of a {}"),  # labels such as "red triangle"
    "fashion": ("{}", "a photo of a {}", "a picture of a {}", "{} on white", "one {}"),
    **PUBLISHED_TEMPLATES,
}

# What "none of these" stands for: things that pictures often show.
EVERYDAY_WORDS = tuple("""
dog cat horse cow pig sheep goat rabbit mouse bear lion tiger elephant monkey giraffe bird duck chicken owl penguin fish
shark whale octopus crab snake turtle frog spider bee butterfly ant snail apple banana orange grape strawberry lemon
watermelon cherry carrot potato tomato corn mushroom bread cheese egg pizza hamburger sandwich noodles rice cake cookie
chocolate candy coffee tea milk bottle car bus truck train bicycle motorcycle airplane helicopter rocket boat ship
tractor ambulance house church castle tower bridge tent door window chair table bed lamp clock watch mirror key lock
hammer knife scissors axe saw screw wrench rope ladder broom bucket basket box bag backpack umbrella shirt trousers
dress shoe boot hat glove scarf sock glasses ring crown book newspaper letter pencil brush paint map flag ball drum
guitar piano violin trumpet microphone camera television telephone computer keyboard printer battery magnet tree flower
rose cactus leaf grass sun moon star cloud rain snow lightning rainbow fire water mountain beach island volcano
baby boy girl man woman face hand foot eye ear heart skull robot ghost doll kite balloon gift medal
""".split())

MESSAGES = {  # kind -> what is said; the app says the same kinds in other languages
    "no_labels": "there are no labels; type at least one, for example: cat, dog",
    "too_many_labels": "{count:,} labels; the limit is {limit:,}. Remove some, or classify in several runs.",
    "long_label": "the label {label!r} has {count:,} characters; the limit is {limit}. Shorten it.",
    "no_text": "a label is of type {type}; labels must be text (str)",
    "long_text": "the labels have {count:,} characters in all; the limit is {limit:,}. Remove some.",
    "bad_template": "the template {template!r} is not usable: {reason}. Write the label's place as one {{}}, "
                    "for example 'a photo of a {{}}.', and use no other braces.",
    "no_templates": "there are no templates; write at least one, for example: a photo of a {{}}.",
    "too_many_templates": "{count:,} templates; the limit is {limit}. Remove some.",
    "token_limit": "the label {label!r} makes the prompt {prompt!r} of {count} tokens; the context is {limit} tokens "
                   "(not characters). Shorten the label or the template.",
    "merged": "merged {count} repeated label(s), the same but for case and spaces: {labels}",
    "empty": "left out {count} empty label(s)",
    "invisible": "removed control or invisible characters from {count} label(s): {labels}",
    "one_label": "one label always gets 100 %: add a second one, or switch on 'none of these'",
    "fewer_templates": "some of the {count} templates would pass the context of {limit} tokens and are left out for: "
                       "{labels}",
    "unseen": "the model's training texts hardly ever had the letters of: {labels}. It reads single bytes there; "
              "expect guesses, not answers.",
    "new_words": "no caption that the model learnt from had: {labels}. It guesses what is meant from pieces of the "
                 "words.",
    "outside": "the picture is unlike all that the model learnt from: it is outside of that with a probability of "
               "{share:.0%}, so the answer is a guess.",
    "outside_some": "{count} of the pictures are unlike all that the model learnt from: number {labels}. Their answers "
                    "are guesses.",
    "one_article": "these labels bring an article of their own, so each prompt has one article, not two: {labels}",
    "no_words_left": "every everyday word is near a label in this model's eyes, so 'none of these' has nothing to win "
                     "with",
    "blank": "the picture is blank: it is of one colour all over, with transparent parts on white, so the answer is a "
             "guess. Lay it on another background.",
    "blank_some": "{count} of the pictures are blank, of one colour all over with transparent parts on white: number "
                  "{labels}. Their answers are guesses.",
}


class PromptError(ValueError):
    """Labels or templates that cannot be used. kind: a key of MESSAGES; values: what the message names."""

    def __init__(self, kind: str, **values):
        super().__init__(MESSAGES[kind].format(**values))
        self.kind, self.values = kind, values


@dataclass(frozen=True)
class Note:
    """Something the user should know, in words by str(). kind: a key of MESSAGES; values: what the message names."""

    kind: str
    values: dict = field(default_factory=dict)

    def __str__(self) -> str:
        return MESSAGES[self.kind].format(**self.values)


@dataclass(frozen=True)
class CleanLabels:
    """labels: usable, each once, in the order given. notes: what was merged, removed or left out."""

    labels: tuple[str, ...]
    notes: tuple[Note, ...] = ()


def check_template(template: str) -> str:
    """Return the template if it has exactly one literal {} and no other brace. Raises PromptError.

    >>> check_template("a photo of a {}.")
    'a photo of a {}.'
    """
    count = template.count("{}")
    if count != 1:
        raise PromptError("bad_template", template=shorten(template), reason=f"it has {count} times {{}}, not once")
    if re.search(r"[{}]", template.replace("{}", "")):
        raise PromptError("bad_template", template=shorten(template), reason="it has other braces than {}")
    if len(template) > MAX_LABEL_LENGTH:
        reason = f"it has {len(template):,} characters, more than {MAX_LABEL_LENGTH}"
        raise PromptError("bad_template", template=shorten(template), reason=reason)
    return template


def fill(template: str, label: str) -> str:
    """Put the label in. Never str.format: in '{0.__class__}' that would run what a stranger wrote.

    >>> fill("a photo of a {}.", "cat")
    'a photo of a cat.'
    """
    return check_template(template).replace("{}", label)


_ARTICLE = re.compile(r"(?:an?|the) (?=\S)", re.I)
_LAST_WORD = re.compile(r"\b(?:an?|the) (?={})", re.I)  # "a photo of a {}": the template's article goes
# "a photo of my {}", "a photo of a large {}": the label's goes
_EARLIER = re.compile(r"\b(?:one|my|your|this|that|no) {}|(?:^|of )(?:an?|the|one|my) [\w-]+ {}", re.I)


def fill_with_one_article(template: str, label: str) -> str:
    """`fill`, but a label that brings its own article makes no "an emoji of a a dog".

    For labels as people type them. Class names of test sets go through `fill`: what was published has two articles.

    >>> fill_with_one_article("an emoji of a {}", "the dog"), fill_with_one_article("a photo of my {}.", "a dog")
    ('an emoji of the dog', 'a photo of my dog.')
    """
    own = _ARTICLE.match(label)
    if own and _EARLIER.search(check_template(template)):
        return fill(template, label[own.end():])
    return fill(_LAST_WORD.sub("", template) if own else template, label)


def clean_templates(templates) -> tuple[str, ...]:
    """A template set's name, one template a line, or several templates -> a checked tuple, each once. Raises
    PromptError."""
    if isinstance(templates, str):
        templates = TEMPLATES.get(templates) or templates.splitlines()
    found = tuple(dict.fromkeys(t.strip() for t in templates if t.strip()))
    if not found:
        raise PromptError("no_templates")
    if len(found) > MAX_TEMPLATES:
        raise PromptError("too_many_templates", count=len(found), limit=MAX_TEMPLATES)
    return tuple(check_template(_visible(t)) for t in found)


def shorten(text: str, length: int = 60) -> str:
    """At most `length` characters, for a message."""
    return text if len(text) <= length else text[:length - 1] + "…"


# Never part of a word: control characters, halves of characters, what turns the direction of writing, zero-width
# spaces, blanks that pass for letters. Their kin in _SPELLED are for it to judge; signs over Arabic numbers are seen.
_JUNK = regex.compile(r"""(?V1)[[\p{Cc}\p{Cs}\p{Cf}\p{Default_Ignorable_Code_Point}]
    --[\u200c\u200d\u115f\u1160\u180b-\u180f\p{Variation_Selector}\p{Prepended_Concatenation_Mark}]
    --[\U000e0020-\U000e007f\U00013430-\U0001345f]]
    | (?<=[\u200c\u200d])[\u200c\u200d]  # one joiner is enough""", regex.X)
# Invisible, but emoji and words are spelled with them (group 1, in its place); anywhere else they go. Every repetition
# has an end: what strangers type is read in linear time.
_SPELLED = regex.compile(r"""(?V1)
    (?=[\u200c\u200d\u115f\u1160\u180b-\u180f\u2800\p{Variation_Selector}\U000e0020-\U000e007f]) (?:(
    (?<=\p{Extended_Pictographic}[\p{Emoji_Modifier}\ufe0e\ufe0f]{0,2})
      [\U000e0020-\U000e007e]{1,30}\U000e007f                                # a region's flag
    | (?<=\p{Extended_Pictographic}[\p{Emoji_Modifier}\ufe0e\ufe0f]{0,2}[\U000e0020-\U000e007f]{0,31})
      \u200d (?=\p{Extended_Pictographic})                                   # families, professions
    | (?<=NATIVE\p{M}{0,8})[\u200c\u200d](?=[\p{L}\p{M}\p{N}])               # in a word: Persian, Hindi ...
    | (?<=[\p{L}\p{N}]\p{M}{0,8})[\u200c\u200d](?=NATIVE)
    | (?<=\p{ccc=9})[\u200c\u200d]                                           # half letters end a word too
    | (?<=\p{Emoji})[\ufe0e\ufe0f]                                           # as text, in colour; keycaps
    | (?<=[[\p{L}\p{M}\p{N}\p{S}\p{P}]--[\p{ASCII}\p{Latin}\p{Greek}\p{Cyrillic}\p{Variation_Selector}]])
      \p{Variation_Selector}                                                 # shapes of Chinese letters
    | (?<=\p{Mongolian}\p{M}{0,8})[\u180b-\u180f]
    | (?<=[\u1100-\u115e\u1161-\u11ff])[\u115f\u1160] | [\u115f\u1160](?=[\u1100-\u115e\u1161-\u11ff])
    | (?<=[\u2801-\u28ff])\u2800(?=[\u2801-\u28ff])
    ) | .)
    """.replace("NATIVE", r"[[\p{L}\p{M}\p{N}\u0640]--[\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}\p{Hiragana}\p{Katakana}"
                          r"\p{Hangul}\p{Inherited}]--[\p{Common}--\u0640]]"), regex.X)


def _visible(text: str) -> str:
    """In Unicode's composed form (NFC), without control and invisible characters; spaces of all kinds become one blank.

    What emoji and words are spelled with stays in its place: joiners, variation selectors, the tags of a region's flag
    (Unicode TR 51, and TR 31 section 2.3 on joiners).

    >>> _visible("ca\u200dt  \U0001f469\u200d\U0001f680")
    'cat 👩\u200d🚀'
    """
    before = None
    while text != before:  # what is left may join anew
        before, text = text, unicodedata.normalize("NFC", " ".join(text.split()))
        if not text.isascii() or not text.isprintable():
            text = unicodedata.normalize("NFC", _SPELLED.sub(r"\1", _JUNK.sub("", text)))
    return text


def _parts(text_or_list, limit: int, length: int) -> list[str]:
    if isinstance(text_or_list, str):
        if len(text_or_list) > limit * (length + 2):
            raise PromptError("long_text", count=len(text_or_list), limit=limit * (length + 2))
        return [p for p in re.split(r"[,，、;；\r\n]", text_or_list) if p.strip()]
    parts = list(text_or_list)
    wrong = next((p for p in parts if not isinstance(p, str)), "")
    if wrong != "":
        raise PromptError("no_text", type=type(wrong).__name__)
    return parts


def clean_labels(text_or_list, limit: int = MAX_LABELS, length: int = MAX_LABEL_LENGTH) -> CleanLabels:
    """Labels as people type them -> labels to classify with, and notes on all that was changed.

    text_or_list: one text, split at commas, semicolons and new lines, or a list of labels (not split).
    limit: of distinct labels; length: of characters in one. Raises PromptError for none, too many or too long ones.

    >>> clean_labels("cat, dog, Cat").labels
    ('cat', 'dog')
    """
    found, repeated, changed, empty = {}, [], [], 0
    for part in _parts(text_or_list, limit, length):
        label = _visible(part)
        if label != unicodedata.normalize("NFC", " ".join(part.split())):
            changed.append(shorten(label) or "(nothing else)")
        if len(label) > length:
            raise PromptError("long_label", label=shorten(label), count=len(label), limit=length)
        key = label.casefold()
        if not label:
            empty += 1
        elif key in found:
            repeated.append(shorten(label))
        else:
            found[key] = label
    if not found:
        raise PromptError("no_labels")
    if len(found) > limit:
        raise PromptError("too_many_labels", count=len(found), limit=limit)
    notes = [Note(kind, {"count": len(names), "labels": listed(names)})
             for kind, names in (("merged", repeated), ("invisible", changed)) if names]
    return CleanLabels(tuple(found.values()), tuple(notes + [Note("empty", {"count": empty})] * (empty > 0)))


def listed(names, most: int = 10) -> str:
    """A few names, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    names = list(dict.fromkeys(names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def named_or_own(templates: str) -> str | list[str]:
    """A template set's name as it is, one template as a list. Raises ValueError for what is neither."""
    if templates not in TEMPLATES and "{}" not in templates:
        raise ValueError(f"there is no template set {templates!r}; choose one of {', '.join(TEMPLATES)}, or write "
                         "a template of your own, with {} for the label")
    return templates if templates in TEMPLATES else [templates]
