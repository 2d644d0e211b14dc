"""clipmini map"""

import sys
from pathlib import Path

from clipmini.commands.shared import MODEL_HELP


def add(p) -> None:
    """The options."""
    p.add_argument("folder", nargs="?", type=Path,
                   help="folder of picture files, named by their file names; without it, the emoji of --style")
    p.add_argument("--model", default="emoji", help=MODEL_HELP)
    p.add_argument("--style", default="system", help="emoji: art style (default: system, your own font)")
    p.add_argument("--out", type=Path, default=Path("map"), help="folder to write: the map, and map.png; an older map "
                   "there is replaced (default: map)")
    p.add_argument("--film", type=Path, metavar="RUN",
                   help="folder of a run that was trained with --film: a map for each step")
    p.add_argument("--strict", action="store_true", help="stop at the first picture that cannot be read")
    p.add_argument("--seed", type=int, default=0, help="of UMAP (default 0)")


def run(args) -> None:
    """Write a map folder and its figure."""
    from clipmini.commands.left_out import tell_left_out, write_left_out
    from clipmini.data.folder import check_folder, named_pictures
    from clipmini.embedder import load
    from clipmini.picture_file import shown
    from clipmini.plots import map_of
    from clipmini.tasks.maps import folder, projection

    folder.check_target(args.out)  # now, not after minutes of work
    for given in filter(None, (args.folder, args.film)):
        check_folder(given)
    kept = sorted(args.film.glob("film/step-*")) if args.film else []
    if args.film and not kept:
        raise ValueError(f"{str(args.film)!r} has no film; train with --film")
    embedder = load(kept[-1] if kept else args.model, packed=True)
    left: list[tuple[str, str]] = []
    if args.folder:
        there = named_pictures(args.folder, args.strict)
        images, names, groups, left = there.files, there.names, there.groups, there.left_out
        tell_left_out(left, "files")
    else:
        from clipmini.data import emoji
        rows = emoji.load(args.style)
        images = [row["image"] for row in rows]
        names, groups = [captions[0] for captions in rows["captions"]], rows["group"][:]
    print("embedding and mapping; UMAP compiles for half a minute when it is first used ...", file=sys.stderr)
    if kept:
        steps = {int(step.name.removeprefix("step-")): load(step, packed=True) for step in kept}
        found = folder.film(steps, images, names, groups, args.seed)
    else:
        found = folder.make(embedder, images, names, groups, args.seed)
    folder.save(found, args.out)
    map_of(found).savefig(args.out / "map.png")
    write_left_out(left, args.out / "left-out.txt")
    gap = projection.modality_gap(found.vectors[:found.pictures], found.vectors[found.pictures:])
    print(f"{found.pictures:,} pictures and {len(found.names) - found.pictures:,} names; modality gap {gap:.2f}; "
          f"figure: {shown(args.out / 'map.png')}")
