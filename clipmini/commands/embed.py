"""clipmini embed"""

import shutil
from itertools import islice
from pathlib import Path

from clipmini.commands.own_options import add_options, asked_of
from clipmini.commands.shared import MODEL_HELP

EXAMPLES = """examples:
  clipmini embed photos/ --out photos.parquet              path, name and vector of each picture
  clipmini embed texts.tsv --model runs/own/final --out vectors.tsv    a row an input, its numbers with tabs between
"""


def add(p) -> None:
    """The options."""
    p.epilog = EXAMPLES
    p.add_argument("source", help="a file, a folder or a data set of the hub, as `clipmini data check` reads them")
    p.add_argument("--out", type=Path, required=True, help="what to write: .parquet, .npy or .tsv")
    p.add_argument("--texts", action="store_true", help="the words of each row, not its picture")
    p.add_argument("--workers", type=int, default=2, help="threads that decode pictures (default 2)")
    add_options(p, f"whose vectors; {MODEL_HELP}")


def run(args) -> None:
    """Embed every row; run it again to take up what was interrupted."""
    from tqdm import tqdm

    from clipmini.commands.left_out import tell_left_out
    from clipmini.data.own import Bad, OwnDataError, open_rows, strictly
    from clipmini.data.own.source import state_of
    from clipmini.embedder import load
    from clipmini.tasks.vectors import WRITERS, Item, embed, item_of, join, left_out
    from clipmini.training import together

    if args.out.suffix.lower() not in WRITERS:
        raise OwnDataError(f"--out {args.out}: end it in {', '.join(WRITERS)}")
    found, embedder = open_rows(args.source, asked_of(args)), load(args.model, fast=True)

    def item(row) -> Item:
        return Item(row.where, "", None, row.reason) if isinstance(row, Bad) else \
            item_of(row.where, row.picture, row.captions, args.texts)

    stamp = {"source": args.source, "state": state_of(Path(args.source)), "asked": str(asked_of(args)),
             "model": embedder.name, "weights": state_of(embedder.source) if embedder.source else "",
             "texts": args.texts, "limit": args.limit}
    rank, n = together.rank(), together.count()
    folder = args.out.with_name(f"{args.out.name}.parts{n if n > 1 else ''}")  # others have other shares
    rows = map(item, islice(strictly(found.rows, args.strict), args.limit))
    bad = embed(embedder, rows, folder, stamp, args.workers, lambda items: tqdm(
        items, unit=" rows", leave=False, disable=rank > 0), (rank, n))
    together.agreed(None)  # all are done
    if rank:
        return
    bad, count = left_out(folder) if n > 1 else bad, join(folder, args.out)
    shutil.rmtree(folder)
    print(f"{args.source}: {found.kind}; {found.columns}\nwrote {count:,} vectors of {embedder.config.embed_dim} "
          f"numbers by {embedder.name} ({embedder.kernels or embedder.device}) to {args.out}")
    tell_left_out([("no vector", f"{where}: {reason}") for where, reason in bad], "rows", Path("left-out.txt"))
