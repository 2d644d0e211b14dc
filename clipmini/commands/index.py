"""clipmini index"""

from pathlib import Path

from clipmini.commands.shared import MODEL_HELP


def add(p) -> None:
    """The options."""
    p.epilog = "Run it again: only what is new or changed is embedded. Then: clipmini search \"red car\" --index DIR"
    p.add_argument("folder", type=Path, help="folder of pictures")
    p.add_argument("--out", type=Path, default=Path("index"), metavar="DIR", help="the index (default: index)")
    p.add_argument("--model", default="emoji", help=MODEL_HELP)
    p.add_argument("--workers", type=int, default=2, help="threads that decode pictures (default 2)")


def run(args) -> None:
    """Make an index of a folder's pictures, or bring it in step with the folder."""
    from tqdm import tqdm

    from clipmini.commands.left_out import tell_left_out
    from clipmini.data.folder import check_folder
    from clipmini.embedder import load
    from clipmini.tasks.index import open_index, update

    check_folder(args.folder)
    embedder = load(args.model, fast=True)
    done = update(embedder, args.folder, args.out, lambda items: tqdm(items, unit=" pictures", leave=False),
                  args.workers)
    print(f"{args.out}: {len(open_index(args.out)):,} pictures by {embedder.name}; new {done.new:,}, renamed or copied "
          f"{done.moved:,}, changed {done.changed:,}, gone {done.gone:,}")
    tell_left_out([("no picture", f"{path}: {reason}") for path, reason in done.left_out], "pictures",
                  Path("left-out.txt"))
