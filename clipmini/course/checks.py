"""Every checker by name, and FAST: `from clipmini.course import checks`, then `checks.clip_loss(mine)`.

`checks.progress("05")` tells how the exercises of a lesson stand.
"""

from clipmini.course import base, words
from clipmini.course.base import FAST, Checker, required
from clipmini.course.lesson_00 import add_class, nearest, shares
from clipmini.course.lesson_01 import count_pairs, encode, merge
from clipmini.course.lesson_02 import attention, block, causal
from clipmini.course.lesson_03 import add_class_token, attention_pool, patchify
from clipmini.course.lesson_04 import bag, end_positions, pool_at_end
from clipmini.course.lesson_05 import clip_loss, logits, normalise, scale_of
from clipmini.course.lesson_06 import learning_rate, targets_of, verdict
from clipmini.course.lesson_07 import average_probabilities, calibration_error, class_vector
from clipmini.course.lesson_08 import compare_keys, quick_gelu, split_qkv
from clipmini.course.lesson_09 import iou, occlusion, similarity_map
from clipmini.course.lesson_10 import kept_neighbours, modality_gap, pca
from clipmini.course.lesson_11 import conse, crossover, few
from clipmini.course.lesson_12 import add_low_rank, forgotten, keep_apart, mix_weights
from clipmini.course.lesson_13 import combined_query, cut_off, near_duplicates, recall_any
from clipmini.course.lesson_14 import best_points, dice_loss, fourier_positions, min_of_three, next_click
from clipmini.course.lesson_15 import blend, class_means, largest_gap, quantise_rows
from clipmini.course.lesson_16 import gap_closed, pairs_seen, power_law, vit_parameters
from clipmini.course.lesson_17 import Projector, greedy, guided_step, next_token_loss
from clipmini.course.lesson_18 import (
    CLIP,
    Attention,
    Block,
    TextTransformer,
    VisionTransformer,
    load_strictly,
    openai_names,
    train_steps,
)

__all__ = [
    "FAST", "required",
    "nearest", "shares", "add_class",
    "count_pairs", "merge", "encode",
    "attention", "causal", "block",
    "patchify", "add_class_token", "attention_pool",
    "bag", "end_positions", "pool_at_end",
    "normalise", "logits", "clip_loss", "scale_of",
    "targets_of", "learning_rate", "verdict",
    "class_vector", "average_probabilities", "calibration_error",
    "compare_keys", "split_qkv", "quick_gelu",
    "similarity_map", "iou", "occlusion",
    "pca", "kept_neighbours", "modality_gap",
    "few", "crossover", "conse",
    "keep_apart", "add_low_rank", "mix_weights", "forgotten",
    "recall_any", "combined_query", "near_duplicates", "cut_off",
    "min_of_three", "fourier_positions", "best_points", "dice_loss", "next_click",
    "largest_gap", "blend", "quantise_rows", "class_means",
    "pairs_seen", "vit_parameters", "power_law", "gap_closed",
    "next_token_loss", "Projector", "greedy", "guided_step",
    "Attention", "Block", "VisionTransformer", "TextTransformer", "CLIP",
    "openai_names", "load_strictly", "train_steps",
]
ALL: dict[str, Checker] = {name: globals()[name] for name in __all__ if isinstance(globals()[name], Checker)}


def progress(lesson: str) -> None:
    """Print the exercises of a lesson, such as "05", and how each stands in this session."""
    base.progress(lesson, ALL.values())


if words.language() == "zh":
    from clipmini.course import figure_words

    figure_words.install()
