"""clipmini search"""

from pathlib import Path

from clipmini.commands.shared import MODEL_HELP
from clipmini.commands.values import moment

INF = float("inf")
EXAMPLES = """examples:
  clipmini search "a red disc" --index ix
  clipmini search "2:dog" + photo.jpg - fruit --index ix      words and pictures, weighed, added and taken away
  clipmini search beach --newer 2026-06-01 --larger 200000 --paths-only
  clipmini search --alike                                     groups of pictures that are nearly the same
"""


def add(p) -> None:
    """The options."""
    p.epilog = EXAMPLES
    p.add_argument("query", nargs="*", help="words or picture files; + adds the next one, - takes it away, 2: before "
                   "one weighs it twice")
    p.add_argument("--index", type=Path, default=Path("index"), metavar="DIR", help="the index (default: index)")
    p.add_argument("--model", help=f"the index's own model, where its name alone does not find it; {MODEL_HELP}")
    p.add_argument("-n", "--most", type=int, default=20, help="so many pictures at most (default 20)")
    p.add_argument("--all", action="store_true", help="also those that stand out of nothing, up to --most")
    p.add_argument("--alike", nargs="?", type=float, const=0.98, metavar="COSINE", help="no query: groups of pictures "
                   "at least so near to one another (default 0.98)")
    p.add_argument("--below", default="", metavar="FOLDER", help="only pictures in this folder of the index")
    p.add_argument("--newer", type=moment, default=-INF, metavar="DATE", help="only pictures modified from then on")
    p.add_argument("--older", type=moment, default=INF, metavar="DATE", help="only pictures modified until then")
    p.add_argument("--larger", type=int, default=0, metavar="BYTES", help="only files of at least this size")
    p.add_argument("--smaller", type=int, default=INF, metavar="BYTES", help="only files of at most this size")
    p.add_argument("--paths-only", action="store_true", help="print paths alone, for other programs")


def run(args) -> None:
    """Find pictures of an index."""
    from clipmini.embedder import load
    from clipmini.tasks.index import alike, check_model, cut_off, open_index, parse, query, search, selected

    index = open_index(args.index)
    folder = Path(index.about["folder"])
    if args.alike is not None:
        groups = alike(index, args.alike)
        print("\n\n".join("\n".join(str(folder / path) for path in group) for group in groups) or "no two are so alike")
        return
    embedder = load(args.model or index.about["model"], packed=True)
    check_model(index, embedder)
    vector = query(embedder, parse(args.query, folder))
    only = selected(index, args.below, args.newer, args.older, args.larger, args.smaller)
    hits = search(index, vector[None], args.most, only)[0]
    limit = -2.0 if args.all else cut_off(index, vector)
    shown = [hit for hit in hits if hit.score >= limit]
    for hit in shown:
        print(folder / hit.path if args.paths_only else f"{hit.score:+.3f}  {folder / hit.path}")
    if not args.paths_only and len(shown) < len(hits):
        print(f"{len(shown)} of {len(index):,} stand out of the others for this query (from {limit:+.3f} on); --all "
              "shows the next ones too")
