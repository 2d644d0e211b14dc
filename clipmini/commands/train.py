"""clipmini train"""

import sys
from pathlib import Path

from clipmini.commands.shared import add_source_options, given_options, plan

OPTIONS = ("minutes", "steps", "plan", "seed", "batch", "micro_batch", "learning_rate")


def add(p) -> None:
    """The options."""
    p.description += " `clipmini train --list` names the recipes."
    p.add_argument("recipe", nargs="?", help="name of the recipe")
    p.add_argument("--data", metavar="NAME", help="name the data instead: the first recipe that trains on it; or "
                   "yours: a file, folder or data set of the hub, as `clipmini data check` reads it")
    p.add_argument("--init", metavar="MODEL", help="begin with this model and its tokenizer (fine-tuning), and measure "
                   "it before and after: embedded name, checkpoint folder or hub name")
    p.add_argument("--list", action="store_true", help="list the recipes and stop")
    p.add_argument("--out", type=Path, help="folder of the run (default: runs/RECIPE)")
    p.add_argument("--minutes", type=float, help="budget in minutes of this computer; fewer steps if it gets busy")
    p.add_argument("--steps", type=int, help="budget in steps; repeatable to the bit")
    p.add_argument("--plan", type=plan, metavar="STEP:STEPS,...",
                   help="what the minutes of another run became, as it was printed at its end; repeatable to the bit")
    p.add_argument("--seed", type=int, help="one number for the start, the order and the augmentation (default 0)")
    p.add_argument("--batch", type=int, help="pairs a step")
    p.add_argument("--micro-batch", "--chunk", type=int, dest="micro_batch",
                   help="pairs at a time in memory (gradient cache; towers without BatchNorm)")
    p.add_argument("--learning-rate", type=float, help="peak of the schedule")
    p.add_argument("--film", action="store_true", help="keep the weights after some steps, for `clipmini map --film`")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    add_source_options(p, skip=OPTIONS)


def run(args) -> None:
    """Train a recipe and print what was measured."""
    from clipmini.card import sentence
    from clipmini.recipes import FINE_TUNING, RECIPES, choose, customised, run
    from clipmini.training.budget import as_option

    if args.list or not (args.recipe or args.data):
        width = max(map(len, RECIPES))
        print("\n".join(f"{name:<{width}}  {r.about}" for name, r in RECIPES.items()))
        return
    recipe = choose(args.recipe, args.data)
    training = {o: getattr(args, o) for o in OPTIONS if getattr(args, o) is not None}
    if args.init:
        training = FINE_TUNING | training | {"init": args.init}
    recipe = customised(recipe, **training, **given_options(args, recipe.data))
    out = args.out or Path("runs") / recipe.name
    command = "clipmini " + " ".join(sys.argv[1:] if sys.argv[1:2] == ["train"] else ["train", recipe.name])
    done, results = run(recipe, out, command, progress=not args.quiet, film=args.film)
    print(f"{done.step:,} steps in {done.seconds / 60:.1f} minutes")
    if len(done.plan) > 1:
        print("the speed of this computer changed on the way; the same bits come from: "
              f"--plan {as_option(done.plan)}")
    for name, result in results.items():
        print(f"{name}: {' '.join(result) if name == 'doctor' else sentence(result)}")
    print(f"checkpoint {out / 'final'}, curve {out / 'curve.png'}")
