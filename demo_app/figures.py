"""Figures for the page: in the visitor's language, and on the page's ground, light or dark."""

import re
from collections.abc import Iterator

from gradio.components.plot import PlotData
from gradio.processing_utils import encode_plot_to_base64
from matplotlib.colors import to_hex
from matplotlib.text import Annotation, Text

from clipmini import plots
from clipmini.matplotlib_text import Figure, as_typed
from demo_app.texts import TEXTS

GROUND, PALE = "#0f172a", "#e2e8f0"  # of the page in the dark
DARK_INKS = (plots.INK, plots.MUTED, "#000000")


def translated(text: str, lang: str) -> str:
    """Words of clipmini.plots in a language; its phrases are the texts whose keys begin with figure_, the longest
    first."""
    known = {english: TEXTS[lang][key] for key, english in TEXTS["en"].items() if key.startswith("figure_")}
    for english in sorted(known, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(english)}(?!\w)", known[english], text)
    return text


def our_words(figure: Figure) -> Iterator[Text]:
    """The texts of a figure that no visitor typed."""
    if figure._suptitle is not None:  # type: ignore[attr-defined]
        yield figure._suptitle  # type: ignore[attr-defined]
    for ax in figure.axes:
        yield from (ax.xaxis.label, ax.yaxis.label)
        if ax.get_title() == "the picture":
            yield ax.title
    for legend in figure.legends:
        yield legend.get_texts()[-1]  # "none"


def fitted(figure: Figure, lang: str, dark: bool) -> Figure:
    """The same figure for a visitor. What people typed stays as it is, and so do the numbers on coloured cells."""
    for text in our_words(figure):
        text.set_text(translated(text.get_text(), lang))
    for ax in figure.axes:
        phrase, line, verdict = ax.get_title().partition("\n")
        if line:
            ax.title.set_text(phrase + line + translated(verdict, lang))
    if dark:
        darkened(figure)
    return as_typed(lambda: figure)()  # fonts for the new letters


def darkened(figure: Figure) -> None:
    """Pale words on a dark ground."""
    figure.set_facecolor(GROUND)
    on_cells = {id(text) for ax in figure.axes for text in ax.texts if not isinstance(text, Annotation)}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if id(text) not in on_cells and to_hex(text.get_color()) in DARK_INKS:
            text.set_color(PALE)
    for ax in figure.axes:
        ax.tick_params(colors=PALE)


def plotted(figure: Figure, lang: str = "en", dark: bool = False) -> PlotData:
    """A figure as gr.Plot shows it, drawn now: where an error can still be told. Raises ValueError for what cannot be
    drawn."""
    try:
        return PlotData(type="matplotlib", plot=encode_plot_to_base64(fitted(figure, lang, dark), "webp"))
    except (RuntimeError, OSError, MemoryError) as error:
        raise ValueError(f"the figure could not be drawn ({error})") from error
