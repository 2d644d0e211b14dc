"""How OpenAI's code reads a text: mended, in Python's lower case, cut by a pattern that ignores case.

Only published models that were trained with it want it: Tokenizer(repair=True). transformers' way is in bpe.py.
"""

import html

import regex

from clipmini.bpe import WORDS

# The pattern of bpe.py, but ignoring case: an apostrophe with a long s is an "'s" too.
OPENAI_WORDS = regex.compile(WORDS.pattern.replace(r"\p{L}+|\p{N}|", r"[\p{L}]+|[\p{N}]|"), regex.IGNORECASE)


def repair_text(text: str) -> str:
    """Mend broken Unicode and HTML entities, as OpenAI's code does before anything else.

    >>> repair_text("fish &amp;amp; chips ")
    'fish & chips'
    """
    if text.isascii() and "&" not in text and text.isprintable():  # nothing in it is broken (a test asks ftfy)
        return text.strip()
    try:
        import ftfy  # costs a tenth of a second, which most captions never need
    except ModuleNotFoundError:
        raise ImportError("repair=True needs ftfy for this text: pip install ftfy") from None
    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def openai_words(text: str) -> list[str]:
    """Cut a repaired text into words as OpenAI's code does: in Python's lower case, special tokens in any case.

    >>> openai_words("ΣΑΣ <|EndOfText|>")
    ['σας', '<|endoftext|>']
    """
    return OPENAI_WORDS.findall(text.lower())
