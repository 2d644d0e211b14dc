"""The words that the map suggests find what they say: at least 10 of the 12 nearest drawings, in both languages."""

import re

import pytest

import clipmini
from demo_app.map.canvas import opened
from demo_app.map.neighbours import nearest_points
from demo_app.map.stored import shipped
from demo_app.tabs.map import TRY, TRY_ZH
from demo_app.texts import TEXTS

FRUIT = r"pear|tomato|pineapple|tangerine|melon|strawberry|lemon|lime|berries|peach|cherries|grapes|mango|apple|banana"
HEART = r"heart|love letter"
CLOCK = r"watch|clock|-thirty"
HAND = r"\bhands?\b|palms|handshake"
STARS = "virgo|taurus|gemini|libra|ophiuchus|pisces|scorpio|leo|capricorn|sagittarius|aries|cancer|aquarius"
RIGHT = {  # word -> names of drawings that show it; what is doubtful counts as wrong
    "fruit": FRUIT, "水果": FRUIT, "heart": HEART, "心": HEART, "clock": CLOCK, "时钟": CLOCK, "arrow": "arrow",
    "箭头": "arrow", "hands": HAND, "手": HAND + "|backhand|call me", "zodiac": STARS, "星座": STARS, "月亮": r"\bmoon",
    "vegetable": r"eggplant|pea pod|corn|vegetable|leafy|cucumber|pepper|onion|garlic|carrot|potato|broccoli",
    "vehicle": r"bus|ambulance|automobile|vehicle|taxi|monorail|tractor|engine|lorry|train|truck|car\b|tram",
    "sad face": r"frown|sad|persevering|downcast|tired|disappointed|crying|confused|weary|worried|anguished",
    "乐器": "guitar|flute|saxophone|musical keyboard|banjo|violin|harp|trombone|trumpet|maracas|drum|accordion",
    "按钮": "button"}


@pytest.fixture(scope="module")
def emoji():
    return clipmini.load("emoji", device="cpu")


@pytest.mark.parametrize("word", [*TRY, *(chinese for chinese, _ in TRY_ZH)])
def test_what_the_map_suggests_is_found(word, emoji):
    o = opened(shipped("emoji"))
    found = [o.found.names[i] for i in nearest_points(o, emoji.embed_texts([word])[0], words=False)][:12]
    right = [name for name in found if re.search(RIGHT[word], name)]
    assert len(found) == 12 and len(right) >= 10, (word, set(found) - set(right))


def test_the_buttons_say_the_words_that_are_asked():
    assert [TEXTS["en"][f"map_js_try_{i}"] for i in range(len(TRY))] == list(TRY)
    assert [TEXTS["zh"][f"map_js_try_{i}"] for i in range(len(TRY_ZH))] == [chinese for chinese, _ in TRY_ZH]
