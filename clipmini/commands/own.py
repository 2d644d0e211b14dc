"""`clipmini data check` and `clipmini data convert`: somebody's own data."""

from pathlib import Path

from clipmini.commands.own_options import asked_of


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
    tell_left_out([(bad.kind, str(bad)) for bad in report.bad], "rows", Path("left-out.txt"))


def convert(args) -> None:
    """Write somebody's data in another format."""
    from tqdm import tqdm

    from clipmini.commands.left_out import tell_left_out
    from clipmini.data.own import OwnDataError, open_rows, strictly
    from clipmini.data.own.convert import convert

    if len(args.own) != 2:
        raise OwnDataError("give what to read and what to write: clipmini data convert pairs.tsv pairs.parquet")
    found = open_rows(args.own[0], asked_of(args))
    print(f"{args.own[0]}: {found.kind}; {found.columns}")
    rows = strictly(tqdm(found.rows, unit=" rows", leave=False), args.strict)
    written, left_out = convert(rows, Path(args.own[1]))
    print(f"wrote {written:,} rows to {args.own[1]}")
    tell_left_out([(bad.kind, str(bad)) for bad in left_out], "rows", Path("left-out.txt"))
