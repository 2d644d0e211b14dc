"""Sliders for lessons where turning a knob teaches, with a still picture for readers on GitHub and for tests."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def turn(draw: "Callable[..., Figure]", start: dict[str, Any], **ranges: Any) -> None:
    """Show draw(**start), and below it the controls that draw it anew, in a notebook that runs.

    ranges: an argument of draw -> what ipywidgets.interactive takes for it, as (0.0, 100.0, 0.5) or a word to type.
    CLIPMINI_WIDGETS=0 leaves the controls out: a stored notebook holds the picture alone.
    """
    from IPython.display import display

    display(draw(**start))
    if os.environ.get("CLIPMINI_WIDGETS") == "0":
        return
    try:
        from ipywidgets import interactive
    except ImportError:
        print("controls want ipywidgets: pip install ipywidgets")
        return

    def anew(**values: Any) -> None:
        display(draw(**values))

    display(interactive(anew, **ranges))
