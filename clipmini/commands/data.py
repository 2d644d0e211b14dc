"""clipmini data"""

from pathlib import Path

from clipmini.commands import own
from clipmini.commands.shared import add_source_options, source_of
from clipmini.data import SOURCES, find

OWN = """data of your own:
  clipmini data check pairs.tsv          what is in it, and which rows cannot be used; also a folder, .csv, .jsonl,
                                         .parquet, a .tar of WebDataset, a data set of the hub
  clipmini data convert pairs.tsv photos.parquet   the same in another format, by the ending (none: a folder)\n
"""


def add(p) -> None:
    """The options."""
    p.epilog = OWN + "data:\n" + "\n".join(f"  {name:<10} {find(name).about}" for name in SOURCES)
    p.add_argument("name", choices=(*SOURCES, "check", "convert"), metavar="NAME",
                   help="which data, one of those below; or check, or convert")
    p.add_argument("own", nargs="*", metavar="SOURCE", help="check: your data; convert: your data, and what to write")
    p.add_argument("--preview", nargs="?", const=Path("preview.png"), type=Path, metavar="FILE",
                   help="write a contact sheet (default: preview.png)")
    p.add_argument("--fetch", action="store_true",
                   help="emoji: get eleven more art styles and the tags with npm; clipart: the pictures with apt-get")
    add_source_options(p)
    own.add_options(p)


def run(args) -> None:
    """Describe a source of data, with its licences; draw its contact sheet."""
    if args.name in ("check", "convert"):
        return (own.check if args.name == "check" else convert)(args)
    if args.own:
        raise ValueError(f"{args.own[0]!r} is one word too many behind {args.name}; omit it, or look at your own data "
                         "with `clipmini data check`")
    source = source_of(args, args.name)
    if args.fetch:
        print(source.fetch())
    print(*source.described(), sep="\n")
    if args.preview:
        source.preview().save(args.preview)
        print(f"contact sheet: {args.preview}")

def convert(args) -> None:
    """Write somebody's data in another format."""
    from tqdm import tqdm

    from clipmini.commands.left_out import tell_left_out
    from clipmini.data.own import OwnDataError, open_rows, strictly
    from clipmini.data.own.convert import convert

    if len(args.own) != 2:
        raise OwnDataError("give what to read and what to write: clipmini data convert pairs.tsv pairs.parquet")
    found = open_rows(args.own[0], own.asked_of(args))
    print(f"{args.own[0]}: {found.kind}; {found.columns}")
    rows = strictly(tqdm(found.rows, unit=" rows", leave=False), args.strict)
    written, left_out = convert(rows, Path(args.own[1]))
    print(f"wrote {written:,} rows to {args.own[1]}")
    tell_left_out([(bad.kind, f"{bad.where}: {bad.reason}") for bad in left_out], "rows", Path("left-out.txt"))
