"""The options of `clipmini evaluate`."""

from pathlib import Path

from clipmini.commands.own_options import add_columns
from clipmini.commands.shared import MODEL_HELP, add_source_options
from clipmini.data import SOURCES

EXAMPLES = """examples:
  clipmini evaluate runs/own/final --data pairs.tsv       # pictures and captions of yours, as in train
  clipmini evaluate openai/clip-vit-base-patch32 --dataset cifar10
  clipmini evaluate emoji --dataset imagenette --folder copy/ --limit 500
"""


def add(p) -> None:
    """Add them to a parser."""
    p.epilog = EXAMPLES
    p.add_argument("model", nargs="?", default="emoji", help=MODEL_HELP)
    p.add_argument("--data", metavar="DATA", help=f"ours: {', '.join(SOURCES)} (default: emoji); or yours, as in train")
    p.add_argument("--dataset", metavar="NAME", help="a test set of the field instead, streamed from the hub: cifar10, "
                   "imagenet, food101, flickr30k ...; `--dataset list` names them; Ctrl-C, and it goes on")
    p.add_argument("--limit", type=int, metavar="N", help="--dataset: the first N rows only")
    p.add_argument("--out", type=Path, default=Path("runs/evaluate"), help="keeps what is done (default runs/evaluate)")
    p.add_argument("--templates", help="template set of the ensemble (default: the one that belongs to the data)")
    p.add_argument("--strict", action="store_true", help="stop at the first row that cannot be used")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    p.add_argument("--probe", action="store_true", help="--data with labels: a linear probe on the training rows too, "
                   "and with few rows a class (extra maps)")
    p.add_argument("--report", type=Path, metavar="FILE.html", help="a page that opens offline: confusions, the worst "
                   "mistakes with their pictures, calibration, and what changed since the model it began with")
    p.add_argument("--before", metavar="MODEL", help="--report: compare with this model instead")
    add_source_options(p, skip=("limit",))
    add_columns(p)
