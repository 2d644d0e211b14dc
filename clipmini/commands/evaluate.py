"""clipmini evaluate"""

import json
from pathlib import Path

from clipmini.commands.shared import MODEL_HELP, add_source_options, source_of
from clipmini.data import SOURCES

EXAMPLES = """examples:
  clipmini evaluate runs/own/final --data pairs.tsv       # pictures and captions of yours, as in train
  clipmini evaluate openai/clip-vit-base-patch32 --dataset cifar10
  clipmini evaluate emoji --dataset imagenette --folder copy/ --limit 500
"""


def add(p) -> None:
    """The options."""
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
    add_source_options(p, skip=("limit",))


def run(args) -> None:
    """Print a table of what was measured."""
    from clipmini.commands.left_out import tell_left_out
    from clipmini.data.testsets import as_list, find
    from clipmini.embedder import load
    from clipmini.plots import reliability_curve
    from clipmini.tasks.prompts import named_or_own
    from clipmini.tasks.questions import ask, left_out, recorded, told

    if args.dataset == "list":
        print(as_list())
        return
    if args.dataset and args.data:
        raise ValueError(f"--data {args.data} and --dataset {args.dataset}: give one of the two")
    templates = args.templates and named_or_own(args.templates)
    source = find(args.dataset).copied(args.folder, args.limit) if args.dataset else \
        source_of(args, args.data or "emoji")
    embedder = load(args.model, packed=True)
    if seen := source.seen(embedder.meta.get("data", "")):
        print(f"note: this model was trained on {', '.join(seen)}: these numbers are not of pictures it never saw")
    answers = ask(embedder, source.questions(embedder, templates), args.out, args.strict)
    print(told(answers))
    tell_left_out([("row", why) for why in left_out(answers).values()], "rows", args.out / "left-out.txt")
    if "reliability" in (numbers := recorded(answers)).get(source.name, {}):
        picture = args.out / f"reliability-{source.name}.png"
        reliability_curve(numbers[source.name]["reliability"], f"{embedder.name} on {source.name}").savefig(picture)
        print(f"reliability curve: {picture}")
    if args.json:  # one question alone is written without its name
        flat = numbers if len(numbers) > 1 else next(iter(numbers.values()))
        args.json.write_text(json.dumps(flat, indent=2) + "\n", encoding="utf-8")
