"""clipmini doctor"""

from pathlib import Path


def add(p) -> None:
    """The options."""
    p.add_argument("folder", type=Path, help="folder of a run (holds curve.csv)")


def run(args) -> None:
    """Diagnose a run and redraw its curve."""
    from clipmini.plots import training_curve
    from clipmini.training.doctor import diagnose, read_csv

    history = read_csv(args.folder / "curve.csv")
    print(*diagnose(history), sep="\n")
    if history:
        training_curve(history, f"Training curve of {args.folder.name}").savefig(args.folder / "curve.png")
        print(f"curve: {args.folder / 'curve.png'}")
