"""Every checker by name, and FAST: `from clipmini.course import checks`, then `checks.clip_loss(mine)`."""

from clipmini.course.base import FAST
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

__all__ = [
    "FAST",
    "nearest", "shares", "add_class",
    "count_pairs", "merge", "encode",
    "attention", "causal", "block",
    "patchify", "add_class_token", "attention_pool",
    "end_positions", "pool_at_end", "bag",
    "normalise", "logits", "clip_loss", "scale_of",
    "learning_rate", "targets_of", "verdict",
    "class_vector", "average_probabilities", "calibration_error",
    "quick_gelu", "split_qkv", "compare_keys",
    "similarity_map", "iou", "occlusion",
    "modality_gap", "pca", "kept_neighbours",
    "few", "crossover", "conse",
]
