"""clipmini segmenter"""

import sys
from pathlib import Path

EXAMPLES = """examples:
  clipmini segmenter --out runs/segmenter                          train one: an hour of two cores
  clipmini segmenter --steps 300 --scenes 500 --out runs/short     a first look, in five minutes
  clipmini segmenter --measure runs/segmenter/final --rows 50      how good is it on drawings that it never saw?
  clipmini segmenter --engine --steps 1500 --scenes 1500 --out runs/engine    its own masks, in three stages
"""


def add(p) -> None:
    """The options."""
    p.epilog = EXAMPLES
    p.add_argument("--steps", type=int, default=9000, help="default 9000")
    p.add_argument("--scenes", type=int, default=12000, help="scenes to draw and train on (default 12000)")
    p.add_argument("--seed", type=int, default=0, help="of weights, scenes and prompts (default 0)")
    p.add_argument("--style", default="twemoji", help="art style that is held out with its family (default: twemoji)")
    p.add_argument("--model", default="emoji", help="CLIP whose towers it begins with (default: emoji)")
    p.add_argument("--out", type=Path, default=Path("runs/segmenter"), metavar="DIR", help="default: runs/segmenter; "
                   "the same command goes on with an interrupted run")
    p.add_argument("--measure", metavar="MODEL", help="train nothing: measure a segmenter on the held-out style")
    p.add_argument("--engine", action="store_true", help="the data engine as an experiment: true masks of two "
                   "styles, then its own masks of the others; --steps are a stage's, --scenes the first one's")
    p.add_argument("--labelled", type=int, default=500, help="scenes of the engine's other stages, which it labels "
                   "itself, a second or two each (default 500)")
    p.add_argument("--rows", type=int, default=100, help="scenes to measure on (default 100)")
    p.add_argument("--json", type=Path, metavar="FILE", help="write what was measured as JSON too")
    p.add_argument("--quiet", action="store_true", help="no progress bars")


def run(args) -> None:
    """Train, or measure."""
    if args.measure or args.engine:
        from clipmini.commands import segmenter_tasks

        (segmenter_tasks.measured if args.measure else segmenter_tasks.engine)(args)
        return
    from clipmini.embedder import load
    from clipmini.segmenter.recipe import run_recipe

    done = run_recipe(load(args.model, device="cpu"), args.style, args.scenes, args.steps, args.seed, args.out,
                      "clipmini " + " ".join(sys.argv[1:]), not args.quiet)
    print(f"{done.step:,} steps in {done.seconds / 60:.1f} minutes; segmenter {args.out / 'final'}")
