"""clipmini mix"""

import sys
from pathlib import Path

from clipmini.commands.shared import add_source_options, given_options


def add(p) -> None:
    """The options."""
    p.description += (" Models that one recipe made with several seeds from one start (`clipmini train RECIPE --init "
                      "MODEL --seed N`) lie in one valley: their mean is often better than each (a model soup).")
    p.add_argument("recipe", help="name of the recipe that made them: what the mean is measured with")
    p.add_argument("models", nargs="+", metavar="MODEL", help="two or more checkpoint folders")
    p.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the new checkpoint")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    add_source_options(p)


def run(args) -> None:
    """Mix them and print what was measured."""
    from clipmini.card import sentence
    from clipmini.recipes import RecipeError, choose, customised, mixture

    if len(args.models) < 2:
        raise RecipeError(f"{len(args.models)} model has no mean; give two or more checkpoint folders")
    recipe = choose(args.recipe)
    recipe = customised(recipe, **given_options(args, recipe.data))
    command = "clipmini " + " ".join(sys.argv[1:] if sys.argv[1:2] == ["mix"] else ["mix", recipe.name])
    for name, result in mixture(recipe, args.models, args.out, command, progress=not args.quiet).items():
        print(f"{name}: {sentence(result)}")
    print(f"checkpoint {args.out}")
