"""How the app looks: theme, style sheet, and the small pieces of HTML. All user text is escaped here."""

from html import escape
from pathlib import Path

import gradio as gr

from clipmini.embedder import Embedder
from clipmini.tasks.classify import Prediction
from demo_app.published import file_bytes, readable
from demo_app.texts import say, say_problem

SMALL_ENOUGH = 20_000_000  # parameters
SHOWN_LABELS, SHOWN_PROMPTS = 20, 30  # rows; the rest is summed up in one

FONTS = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "sans-serif"]  # the computer's own: nothing is fetched
MONO = ["ui-monospace", "Consolas", "monospace"]


def theme():
    """Gradio's Soft theme in indigo, with fonts that are already there."""
    soft = gr.themes.Soft(primary_hue="indigo", secondary_hue="indigo", neutral_hue="slate", font=FONTS, font_mono=MONO)
    # Soft's grey on white has a contrast of 2.6; WCAG asks for 4.5. (soft.set() would reset the backgrounds.)
    soft.body_text_color_subdued = soft.block_info_text_color = "*neutral_500"
    soft.block_label_text_color = soft.block_title_text_color = "*primary_700"
    soft.color_accent = soft.checkbox_label_background_fill_selected = "*primary_600"
    soft.button_primary_background_fill = "*primary_600"
    return soft


CSS = """
.gradio-container { max-width: 1120px !important; margin: 0 auto !important; }
.cm-hero h1 { font-size: 1.6rem; margin: .4rem 0 .2rem; letter-spacing: -.01em; }
.cm-hero p { color: var(--body-text-color-subdued); margin: 0; max-width: 46rem; }
.cm-model { font-size: .85rem; color: var(--body-text-color-subdued);
  display: flex; flex-wrap: wrap; gap: .25rem .9rem; }
.cm-model b { color: var(--body-text-color); }
.cm-bad { color: #b91c1c; } .dark .cm-bad { color: #fca5a5; }
.cm-card { border: 1px solid var(--border-color-primary); border-radius: 12px; padding: 1rem 1.1rem;
  background: var(--background-fill-primary); min-height: 9rem; box-sizing: border-box; }
.cm-wait { color: var(--body-text-color-subdued); display: grid; place-items: center; text-align: center; }
.cm-first { font-size: 1.35rem; font-weight: 650; margin: 0 0 .7rem; overflow-wrap: anywhere;
  color: var(--body-text-color); }
#workbench-table .cm-first { font-size: 1.05rem; }
.cm-first span { font-weight: 400; color: var(--body-text-color-subdued); }
.cm-bars { width: 100%; border-collapse: collapse; font-size: .92rem; color: var(--body-text-color); }
.cm-bars, .cm-bars tr, .cm-bars th, .cm-bars td { border: 0 !important; background: none !important; }
.cm-bars th, .cm-bars td { padding: .28rem .35rem; text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.cm-bars thead th { font-weight: 500; font-size: .78rem; color: var(--body-text-color-subdued); }
.cm-bars th.cm-name { text-align: left; font-weight: 550; white-space: normal; overflow-wrap: anywhere;
  max-width: 11rem; }
.cm-bars td.cm-bar { width: 42%; }
.cm-bars .cm-minor { color: var(--body-text-color-subdued); }
.cm-track { height: .8rem; border-radius: .4rem; background: var(--border-color-primary); overflow: hidden; }
.cm-fill { height: 100%; border-radius: .4rem; background: #6366f1; min-width: 2px; }
.cm-other .cm-fill { background: repeating-linear-gradient(45deg, #94a3b8 0 5px, #64748b 5px 10px); }
.cm-other th.cm-name { font-weight: 400; font-style: italic; }
.cm-notes { margin: .8rem 0 0; padding: .6rem .8rem; border-left: 4px solid #d97706; border-radius: 6px;
  list-style: none; background: rgba(217, 119, 6, .12); font-size: .88rem; overflow-wrap: anywhere;
  color: var(--body-text-color); }
.cm-small { margin: .7rem 0 0; font-size: .8rem; color: var(--body-text-color-subdued); }
.cm-prompts { margin: 0; font-size: .85rem; overflow-wrap: anywhere; color: var(--body-text-color); }
.cm-prompts dt { font-weight: 600; margin-top: .4rem; }
.cm-prompts dd { margin: 0 0 0 .8rem; font-family: var(--font-mono); }
.cm-saw img { image-rendering: pixelated; }
#answer .html-container, #model .html-container, #prompts .html-container { padding: 0; }
#examples .caption-label { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
#examples .gallery-item, #examples .thumbnail-item { aspect-ratio: 1; height: auto; }
#examples .grid-wrap { min-height: 0; padding: 0; }
#examples .grid-container { grid-template-columns: repeat(6, minmax(0, 1fr)) !important; }
input[type=checkbox] { border: 1.5px solid #64748b !important; }
.cm-columns .column { min-width: 0 !important; }
#data .json-holder, #workbench-table, #map-table, #inside-words { contain: inline-size; overflow-x: auto; }
.cm-hero { gap: .5rem; }
.cm-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
.cm-tokens { display: flex; flex-wrap: wrap; gap: 4px; } #saw-tokens meter { width: 100%; height: 14px; }
.cm-tokens span { border: 1px solid var(--border-color-primary); border-radius: 6px; padding: 1px 6px;
  font-size: 11px; }
.cm-tokens b { display: block; font-size: 14px; }
#models-head { display: none; } #models-head:has(.cm-problem) { display: block; }
.cm-halves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: .8rem; }
.cm-half { min-width: 0; }
.cm-half .cm-bars th.cm-name { min-width: 5.5rem; max-width: none; } .cm-half .cm-bars td.cm-bar { width: 30%; }
.cm-part { font-weight: 650; font-size: 1.05rem; margin-top: .6rem; }
.cm-half .cm-model { margin: 0 0 .4rem; overflow-wrap: anywhere; }
.cm-models { width: 100%; border: 0 !important; border-collapse: collapse; font-size: .85rem;
  color: var(--body-text-color); }
.cm-models th, .cm-models td { padding: .35rem .5rem; text-align: left; vertical-align: top; overflow-wrap: break-word;
  border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; background: none !important; }
.cm-models tr { border: 0 !important; }
.cm-models thead th { font-weight: 500; color: var(--body-text-color-subdued); }
.cm-models th, .cm-models td:nth-child(2) { overflow-wrap: normal; } .cm-models td:nth-child(2) { white-space: nowrap; }
.cm-models td:last-child { overflow-wrap: break-word; min-width: 5.5rem; }
@media (min-width: 901px) { .cm-models td:nth-child(4) { min-width: 11rem; } }
#models-told progress { width: 100%; height: .8rem; accent-color: #6366f1; }
@media (max-width: 900px) {
  .cm-models thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .cm-models tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--border-color-primary) !important; }
  .cm-models th, .cm-models td { display: block; border: 0 !important; padding: .1rem .2rem; }
  .cm-models td::before { content: attr(data-label) ": "; color: var(--body-text-color-subdued); }
}
@media (max-width: 760px) { .cm-columns { flex-direction: column; } }
@media (max-width: 640px) {
  .cm-bars td.cm-bar { width: 24%; } .cm-bars th.cm-name { max-width: none; width: 34%; }
  .cm-bars th, .cm-bars td { padding: .28rem .2rem; } .cm-card { padding: .8rem .7rem; }
}
@media (max-width: 640px) {
  .tab-wrapper { contain: inline-size; overflow-x: auto; }
  .tab-container button { padding-left: 8px !important; padding-right: 8px !important; font-size: 14px; }
}
""" + (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def model_line(lang: str, embedder: Embedder | None, problem: str, reader: str = "") -> str:
    """Which model answers, how large it is in parameters, pixels and bytes, and what was measured on it:
    meta["measured"], a text or one a language. reader: who answers for photos in its place."""
    if embedder is None:
        return f'<div class="cm-model cm-bad" role="alert">{escape(say(lang, "no_model"))}: ' \
            f"{escape(say_problem(lang, problem))}</div>"
    size, count = embedder.config.vision.image_size, embedder.parameters
    stored = file_bytes(embedder.source, embedder.meta.get("file", ""))
    measured = embedder.meta.get("measured", "")
    if isinstance(measured, dict):
        measured = measured.get(lang, measured.get("en", ""))
    large = f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"
    parts = [f"{say(lang, 'model')} <b>{escape(embedder.name)}</b>", f"{large} {say(lang, 'parameters')}",
             f"{size} × {size} px", readable(stored) if stored else "", escape(str(measured)),
             say(lang, "head_reader", model=escape(reader)) if reader else ""]
    return '<div class="cm-model">' + "".join(f"<span{' class=cm-measured' if i == 4 else ''}>{part}</span>"
                                              for i, part in enumerate(parts) if part) + "</div>"


def sentence_key(embedder: Embedder | None) -> str:
    """The key of what the page says of itself: only our own small models are small enough to read."""
    small = embedder is None or "layout" not in embedder.meta and embedder.parameters <= SMALL_ENOUGH
    return "sentence" if small else "sentence_published"


def fallback(lang: str, name: str, why: str) -> str:
    """That the page should have started with another model."""
    said = say(lang, "models_fallback", name=name, why=say_problem(lang, why))
    return f'<p class="cm-notes" role="status">{escape(said)}</p>'


def prompt_list(lang: str, prediction: Prediction) -> str:
    """The texts that were really sent, by label."""
    shown = list(zip(prediction.labels, prediction.prompts, strict=True))[:SHOWN_PROMPTS]
    items = "".join(f"<dt>{escape(label)}</dt>" + "".join(f"<dd>{escape(p)}</dd>" for p in prompts)
                    for label, prompts in shown)
    more = len(prediction.labels) - len(shown)
    return f'<dl class="cm-prompts">{items}</dl>' + (
        f'<p class="cm-small">{escape(say(lang, "more_prompts", n=more))}</p>' if more else "")
