"""The command line, `clipmini COMMAND`: a file a command, which parses and prints; what works is elsewhere.

To add a command: write a file with `add(parser)` and `run(args)`, and put a line into COMMANDS.
"""

import argparse
import io
import logging
import sys
import warnings
from importlib import import_module

COMMANDS = {
    "app": "start the demo in the browser",
    "classify": "which of your labels fits each picture",
    "heatmap": "where in the picture is this phrase?",
    "segment": "cut out what a click, a box or words choose",
    "detect": "boxes around what your labels name",
    "map": "a map of pictures and words: what is alike is near",
    "data": "look at the training data, fetch more of it, or check data of yours",
    "embed": "vectors of your pictures or texts, as Parquet, .npy or TSV",
    "index": "make your pictures searchable, or bring the index up to date",
    "search": "find pictures of an index by words and pictures",
    "train": "train a named recipe; run it again to take up an interrupted run",
    "mix": "the mean of the weights of several models, which began alike",
    "segmenter": "train what cuts out, or measure it",
    "doctor": "read a training curve and say what it shows",
    "evaluate": "zero-shot accuracy on our data, or on a test set of the field",
    "prompts": "what each prompt template is worth, alone and in an ensemble",
    "grade": "grade the lessons' notebooks that students handed in",
    "course": "write the lessons for students: without solutions, for nbgrader, or for otter",
    "page": "write a static site that runs a model in the browser, without a server",
    "export": "write a folder for transformers, open_clip or ONNX Runtime",
}
_FORMAT = warnings.formatwarning  # Python's own, for what others warn of
EXAMPLES = """examples:
  clipmini app                                          the demo, in your browser
  clipmini classify cat.png --labels "cat, dog, pizza"  which label fits?
  clipmini data emoji --preview sheet.png               what the training pictures look like
  clipmini train emoji-pip --minutes 10                 train a CLIP of your own
  clipmini train fashion                                the same on photographs of clothes, in three minutes
  clipmini evaluate runs/emoji-pip/final --style system how good is it on drawings it never saw?
"""


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of `clipmini`; only: the one command whose file is imported, so that the others cost no time."""
    from clipmini import __version__

    p = argparse.ArgumentParser("clipmini", description="A CLIP small enough to read: train it, ask it, look inside.",
                                epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--version", action="version", version=f"clipmini {__version__}")
    commands = p.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, about in COMMANDS.items():
        own = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.",
                                  formatter_class=argparse.RawDescriptionHelpFormatter, add_help=name != "app")
        if name != "app" and only in (None, name):  # the app's options are its own
            module = import_module(f"clipmini.commands.{name}")
            module.add(own)
            own.set_defaults(run=module.run)
    return p


def print_anywhere() -> None:
    """Let a terminal that has not every letter, such as one with a Windows code page, print \\u706b for what it lacks.

    And where there is no home to keep fonts in, matplotlib need not say so: it keeps them in a temporary folder. What
    this package warns of is said without the place in its code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.formatwarning = _said


def _said(message, category, filename, lineno, line=None) -> str:
    return f"clipmini: {message}\n" if category is UserWarning else _FORMAT(message, category, filename, lineno, line)


def main(argv: list[str] | None = None) -> int:
    """Entry point. Returns the exit status: 0, or 1 with one line on stderr for what the user can mend."""
    argv = sys.argv[1:] if argv is None else argv
    print_anywhere()
    if argv[:1] == ["app"]:
        return _app(argv[1:])
    args = parser(argv[0] if argv and argv[0] in COMMANDS else "").parse_args(argv)
    from clipmini.picture_file import shown
    from clipmini.training import TrainingError
    from clipmini.training.together import joined

    try:
        with joined():
            args.run(args)
    except (ValueError, TrainingError, OSError) as error:  # all errors of ours are one of these, with a remedy
        print("clipmini:", shown(" ".join(str(error).split())), file=sys.stderr)  # torch's are many lines long
        return 1
    except ModuleNotFoundError as error:
        print(f"clipmini: this command needs {error.name!r}; install it with: pip install \"clipmini[train]\"",
              file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("clipmini: stopped; the same command goes on from the last save", file=sys.stderr)
        return 130
    return 0


def _app(argv: list[str]) -> int:
    try:
        from demo_app.app import main as app
    except ModuleNotFoundError as error:
        print(f"clipmini: the app needs {error.name!r}; install it with: pip install \"clipmini[app]\"",
              file=sys.stderr)
        return 1
    return app(argv) or 0
