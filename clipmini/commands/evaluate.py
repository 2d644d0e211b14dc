"""clipmini evaluate"""

import json

from clipmini.commands.evaluate_options import add
from clipmini.commands.own_options import with_columns
from clipmini.commands.shared import source_of

__all__ = ["add", "run"]


def run(args) -> None:
    """Print a table of what was measured."""
    from clipmini.commands.left_out import tell_left_out
    from clipmini.data.testsets import as_list, find
    from clipmini.embedder import load
    from clipmini.plots import reliability_curve
    from clipmini.tasks import probe
    from clipmini.tasks.prompts import named_or_own
    from clipmini.tasks.questions import Embedded, ask, left_out, recorded, told

    if args.dataset == "list":
        print(as_list())
        return
    if args.dataset and args.data:
        raise ValueError(f"--data {args.data} and --dataset {args.dataset}: give one of the two")
    templates = args.templates and named_or_own(args.templates)
    source = find(args.dataset).copied(args.folder, args.limit) if args.dataset else \
        with_columns(source_of(args, args.data or "emoji"), args)
    embedder = load(args.model, fast=True)
    if seen := source.seen(embedder.meta.get("data", "")):
        print(f"note: this model was trained on {', '.join(seen)}: these numbers are not of pictures it never saw")
    questions = source.questions(embedder, templates)
    embedded: Embedded = {}
    answers = ask(embedder, questions, args.out, args.strict, embedded)
    print(text := told(answers))
    if args.probe:
        side = embedder.config.vision.image_size
        print(probe.told(probe.probed_rows(embedder, source.training_rows(side, 0), source.held_out_rows(side))))
    if args.report:
        from clipmini.recipes import begun_with
        from clipmini.report import write

        other = load(args.before, packed=True) if args.before else begun_with(embedder)
        print(f"report: {write(args.report, embedder, questions, embedded, text, other)}")
    tell_left_out([("row", why) for why in left_out(answers).values()], "rows", args.out / "left-out.txt")
    if "reliability" in (numbers := recorded(answers)).get(source.name, {}):
        picture = args.out / f"reliability-{source.name}.png"
        reliability_curve(numbers[source.name]["reliability"], f"{embedder.name} on {source.name}").savefig(picture)
        print(f"reliability curve: {picture}")
    if args.json:  # one question alone is written without its name
        flat = numbers if len(numbers) > 1 else next(iter(numbers.values()))
        args.json.write_text(json.dumps(flat, indent=2) + "\n", encoding="utf-8")
