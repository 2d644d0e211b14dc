"""The view of a search: pictures found by words and pictures, which are weighed, added and taken away."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from html import escape
from typing import Any, NamedTuple

import gradio as gr
import torch
from torch import Tensor

from clipmini.image import ENDINGS, ImageError, open_image
from clipmini.tasks.index import FEW, Hit, NoIndexError, cut_off, query, search, split, terms
from clipmini.tasks.prompts import clean_labels
from demo_app import searched
from demo_app.cautions import TOO_LARGE
from demo_app.map.canvas import as_address
from demo_app.map.said import progress
from demo_app.page import PRIVATE, Asked, Kept, Page, friendly_errors
from demo_app.saving import Offer, Saved
from demo_app.searched import Searched
from demo_app.shelf import AUTOMATIC, Picked
from demo_app.texts import Missing, Told, say
from demo_app.views import answers, endpoint, view

LANE: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "search"}  # many pictures of one's own take a while
MOST_SHOWN, NEAREST, MOST_TERMS, MOST_TOLD = 24, 8, 12, 3
EVERYDAY = 0.9  # so many of the everyday words find nothing as near among FEW pictures
FIRST = "smiling face + cat"
TRY = (FIRST, "heart + blue", "2:heart + arrow", "2:tree - palm", "clock")
ROLES = {"apart": 0.0, "closer": 1.0, "farther": -1.0}  # what the picture of the bench is for -> its weight
SCRIPT = """element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-sign]");
  if (button) trigger("take", { sign: button.dataset.sign, name: button.dataset.name });
});"""
STYLE = """
.cm-hits { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 10px; margin: 0;
  padding: 0; list-style: none; }
.cm-hit { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 8px; margin: 0; display: flex;
  flex-direction: column; gap: 4px; background: var(--background-fill-primary); color: var(--body-text-color); }
.cm-hit img { width: 100%; height: 110px; object-fit: contain; background: white; border-radius: 6px; margin: 0; }
.cm-hit p { margin: 0; font-size: .84rem; line-height: 1.3; color: inherit; overflow-wrap: anywhere; flex: 1; }
.cm-hit b { font-variant-numeric: tabular-nums; font-weight: 600; }
.cm-hit.cm-beyond img { opacity: .55; }
.cm-hit span { display: flex; gap: 6px; }
.cm-hit button { flex: 1; margin: 0; min-width: 0; padding: 2px; min-height: 30px; border-radius: 7px; font-size: .8rem;
  color: inherit; line-height: 1.2; border: 1px solid currentColor; background: none; cursor: pointer; }
.cm-hit button:focus-visible { outline: 2px solid #6366f1; outline-offset: 2px; }
"""


class Found(NamedTuple):
    """hits: the nearest first; limit: the cosine from which one stands out of the others."""

    hits: list[Hit]
    limit: float


def asks(page: Page, asked: Asked, _query: str, _role: str, _every: bool, files: list[str] | None) -> Asked:
    """The same question to the model that can answer: that of the index, or by itself that for most of the files."""
    if files:
        return asked if asked.model.why else replace(asked, model=page.shelf.pick_for(AUTOMATIC, files))
    index = searched.served()
    if index is None or index.model.name == asked.model.model.name:
        return asked
    return replace(asked, model=Picked(index.model, "why_index"))


def collection(asked: Asked, files: list[str] | None, lang: str) -> Iterator[Searched | str]:
    """What is searched, after sentences on how far it is."""
    if files:
        from tqdm import tqdm

        rows = partial(tqdm, desc=say(lang, "search_reading"), leave=False, disable=None)
        yield searched.of_files(asked.embedder, files, rows)
    elif index := searched.served():
        yield searched.of_index(index)
    else:
        for step in searched.of_samples(asked.model.model):
            yield step if isinstance(step, Searched) else progress(step, lang, asked.embedder.name)


def whole(asked: Asked, files: list[str] | None) -> Searched:
    """The same without the sentences."""
    *_, found = collection(asked, files, asked.lang)
    assert isinstance(found, Searched)
    return found


def meant(asked: Asked, among: Searched, text: str, role: str) -> Tensor:
    """The vector that is looked for (E,): the text, in which [a name] is a picture of the collection, and the picture
    of the bench. Raises Missing, Told, PromptError, ImageError."""
    wanted: list[tuple[float, str | Tensor]] = []
    try:
        for weight, word in terms(split(text)) if text.strip() else ():
            name = re.fullmatch(r"\[(.+)\]", word, re.DOTALL)
            wanted.append((weight, among.vector(name[1]) if name else clean_labels([word], limit=1).labels[0]))
    except NoIndexError:
        raise Missing("search_sign") from None
    if weight := ROLES.get(role, 0.0):
        wanted.append((weight, asked.embedder.embed_images([open_image(asked.need_picture())])[0]))
    if not wanted:
        raise Missing("search_nothing")
    if len(wanted) > MOST_TERMS:
        raise Told("search_terms", n=len(wanted), limit=MOST_TERMS)
    try:
        return query(asked.embedder, wanted)
    except NoIndexError:
        raise Told("search_cancels") from None


def find(asked: Asked, among: Searched, text: str, role: str) -> Found:
    """The nearest MOST_SHOWN pictures, and from where they stand out: from the other pictures; where these are few, and
    words are looked for, from what everyday words would find among them."""
    vector = meant(asked, among, text, role)
    limit = cut_off(among.index, vector)
    if len(among.index) < FEW and "[" not in text and not ROLES.get(role) and asked.embedder.parameters <= TOO_LARGE:
        words = asked.model.model.everyday()
        found = words @ torch.from_numpy(among.index.full).t().to(words)
        limit = found.amax(dim=1).quantile(EVERYDAY).item()
    return Found(search(among.index, vector[None], MOST_SHOWN)[0], limit)


def said(lang: str, among: Searched, found: Found, every: bool) -> str:
    """How many stand out, and what was left out, as HTML."""
    out, n = sum(hit.score >= found.limit for hit in found.hits), len(among.index)
    where = say(lang, f"search_in_{among.kind}")
    few = "_few" if n < FEW else ""
    key = "search_few" if found.limit < -1 + 1e-6 else "search_most" if out == MOST_SHOWN < n else \
        f"search_one{few}" if out == 1 else f"search_out{few}" if out else f"search_none{few}"
    told = [say(lang, key, n=out, of=n, where=where, limit=found.limit), say(lang, "search_number")]
    if among.left_out:
        told.append(say(lang, "search_left_out", n=len(among.left_out), reasons="; ".join(
            why for _, why in among.left_out[:MOST_TOLD])))
    return "".join(f"<p>{escape(one)}</p>" for one in told)


def shown_hits(found: Found, every: bool) -> list[Hit]:
    """Those that stand out, and the nearest others as far as to NEAREST pictures, or all with `every`."""
    out = sum(hit.score >= found.limit for hit in found.hits)
    return found.hits if every else found.hits[:max(out, NEAREST)]


def cards(lang: str, among: Searched, found: Found, every: bool) -> str:
    """The pictures as HTML, each with two buttons."""
    shown = "".join(_card(lang, among, hit, found.limit) for hit in shown_hits(found, every))
    return f'<ul class="cm-hits">{shown}</ul>'


def _card(lang: str, among: Searched, hit: Hit, limit: float) -> str:
    name = escape(hit.path)
    try:
        image = f'<img src="{as_address(among.picture(hit.path))}" alt="{name}">'
    except ImageError:  # gone since it was indexed
        image = f"<p>{escape(say(lang, 'search_gone'))}</p>"
    buttons = "".join(f'<button type="button" data-sign="{sign}" data-name="{name}" aria-label="'
                      f'{escape(say(lang, key))}: {name}">{escape(say(lang, f"{key}_short"))}</button>'
                      for sign, key in (("+", "search_closer"), ("-", "search_farther")))
    beyond = "" if hit.score >= limit else " cm-beyond"
    return (f'<li class="cm-hit{beyond}" data-name="{name}" data-cosine="{hit.score:.4f}">{image}'
            f"<p>{name} <b>{hit.score:+.3f}</b></p><span>{buttons}</span></li>")


def saved(page: Page, asked: Asked, text: str, role: str, every: bool, files: list[str] | None) -> Saved:
    """The pictures side by side, and a row for each."""
    asked = asks(page, asked, text, role, every, files)
    among = whole(asked, files)
    found = find(asked, among, text, role)
    hits = shown_hits(found, every)

    def figures() -> list:
        from clipmini.plots import side_by_side

        few = hits[:NEAREST]
        titles = [f"{hit.path}\n{hit.score:+.3f}" for hit in few]
        return [side_by_side([among.picture(hit.path) for hit in few], titles, text or asked.embedder.name)]
    return Saved(figures, ("name", "cosine", "stands out"),
                 [(hit.path, hit.score, "yes" if hit.score >= found.limit else "no") for hit in hits])


def itself(text: str) -> str:
    """A text. (The server looks at the parameters of what it calls, and `str` shows none.)"""
    return text


def build(page: Page) -> None:
    """Draw the view and connect it."""
    word = page.word
    with view(page, "search"):
        gr.Markdown(word("search_about"), elem_classes="cm-about")
        text = gr.Textbox(FIRST, label=word("search_query"), info=word("search_query_info"), max_lines=2,
                          elem_id="search-query")
        with gr.Row(elem_id="search-try"):
            tries = [gr.Button(example, size="sm", min_width=70) for example in TRY]
        with gr.Accordion(word("search_own"), open=False):
            gr.Markdown(word("search_own_about"))
            files = gr.File(label=word("pictures"), file_count="multiple", file_types=list(ENDINGS), type="filepath",
                            elem_id="search-files", height=220)
        told = gr.HTML(elem_id="search-said")
        shown = gr.HTML("", css_template=STYLE, js_on_load=SCRIPT, elem_id="search-found", label=word("tab_search"))
        role = gr.Radio([(word(f"search_{role}"), role) for role in ROLES], value="apart", label=word("search_role"),
                        elem_id="search-role")
        every = gr.Checkbox(False, label=word("search_every"), elem_id="search-every")
    own = [text, role, every, files]

    def answer(asked: Asked, query: str, role: str, every: bool, files: list[str] | None) -> Iterator[tuple]:
        for among in collection(asked, files, asked.lang):
            if isinstance(among, str):
                yield among, gr.skip()
                continue
            found = find(asked, among, query or "", role)
            yield said(asked.lang, among, found, every), cards(asked.lang, among, found, every)

    def take(query: str, event: gr.EventData) -> str:
        sign, name = (str(event._data.get(key, ""))[:400] for key in ("sign", "name"))
        return f"{query.strip()} {sign} [{name}]".strip() if sign in ("+", "-") and name else query

    page.kept.update({"query": Kept(text), "like": Kept(role), "every": Kept(every)})
    answers(page, "search", answer, own, [told, shown], LANE, blind=True, doubt=False, instead=partial(asks, page))
    page.saved["search"] = Offer(partial(saved, page), own, blind=True)
    shown.take(take, text, text, **PRIVATE)
    for button, example in zip(tries, TRY, strict=True):
        button.click(partial(itself, example), None, text, **PRIVATE)
    bench = page.bench
    endpoint(page, "search", "search_pictures", _search_pictures(page), [text, bench.picture, files, bench.choice],
             {"found": gr.JSON}, LANE)


def _search_pictures(page: Page):
    def search_pictures(text: str, picture: str | None, pictures: list[str] | None, model: str, request: gr.Request
                        ) -> dict:
        """Which pictures are nearest to words and pictures, that are weighed, added and taken away?

        Args:
            text: such as "2:heart + arrow - red"; a sign stands between blanks, [a name] is one of the pictures.
            picture: one that is added to the text.
            pictures: files to search, at most 200; without them the app's index, or its sample drawings.
            model: "automatic", or a name on the shelf; an index is searched by its own.

        Returns:
            The model, the number of pictures, the cosine from which one stands out of the others, the 24 nearest with
            their cosines, and the files that could not be read, with reasons.
        """
        lang, role = page.language(request), "closer" if picture else "apart"
        with friendly_errors(lang):
            asked = page.asked(picture, "", "{}", False, model, lang, blind=True)
            asked = asks(page, asked, text, role, True, pictures)
            among = whole(asked, pictures)
            found = find(asked, among, text, role)
        return {"model": asked.embedder.name, "pictures": len(among.index), "stands out from": round(found.limit, 4),
                "found": [{"name": hit.path, "cosine": round(hit.score, 4)} for hit in found.hits],
                "left out": [{"name": name, "reason": why} for name, why in among.left_out]}
    return search_pictures


WORDS = {
    "en": {
        "tab_search": "Search",
        "search_about": "Find pictures by words, by pictures, or by both: each is a vector, and vectors can be added. "
                        "**2:heart + arrow** means: twice a heart, and an arrow; **2:tree - palm**: a tree, "
                        "but none like a palm.",
        "search_query": "What to look for",
        "search_query_info": "With a space on each side, + adds and - takes away; 2: counts twice; [dog.png] is a "
                             "picture of that name.",
        "search_role": "The picture of the workbench",
        "search_apart": "is not asked for",
        "search_closer": "more like it",
        "search_farther": "less like it",
        "search_closer_short": "more",
        "search_farther_short": "less",
        "search_every": "show 24, also of those that don't stand out",
        "search_own": "Search your own pictures",
        "search_own_about": "At most 200 files, searched in place of the samples until you remove them here. They are "
                            "not kept. Photos and drawings mixed are all read by one model, that for most of them. "
                            "(For whole folders: `clipmini index FOLDER`, then `clipmini app --index index`.)",
        "search_reading": "reading your pictures",
        "search_in_samples": "sample drawings",
        "search_in_own": "pictures of yours",
        "search_in_index": "pictures of the index",
        "search_out": "{n:,} of {of:,} {where} stand out for this query: their cosine is {limit:.3f} or more. The "
                      "others are pale.",
        "search_most": "{n:,} and more of {of:,} {where} stand out for this query: their cosine is {limit:.3f} or "
                       "more.",
        "search_one": "One of {of:,} {where} stands out for this query: its cosine is {limit:.3f} or more. The others "
                      "are pale.",
        "search_none": "None of {of:,} {where} stands out for this query: that would take a cosine of {limit:.3f}. The "
                       "nearest are shown, pale.",
        "search_out_few": "{n:,} of your {of:,} pictures fit this query: their cosine is {limit:.3f} or more, which 9 "
                          "of 10 everyday words don't reach with any of them. The others are pale.",
        "search_one_few": "One of your {of:,} pictures fits this query: its cosine is {limit:.3f} or more, which 9 of "
                          "10 everyday words don't reach with any of them. The others are pale.",
        "search_none_few": "None of your {of:,} pictures fits this query better than chance: 1 of 10 everyday words "
                           "reaches a cosine of {limit:.3f} with one of them. All are pale, the nearest first.",
        "search_few": "All of {of:,} {where}, the nearest first: of fewer than 20 none can be said to stand out.",
        "search_number": "The number is the cosine of a picture and the query: 1 is the same, 0 has nothing in common.",
        "search_left_out": "Left out, as they cannot be read: {n:,} of your files. {reasons}",
        "search_gone": "This file is no longer there, or can no longer be read.",
        "search_nothing": "Write what to look for, or ask for more like your picture.",
        "search_sign": "A word or a picture is missing beside + or -, as in: tree - palm",
        "search_cancels": "What is asked for cancels out to nothing; change a weight or leave a part out.",
        "search_terms": "{n:,} words and pictures in one query; write at most {limit}.",
        "search_count": "{n:,} pictures; choose at most {limit}, or index their folder.",
        "search_none_readable": "None of your {n:,} files can be read. {first}",
        "search_no_picture": "There is no picture called {name!r} among those that are searched.",
        "why_index": "The index has vectors of {name}, so {name} answers here.",
    },
    "zh": {
        "tab_search": "搜索",
        "search_about": "用词、用图片或同时用两者来找图：它们都是向量，而向量可以相加。"
                        "**2:heart + arrow** 的意思是：两份心形，加上箭头；**2:tree - palm**：树，但不像棕榈。",
        "search_query": "找什么",
        "search_query_info": "两边有空格时，+ 表示加上，- 表示减去；2: 表示两倍权重；[dog.png] 表示该名称的图片。",
        "search_role": "工作台上的图片",
        "search_apart": "不参与搜索",
        "search_closer": "多像它",
        "search_farther": "少像它",
        "search_closer_short": "多",
        "search_farther_short": "少",
        "search_every": "显示 24 张，包括不突出的",
        "search_own": "搜索你自己的图片",
        "search_own_about": "最多 200 个文件，在此移除之前，搜索的是它们而不是示例，不会保存。照片和图画混在一起时，"
                            "都由适合其中大多数的那个模型读取。"
                            "（整个文件夹：先 `clipmini index FOLDER`，再 `clipmini app --index index`。）",
        "search_reading": "正在读取你的图片",
        "search_in_samples": "张示例图画",
        "search_in_own": "张你的图片",
        "search_in_index": "张索引中的图片",
        "search_out": "{of:,} {where}中，有 {n:,} 张在这次搜索中突出：余弦值不低于 {limit:.3f}。其余的颜色较淡。",
        "search_most": "{of:,} {where}中，至少有 {n:,} 张在这次搜索中突出：余弦值不低于 {limit:.3f}。",
        "search_one": "{of:,} {where}中，有一张在这次搜索中突出：余弦值不低于 {limit:.3f}。其余的颜色较淡。",
        "search_none": "{of:,} {where}中，没有一张在这次搜索中突出：余弦值要到 {limit:.3f} 才算突出。"
                       "下面是最近的几张，颜色较淡。",
        "search_out_few": "你的 {of:,} 张图片中，有 {n:,} 张符合：余弦值不低于 {limit:.3f}，十个日常词中有九个"
                          "与其中任何一张都达不到。其余的颜色较淡。",
        "search_one_few": "你的 {of:,} 张图片中，有一张符合：余弦值不低于 {limit:.3f}，十个日常词中有九个"
                          "与其中任何一张都达不到。其余的颜色较淡。",
        "search_none_few": "你的 {of:,} 张图片中，没有一张比偶然更符合："
                           "十个日常词中就有一个与其中一张达到 {limit:.3f}。全部颜色较淡，由近到远。",
        "search_few": "全部 {of:,} {where}，由近到远：不到 20 张时无法判断哪张突出。",
        "search_number": "数字是图片与所找内容的余弦值：1 表示相同，0 表示毫无共同之处。",
        "search_left_out": "你的文件中有 {n:,} 个无法读取，已略过。{reasons}",
        "search_gone": "这个文件已不在原处，或无法再读取。",
        "search_nothing": "请写下要找什么，或选择“多像它”，用你的图片搜索。",
        "search_sign": "+ 或 - 旁边缺少词或图片，例如：tree - palm",
        "search_cancels": "要找的内容相互抵消了；请改变权重，或去掉一部分。",
        "search_terms": "一次搜索中有 {n:,} 个词和图片；最多写 {limit} 个。",
        "search_count": "{n:,} 张图片；最多选择 {limit} 张，或为它们的文件夹建立索引。",
        "search_none_readable": "你的 {n:,} 个文件都无法读取。{first}",
        "search_no_picture": "被搜索的图片中没有名为 {name!r} 的。",
        "why_index": "索引中是 {name} 的向量，所以这里由 {name} 回答。",
    },
}
