"""`clipmini data check`, and what can be said of data of one's own."""

from pathlib import Path

from clipmini.commands.shared import MODEL_HELP


def add_options(p, model: str = f"check: whose tokens are counted; {MODEL_HELP}") -> None:
    """What can be said of a table, and how much of it is looked at. model: the help of --model."""
    own = p.add_argument_group("data of your own (found out where it is not given)")
    own.add_argument("--separator", help="between the columns of a table of text: tab, comma, or a character")
    own.add_argument("--header", choices=("yes", "no"), help="whether the first line names the columns")
    for role in ("picture", "text", "label"):
        own.add_argument(f"--{role}-column", metavar="NAME", help=f"the column of the {role}, by name or number from 1")
    own.add_argument("--root", type=Path, metavar="FOLDER", help="where a table's paths begin (default: beside it)")
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


def check(args) -> None:
    """Say what is in somebody's data, and what cannot be used."""
    from tqdm import tqdm

    from clipmini.commands.left_out import tell_left_out
    from clipmini.data.base import contact_sheet
    from clipmini.data.own import OwnDataError, check, open_rows
    from clipmini.embedder import load

    if len(args.own) != 1:
        raise OwnDataError("give one file, folder or data set behind check: clipmini data check pairs.tsv")
    found = open_rows(args.own[0], asked_of(args))
    tokenizer = load(args.model).tokenizer
    report = check.look(found, lambda text: len(tokenizer.encode(text)) + 2,
                        lambda rows: tqdm(rows, unit=" rows", leave=False), args.limit, args.strict)
    print(*check.told(report, args.own[0], tokenizer.context_length, args.model), sep="\n")
    if args.preview and report.sheet:
        contact_sheet([picture for picture, _ in report.sheet], [said for _, said in report.sheet]).save(args.preview)
        print(f"contact sheet: {args.preview}")
    tell_left_out([(bad.kind, f"{bad.where}: {bad.reason}") for bad in report.bad], "rows", Path("left-out.txt"))
