"""clipmini train"""

import sys
from dataclasses import replace
from pathlib import Path

from clipmini.commands.own_options import with_columns
from clipmini.commands.shared import given_options
from clipmini.commands.train_options import OPTIONS, add

__all__ = ["add", "run"]

def run(args) -> None:
    """Train a recipe and print what was measured."""
    from clipmini.card import sentence
    from clipmini.recipes import FINE_TUNING, RECIPES, choose, customised, run
    from clipmini.training import together
    from clipmini.training.budget import as_option

    if args.list or not (args.recipe or args.data):
        width = max(map(len, RECIPES))
        print("\n".join(f"{name:<{width}}  {r.about}" for name, r in RECIPES.items()))
        return
    recipe = choose(args.recipe, args.data)
    training = {o: getattr(args, o) for o in OPTIONS if getattr(args, o) is not None}
    if args.init:
        training = FINE_TUNING | training | {"init": args.init, "mix": not args.no_mix}
    recipe = customised(recipe, **training, **given_options(args, recipe.data))
    recipe = replace(recipe, data=with_columns(recipe.data, args))
    out = args.out or Path("runs") / recipe.name
    command = "clipmini " + " ".join(sys.argv[1:] if sys.argv[1:2] == ["train"] else ["train", recipe.name])
    done, results = run(recipe, out, command, progress=not args.quiet and together.first(), film=args.film)
    if not together.first():
        return
    print(f"{done.step:,} steps in {done.seconds / 60:.1f} minutes")
    if len(done.plan) > 1:
        print("the speed of this computer changed on the way; the same bits come from: "
              f"--plan {as_option(done.plan)}")
    for name, result in results.items():
        print(f"{name}: {' '.join(result) if name == 'doctor' else sentence(result)}")
    print(f"checkpoint {out / 'final'}, curve {out / 'curve.png'}")
