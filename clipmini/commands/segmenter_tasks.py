"""clipmini segmenter --measure and --engine"""


def measured(args) -> None:
    """Measure a segmenter on scenes of the held-out style."""
    import json

    from clipmini.data import parts
    from clipmini.data.clutter import make
    from clipmini.data.scenes import absent_names
    from clipmini.files import written_whole
    from clipmini.tasks.segment import ABSENT, lines, measure
    from clipmini.tasks.segmenters import load_segmenter

    drawings = parts.load(args.style, progress=not args.quiet)
    scenes = make(drawings, args.rows, args.seed)
    found = measure(load_segmenter(args.measure), scenes, absent_names(drawings, scenes, ABSENT, args.seed),
                    progress=not args.quiet)
    print(lines(found))
    if args.json:
        with written_whole(args.json, "results") as temporary:
            temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")


def engine(args) -> None:
    """The data engine in three stages: a table, engine.json and engine.png."""
    from clipmini.data import emoji, parts
    from clipmini.data.clutter import make
    from clipmini.embedder import load
    from clipmini.mask_plots import stages as drawn
    from clipmini.segmenter import recipe
    from clipmini.segmenter.train import SegmenterTraining
    from clipmini.tasks.data_engine import QUESTIONS, run_engine, table
    from clipmini.training import TrainingError

    styles, embedder = recipe.styles_without(args.style), load(args.model, device="cpu")
    first = [styles[0], *[style for style in styles if style not in emoji.sisters(styles[0])][:1]]
    others = [style for style in styles if not any(style in emoji.sisters(one) for one in first)]
    if not others:
        raise TrainingError(f"no art style is left to label: {', '.join(styles)} are here, and true masks are those of "
                            f"{', '.join(first)}; run: clipmini data emoji --fetch")

    def pictures(stage: int):
        return recipe.pictures(others if stage else first, args.labelled if stage else args.scenes, args.seed + stage,
                               progress=not args.quiet)
    found = run_engine(embedder, recipe.vocabulary(embedder), pictures,
                       make(parts.load(args.style, progress=not args.quiet), args.rows, args.seed),
                       SegmenterTraining(args.steps, seed=args.seed), args.out, recipe.SIDE, not args.quiet)
    print(f"true masks: {', '.join(first)}; own masks: {', '.join(others)}; measured on {args.style}\n{table(found)}")
    drawn(found, QUESTIONS).savefig(args.out / "engine.png")
