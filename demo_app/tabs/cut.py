"""The view that cuts out: a click, a box or words choose a part of the picture; the answer is three masks."""

import json
import math
import zlib
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from PIL import Image

import clipmini
from clipmini.image import open_image
from clipmini.segmenter.cutouts import box_of, record, transparent
from clipmini.segmenter.predict import Answer, MaskPredictor
from clipmini.tasks.segmenters import EMBEDDED
from demo_app.map.canvas import as_address, data_address
from demo_app.page import PRIVATE, Asked, Kept, Page, friendly_errors
from demo_app.saving import Offer, Saved
from demo_app.shelf import AUTOMATIC
from demo_app.texts import Told, say
from demo_app.views import answers, endpoint, view

HERE = Path(__file__).parent.parent / "cutting"
SCRIPT, STYLE, TEMPLATE = ((HERE / f"cut.{kind}").read_text(encoding="utf-8") for kind in ("js", "css", "html"))
SIDE = 1024  # pixels of the longer side that a visitor sees, and cuts out
MOST_CLICKS, LONGEST = 20, 4000  # letters of a prompt as JSON
SAID = ("add", "take", "box", "undo", "clear", "save", "mask", "iou", "canvas", "tools", "modes", "three")
THERE = 0.5  # probability below which the words are said to name nothing here
LANE: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "cut"}


class Given(NamedTuple):
    """What a visitor gave. clicks: x, y (shares of the picture), 1 or 0, and which mask was chosen before; box: left,
    top, right, bottom, or None."""

    clicks: list[tuple[float, float, int, int]]
    box: list[float] | None


@lru_cache(maxsize=1)
def segmenter() -> MaskPredictor:
    """The embedded one, read once. Raises CheckpointError."""
    return clipmini.load_segmenter()


def looking_at(image: Image.Image) -> MaskPredictor:
    """A predictor of one's own, for others ask about their pictures at the same time; the model is everybody's."""
    ours = segmenter()
    predictor = MaskPredictor(ours.model, ours.embedder)
    predictor.set_image(image)
    return predictor


def key_of(image: Image.Image) -> str:
    """What tells pictures apart: a prompt is for one of them."""
    return f"{image.width}x{image.height}-{zlib.crc32(image.tobytes()):08x}"


def read(text: str, key: str) -> Given:
    """A prompt from the page, of the picture with this key; of another one it is forgotten. Raises Told for what no
    page sends."""
    if not text:
        return Given([], None)
    try:
        if len(text) > LONGEST:
            raise ValueError
        raw = json.loads(text)
        clicks = [(float(x), float(y), int(label), int(choice)) for x, y, label, choice in raw["clicks"]]
        box = None if raw.get("box") is None else [float(v) for v in raw["box"]]
        numbers = [v for click in clicks for v in click] + (box or [])
        if len(clicks) > MOST_CLICKS or not all(math.isfinite(v) for v in numbers) or box and len(box) != 4:
            raise ValueError
        of = str(raw.get("of", ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Told("cut_bad", limit=MOST_CLICKS) from None
    return Given(clicks, box) if of == key else Given([], None)


def look(image: Image.Image, given: Given, words: str) -> Answer:
    """Three masks. Without a prompt, a click in the middle; each click starts from the mask that was chosen before.
    Raises PromptError, CheckpointError."""
    predictor = looking_at(image)
    size = np.array(image.size, float)
    box = None if given.box is None else (np.array(given.box).reshape(2, 2) * size).flatten()
    clicks = given.clicks
    if not clicks and box is None and not words:
        clicks = [(0.5, 0.5, 1, 0)]
    if not clicks:
        return predictor.predict(box=box, text=words or None)
    points, labels = np.array([click[:2] for click in clicks]) * size, [click[2] for click in clicks]
    answer: Answer | None = None
    for number in range(1, len(clicks) + 1):
        if answer is None and not any(labels[:number]) and box is None and not words and number < len(clicks):
            continue  # a first click that takes away says nothing by itself
        mask = None if answer is None else answer.logits[min(max(0, clicks[number - 1][3]), len(answer.logits) - 1)]
        answer = predictor.predict(points[:number], labels[:number], box, words or None, mask)
    assert answer is not None
    return answer


def shade(mask: np.ndarray, colour: tuple[int, int, int]) -> str:
    """A mask as an address: one colour, all else transparent."""
    levels = np.zeros((*mask.shape, 4), np.uint8)
    levels[mask] = (*colour, 255)
    stream = BytesIO()
    Image.fromarray(levels).save(stream, "WEBP", lossless=True, quality=0)
    return data_address(stream.getvalue())


# As the figures have them: the first of plots.PHRASE_COLOURS, which take long to import.
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115))


def shown(image: Image.Image, given: Given, answer: Answer, words: str, lang: str) -> str:
    """What the canvas needs, as JSON."""
    areas = [float(mask.float().mean()) for mask in answer.masks]
    key = "cut_nothing" if not areas[0] else "cut_absent" if words and answer.there < THERE else \
        "cut_said" if given.clicks or given.box or words else "cut_first"
    said = say(lang, key, iou=float(answer.iou[0]), area=areas[0], words=words, there=answer.there)
    masks = [shade(mask.numpy(), colour) for mask, colour in zip(answer.masks, COLOURS, strict=True)]
    prompt = {"clicks": given.clicks, "box": given.box, "given": bool(given.clicks or given.box)}
    return json.dumps({"of": key_of(image), "picture": as_address(image), "w": image.width, "h": image.height,
                       "masks": masks, "iou": [round(float(v), 4) for v in answer.iou], "said": said,
                       "there": round(answer.there, 4), "prompt": prompt})


def picture_of(asked: Asked) -> Image.Image:
    """The picture of the bench, as large as it is shown. Raises Missing, ImageError."""
    image = open_image(asked.need_picture()).copy()
    image.thumbnail((SIDE, SIDE))
    return image


def saved(asked: Asked, text: str, words: str) -> Saved:
    """The three masks side by side, and a row for each."""
    image = picture_of(asked)
    answer = look(image, read(text, key_of(image)), words.strip())

    def figures() -> list:
        from clipmini.mask_plots import three_masks

        return [three_masks(image, [mask.numpy() for mask in answer.masks], answer.iou.tolist(), words.strip())]
    rows = []
    for number, (mask, iou) in enumerate(zip(answer.masks.numpy(), answer.iou.tolist(), strict=True), 1):
        left, top, right, bottom = box_of(mask)
        rows.append((number, round(iou, 4), int(mask.sum()), left, top, right - left, bottom - top))
    return Saved(figures, ("mask", "expected IoU", "pixels", "left", "top", "width", "height"), rows)


def js_words(lang: str) -> str:
    """What the canvas says, in a language."""
    return json.dumps({key: say(lang, f"cut_js_{key}") for key in SAID})


def build(page: Page) -> None:
    """Draw the view and connect it."""
    word = page.word
    with view(page, "cut"):
        gr.Markdown(word("cut_about"), elem_classes="cm-about")
        canvas = gr.HTML("", html_template=TEMPLATE, css_template=STYLE, js_on_load=SCRIPT, elem_id="cut-view",
                         words=js_words(page.lang or "en"), label=word("tab_cut"))
        words = gr.Textbox("", label=word("cut_words"), info=word("cut_words_info"), max_lines=1, elem_id="cut-words")
        prompt = gr.Textbox("", visible="hidden", elem_id="cut-prompt")

    def answer(asked: Asked, text: str, words: str) -> Any:
        image, words = picture_of(asked), (words or "").strip()
        given = read(text, key_of(image))
        return gr.HTML(shown(image, given, look(image, given, words), words, asked.lang), words=js_words(asked.lang))

    def take(event: gr.EventData) -> str:
        return json.dumps({key: event._data.get(key) for key in ("of", "clicks", "box")})[:LONGEST + 1]

    page.kept["cut"] = Kept(words)
    answers(page, "cut", answer, [prompt, words], [canvas], LANE, blind=True, by=EMBEDDED)
    page.saved["cut"] = Offer(saved, [prompt, words], blind=True)
    canvas.prompt(take, None, prompt, **PRIVATE)
    endpoint(page, "cut", "cut_out", _cut_out(page),
             [page.bench.picture, words, *(partial(gr.Textbox, "", label=word(key), visible=False)
                                           for key in ("cut_clicks", "cut_box"))],
             {"cutout": gr.Image, "masks": gr.JSON}, LANE)


def numbers(text: str, each: int) -> list[list[float]]:
    """Groups of `each` numbers, apart by semicolons, numbers by commas. Raises Told.

    >>> numbers("95,65,1; 5,5,0", 3)
    [[95.0, 65.0, 1.0], [5.0, 5.0, 0.0]]
    """
    try:
        found = [[float(number) for number in part.split(",")] for part in text.split(";") if part.strip()]
    except ValueError:
        found = [[]]
    if len(found) > MOST_CLICKS or any(len(group) != each for group in found):
        raise Told("cut_numbers", each=each, limit=MOST_CLICKS)
    return found


def _cut_out(page: Page):
    def cut_out(picture: str | None, words: str, clicks: str, box: str, request: gr.Request):
        """Cut out what words, clicks or a box choose in a picture of drawings.

        Args:
            picture: the picture.
            words: what to cut out, such as "red apple"; "" where clicks or a box say it.
            clicks: at most 20, "95,65,1; 5,5,0": x, y in pixels, 1 for "it is here", 0 for "it is not here"; or "".
            box: "left,top,right,bottom" around it, in pixels; or "". Without any prompt, the middle is clicked.

        Returns:
            The likeliest cut-out with transparency; and three masks as COCO run lengths with box, area and the
            intersection over union that is expected of each, with the probability that the thing is there at all.
        """
        lang = page.language(request)
        with friendly_errors(lang):
            asked = page.asked(picture, "", "{}", False, AUTOMATIC, lang, blind=True)
            image = open_image(asked.need_picture())
            predictor = looking_at(image)
            given, frame, words = numbers(clicks, 3), [v for group in numbers(box, 4) for v in group], words.strip()
            if not given and not frame and not words:
                given = [[image.width / 2, image.height / 2, 1]]
            answer = predictor.predict([click[:2] for click in given] or None, [click[2] for click in given] or None,
                                       frame or None, words or None)
            masks = [record(mask.numpy(), float(iou)) for mask, iou in zip(answer.masks, answer.iou, strict=True)]
        return transparent(image, answer.masks[0].numpy()), {
            "size": [image.height, image.width], "there": round(answer.there, 4), "masks": masks}
    return cut_out


WORDS = {
    "en": {
        "tab_cut": "Cut out",
        "cut_about": "Click on a thing and it is cut out. A click may mean the whole thing or a part of it, so there "
                     "are **three answers** to choose from. Our own small segmenter answers, whichever model is chosen "
                     "above; it learnt from drawings.",
        "cut_words": "Or say what to cut out",
        "cut_words_info": "Such as: rocket. Words, clicks and a box can be used together.",
        "cut_first": "This is what a click in the middle cuts out; the expected quality of the first mask is "
                     "{iou:.2f} of 1. Click on something else.",
        "cut_said": "{area:.0%} of the picture. Expected quality of the first mask (intersection over union): "
                    "{iou:.2f} of 1.",
        "cut_absent": "{words} is probably not there: the probability is {there:.0%}. The masks are the nearest guess.",
        "cut_nothing": "Nothing was found there. Click on something else, or undo.",
        "cut_bad": "These clicks cannot be read; a prompt has at most {limit} clicks, and one box.",
        "cut_numbers": "Write groups of {each} numbers: commas between numbers, semicolons between groups, at most "
                       "{limit} of them.",
        "cut_clicks": "Clicks",
        "cut_box": "Box",
        "cut_js_add": "add +",
        "cut_js_take": "take away −",
        "cut_js_box": "draw a box",
        "cut_js_undo": "undo",
        "cut_js_clear": "start anew",
        "cut_js_save": "save the cut-out",
        "cut_js_mask": "mask",
        "cut_js_iou": "expected quality",
        "cut_js_canvas": "The picture. Arrow keys move a cross, Enter clicks there, minus takes away, Backspace "
                         "undoes, 1 to 3 choose a mask.",
        "cut_js_tools": "what a click does, and undo",
        "cut_js_modes": "what a click does",
        "cut_js_three": "three masks",
    },
    "zh": {
        "tab_cut": "抠图",
        "cut_about": "点一下某个东西，它就被抠出来。一次点击可能指整个东西，也可能指它的一部分，"
                     "所以有**三个答案**可选。不管上面选了哪个模型，这里都由我们自己的小分割模型回答；它只学过图画。",
        "cut_words": "或者说出要抠什么",
        "cut_words_info": "例如：火箭。文字、点击和方框可以一起用。",
        "cut_first": "这是点击正中间抠出来的结果；第一个掩码的预计质量是 {iou:.2f}（满分 1）。点点别的东西吧。",
        "cut_said": "占图片的 {area:.0%}。第一个掩码的预计质量（交并比）：{iou:.2f}（满分 1）。",
        "cut_absent": "图里大概没有“{words}”：概率是 {there:.0%}。掩码只是最接近的猜测。",
        "cut_nothing": "那里什么也没找到。点点别处，或者撤销。",
        "cut_bad": "这些点击无法读取；最多 {limit} 次点击，外加一个方框。",
        "cut_numbers": "请写成每组 {each} 个数：数之间用逗号，组之间用分号，最多 {limit} 组。",
        "cut_clicks": "点击",
        "cut_box": "方框",
        "cut_js_add": "添加 +",
        "cut_js_take": "去掉 −",
        "cut_js_box": "画方框",
        "cut_js_undo": "撤销",
        "cut_js_clear": "重新开始",
        "cut_js_save": "保存抠图",
        "cut_js_mask": "掩码",
        "cut_js_iou": "预计质量",
        "cut_js_canvas": "图片。方向键移动十字，回车在那里点击，减号去掉，退格撤销，1 到 3 选择掩码。",
        "cut_js_tools": "点击的作用，以及撤销",
        "cut_js_modes": "点击的作用",
        "cut_js_three": "三个掩码",
    },
}
