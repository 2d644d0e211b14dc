"""Training: what a run is asked to do, its batches, its steps, its loop, and the doctor who reads its curve."""

from clipmini.training.config import TrainConfig, TrainingError
from clipmini.training.doctor import diagnose, read_csv
from clipmini.training.loop import Run, train
from clipmini.training.pairs import Batch, Pairs, make_batch, read_pairs
from clipmini.training.step import cached_backward, learning_rate, make_optimizer, plain_backward, update_average

__all__ = ["Batch", "Pairs", "Run", "TrainConfig", "TrainingError", "cached_backward", "diagnose", "learning_rate",
           "make_batch", "make_optimizer", "plain_backward", "read_csv", "read_pairs", "train", "update_average"]
