"""clipmini prompts"""

from pathlib import Path

from clipmini.commands.shared import MODEL_HELP


def add(p) -> None:
    """The options."""
    p.add_argument("model", nargs="?", default="emoji", help=MODEL_HELP)
    p.add_argument("--templates", default="emoji", help="template set (default: emoji); openai80, openai7, cifar ...")
    p.add_argument("--style", default="system",
                   help="emoji: art style of the labelled drawings (default: system, your own font)")
    p.add_argument("--dataset", metavar="NAME",
                   help="a test set of the field instead; `clipmini evaluate --dataset list`")
    p.add_argument("--folder", help="--dataset: a copy of it, as parquet files or tar archives")
    p.add_argument("--limit", type=int, default=2000, metavar="N", help="--dataset: the first N rows (default 2000)")
    p.add_argument("--strict", action="store_true", help="stop at the first row that cannot be used")
    p.add_argument("--plot", type=Path, metavar="FILE", help="draw it too")


def run(args) -> None:
    """Print the workbench."""
    from clipmini.commands.left_out import tell_left_out
    from clipmini.data import emoji
    from clipmini.data.testsets import as_list, find
    from clipmini.embedder import load
    from clipmini.plots import figure_file, template_scores
    from clipmini.tasks.evaluate import embed_rows, targets_of
    from clipmini.tasks.prompts import named_or_own
    from clipmini.tasks.templates import as_text, examine

    if args.dataset == "list":
        print(as_list())
        return
    templates = named_or_own(args.templates)
    if args.plot:
        args.plot = figure_file(args.plot)  # now, not after minutes of work
    embedder = load(args.model, packed=True)
    left: dict[int, str] = {}
    if args.dataset:
        test = find(args.dataset).copied(args.folder, args.limit)
        features, targets, labels = test.labelled_vectors(embedder, None if args.strict else left)
    else:
        rows = emoji.load(args.style)
        if seen := emoji.Emoji(style=(args.style,)).seen(embedder.meta.get("data", "")):
            print(f"note: this model was trained on {', '.join(seen)}: these numbers are not of pictures it never saw")
        rows, features, left = embed_rows(embedder, rows, strict=args.strict, labelled=True)
        targets, labels = targets_of(rows, None, None)
    tell_left_out([("row", why) for why in left.values()], "rows", Path("left-out.txt"))
    bench = examine(embedder, features, targets, labels, templates)
    print(as_text(bench))
    if args.plot:
        title = f"Templates {args.templates!r} with {embedder.name} on {args.dataset or args.style}"
        template_scores(bench, title).savefig(args.plot)
        print(f"picture: {args.plot}")
