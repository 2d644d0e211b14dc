"""clipmini data"""

from pathlib import Path

from clipmini.commands import own
from clipmini.commands.own_options import add_options
from clipmini.commands.shared import add_source_options, source_of
from clipmini.data import SOURCES, find

OWN = """data of your own:
  clipmini data check pairs.tsv          what is in it, and which rows cannot be used; also a folder, .csv, .jsonl,
                                         .parquet, a .tar of WebDataset, a data set of the hub
  clipmini data convert pairs.tsv photos.parquet   the same in another format, by the ending (none: a folder)

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
    add_options(p)


def run(args) -> None:
    """Describe a source of data, with its licences; draw its contact sheet."""
    if args.name in ("check", "convert"):
        return (own.check if args.name == "check" else own.convert)(args)
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
