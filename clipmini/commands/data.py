"""clipmini data"""

from pathlib import Path

from clipmini.commands.shared import add_source_options, source_of
from clipmini.data import SOURCES, find


def add(p) -> None:
    """The options."""
    p.epilog = "data:\n" + "\n".join(f"  {name:<10} {find(name).about}" for name in SOURCES)
    p.add_argument("name", choices=tuple(SOURCES), metavar="NAME", help="which data, one of those below")
    p.add_argument("--preview", nargs="?", const=Path("preview.png"), type=Path, metavar="FILE",
                   help="write a contact sheet (default: preview.png)")
    p.add_argument("--fetch", action="store_true", help="emoji: get eleven more art styles and the tags with npm")
    add_source_options(p)


def run(args) -> None:
    """Describe a source of data, with its licences; draw its contact sheet."""
    source = source_of(args, args.name)
    if args.fetch:
        print(source.fetch())
    print(*source.described(), sep="\n")
    if args.preview:
        source.preview().save(args.preview)
        print(f"contact sheet: {args.preview}")
