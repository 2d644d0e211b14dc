"""The options of `clipmini train`."""

from pathlib import Path

from clipmini.commands.own_options import add_columns
from clipmini.commands.shared import add_source_options
from clipmini.commands.values import plan, rates

OPTIONS = ("minutes", "steps", "plan", "seed", "batch", "micro_batch", "learning_rate", "rates", "layer_decay", "lora",
           "patience", "evaluate_every", "distil", "sketch", "categories")


def add(p) -> None:
    """Add them to a parser."""
    p.description += " `clipmini train --list` names the recipes."
    p.epilog = ("Several processes or computers take the step of one, each with a part of every batch: torchrun "
                "--nproc-per-node 2 -m clipmini train ... (the same options; --out on a disk that all share)")
    p.add_argument("recipe", nargs="?", help="name of the recipe")
    p.add_argument("--data", metavar="NAME", help="name the data instead: the first recipe that trains on it; or "
                   "yours: a file, folder or data set of the hub, as `clipmini data check` reads it")
    p.add_argument("--init", metavar="MODEL", help="begin with this model and its tokenizer (fine-tuning), and measure "
                   "it before and after: embedded name, checkpoint folder or hub name")
    p.add_argument("--list", action="store_true", help="list the recipes and stop")
    p.add_argument("--out", type=Path, help="folder of the run (default: runs/RECIPE)")
    p.add_argument("--minutes", type=float, help="budget in minutes of this computer; fewer steps if it gets busy")
    p.add_argument("--steps", type=int, help="budget in steps; repeatable to the bit")
    p.add_argument("--plan", type=plan, metavar="STEP:STEPS,...",
                   help="what the minutes of another run became, as it was printed at its end; repeatable to the bit")
    p.add_argument("--seed", type=int, help="one number for the start, the order and the augmentation (default 0)")
    p.add_argument("--batch", type=int, help="pairs a step")
    p.add_argument("--micro-batch", "--chunk", type=int, dest="micro_batch",
                   help="pairs at a time in memory (gradient cache; towers without BatchNorm)")
    p.add_argument("--learning-rate", type=float, help="peak of the schedule")
    p.add_argument("--rates", type=rates, metavar="PART=RATE,...",
                   help="what the learning rate is multiplied with, by part: image, text, or a pattern of names such "
                   "as visual.proj*; 0 freezes, the last that fits counts: image=0 trains the text tower only (LiT)")
    p.add_argument("--layer-decay", type=float, help="each block learns this much slower than the one above it, "
                   "such as 0.7 (default 1: none does)")
    p.add_argument("--lora", type=int, metavar="RANK", help="train thin matrices of this rank beside the large ones, "
                   "and add them at the end (extra lora)")
    p.add_argument("--patience", type=int, metavar="N", help="stop after N scores without a better one, and keep the "
                   "best weights")
    p.add_argument("--distil", type=float, metavar="WEIGHT", help="with --init: also draw each picture, however it is "
                   "augmented, to where that model sees it clean, such as 4 (default 0: not)")
    p.add_argument("--sketch", type=float, metavar="SHARE", help="share of the pictures that are sketched by hand, 0 "
                   "to 1")
    p.add_argument("--categories", type=float, metavar="WEIGHT", help="weight of tags and groups beside the names")
    p.add_argument("--evaluate-every", type=int, metavar="STEPS", help="steps between scores (default 200)")
    p.add_argument("--no-mix", action="store_true", help="with --init: keep the weights as the training leaves them, "
                   "not the best mix with those before (WiSE-FT)")
    p.add_argument("--film", action="store_true", help="keep the weights after some steps, for `clipmini map --film`")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    add_source_options(p, skip=OPTIONS)
    add_columns(p)
