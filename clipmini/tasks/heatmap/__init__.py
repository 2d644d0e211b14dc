"""Where in the picture is this phrase? Seven methods behind one signature, and their score where the truth is known."""

from clipmini.tasks.heatmap.methods import (
    FOR_ANY_MODEL,
    METHODS,
    THRESHOLDS,
    Heatmap,
    HeatmapError,
    default_method,
    heatmap,
    word_relevance,
)
from clipmini.tasks.heatmap.presence import PRESENT, presence, presence_at_least, rates
from clipmini.tasks.heatmap.score import Score, localise, presence_rates, score

__all__ = ["FOR_ANY_MODEL", "METHODS", "PRESENT", "THRESHOLDS", "Heatmap", "HeatmapError", "Score", "default_method",
           "heatmap", "localise", "presence", "presence_at_least", "presence_rates", "rates", "score", "word_relevance"]
