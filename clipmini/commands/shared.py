"""What several commands ask for: a model, a source of data with its options."""

import argparse

from clipmini.data import SOURCES, find
from clipmini.data.base import Source, configured, options

MODEL_HELP = "embedded name, checkpoint folder or file, or hub name like openai/clip-vit-base-patch32 (default: emoji)"


def add_source_options(p: argparse.ArgumentParser, skip: tuple[str, ...] = ()) -> None:
    """An option for each field that a source offers to commands. skip: names that p has already."""
    found: dict[str, list] = {}
    for source in map(find, SOURCES):
        for name, field in options(source).items():
            found.setdefault(name, [field.default, []])[1].append(f"{source.name}: {field.metadata['help']}")
    for name, (default, helps) in found.items():
        if name not in skip:
            p.add_argument(f"--{name.replace('_', '-')}", help="; ".join(dict.fromkeys(helps)),
                           type=int if isinstance(default, int) or name == "seed" else str,
                           action="append" if isinstance(default, tuple) else "store")
    p.set_defaults(source_options=tuple(name for name in found if name not in skip))


def source_of(args: argparse.Namespace, name: str) -> Source:
    """The source of a name, with the options that were given. Raises SourceError."""
    return configured(find(name), **given_options(args, find(name)))


def given_options(args: argparse.Namespace, source: Source) -> dict:
    """The source options that the user typed; a repeatable one becomes one word where the source wants one."""
    given = {name: getattr(args, name) for name in args.source_options if getattr(args, name) is not None}
    fields = options(source)
    many = {name: isinstance(fields[name].default, tuple) for name in given if name in fields}
    return {name: tuple(v) if many.get(name) else v[-1] if isinstance(v, list) else v for name, v in given.items()}
