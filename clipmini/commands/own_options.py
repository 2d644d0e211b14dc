"""What can be said of data of one's own, to the commands that read it."""

from pathlib import Path

from clipmini.commands.shared import MODEL_HELP


def add_columns(p):
    """What can be said of a table. Returns the group of options."""
    own = p.add_argument_group("data of your own (found out where it is not given)")
    own.add_argument("--separator", help="between the columns of a table of text: tab, comma, or a character")
    own.add_argument("--header", choices=("yes", "no"), help="whether the first line names the columns")
    for role in ("picture", "text", "label"):
        own.add_argument(f"--{role}-column", metavar="NAME", help=f"the column of the {role}, by name or number from 1")
    own.add_argument("--root", type=Path, metavar="FOLDER", help="where a table's paths begin (default: beside it)")
    return own


def add_options(p, model: str = f"check: whose tokens are counted; {MODEL_HELP}") -> None:
    """The same, and how much of it is looked at. model: the help of --model."""
    own = add_columns(p)
    own.add_argument("--limit", type=int, metavar="N", help="look at the first N rows only")
    own.add_argument("--model", default="emoji", help=model)
    own.add_argument("--strict", action="store_true", help="stop at the first row that cannot be used")


def asked_of(args):
    """The options as data.own.Asked."""
    from clipmini.data.own import Asked

    named = {"tab": "\t", "comma": ",", "semicolon": ";", "bar": "|"}
    header = None if args.header is None else args.header == "yes"
    return Asked(named.get(args.separator, args.separator), header, args.picture_column, args.text_column,
                 args.label_column, args.root)


def with_columns(source, args):
    """A source with what was said of its columns. Raises SourceError where they are not somebody's own."""
    from dataclasses import replace

    from clipmini.data.base import SourceError
    from clipmini.data.own import Asked
    from clipmini.data.own.source import Own

    asked = asked_of(args)
    if isinstance(source, Own):
        return replace(source, asked=asked)
    if asked != Asked():
        raise SourceError(f"the data {source.name!r} has no columns to name: --separator, --header, --root and "
                          "--*-column are for data of your own; omit them")
    return source
