"""Does a model recognise drawings by hands that it never saw? Two sets of Debian that nothing here is trained on.

    apt-get download tuxpaint-stamps-default pysiogame
    dpkg -x tuxpaint-stamps-default_*.deb drawings && dpkg -x pysiogame_*.deb drawings
    python tests/benchmarks/held_out_drawings.py drawings                # top-1 / top-5, with intervals
    python tests/benchmarks/held_out_drawings.py drawings --copies       # does our clip art hold one of these pictures?

Tux Paint: the drawings of tuxpaint_drawings.tsv, chosen by the rule below before a model was asked. Art4Apps: every word
of pysiogame's folder art4apps; then those whose word was taught, among themselves. Names are offered as they are, in the
templates that the model's own card names. Intervals: 95 %, Wilson. Look at these numbers once, for a report: what is tuned
is tuned on validation.
"""

import argparse
import io
import json
import re
from pathlib import Path

import numpy as np
from photos import COLOURFUL, DRAWN, STAMPS, ask, colourfulness, listed, short_name, told
from PIL import Image

LIST = Path(__file__).with_name("tuxpaint_drawings.tsv")
ART4APPS = Path("usr/share/games/pysiogame/res/images/art4apps")
NO_THINGS = ("symbols/", "town/flags", "town/roadsigns")
ALIKE = 0.9  # cosine of two grey pictures of 32 x 32 pixels, less their mean


def opened(path: Path) -> Image.Image:
    """A picture file; an SVG file is drawn 256 pixels wide."""
    if path.suffix != ".svg":
        return Image.open(path).convert("RGBA")
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=path.read_text("utf-8"), width=256, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def can_be_drawn(path: Path) -> bool:
    """Whether it is a PNG file, or an SVG file with a size."""
    try:
        return path.suffix == ".png" or bool(opened(path))
    except ValueError:
        return False


def taught() -> set[str]:
    """The English names of the emoji."""
    from clipmini.data.emoji import phrasings

    return {caption.lower() for found in phrasings("en").values() for caption in found}


def make_list(folder: Path) -> str:
    """The text of tuxpaint_drawings.tsv: drawings of things, by their caption of one or two words, all of them known."""
    root, rows = folder / STAMPS, []
    words = {word for name in taught() for word in re.findall("[a-z]+", name)}
    for path in sorted([*root.rglob("*.png"), *root.rglob("*.svg")]):
        file, text = path.relative_to(root).as_posix(), path.with_suffix(".txt")
        twice = path.suffix == ".svg" and path.with_suffix(".png").exists()
        photo = path.suffix == ".png" and file not in DRAWN and colourfulness(path) >= COLOURFUL
        if file.startswith(NO_THINGS) or not text.exists() or twice or photo or not can_be_drawn(path):
            continue
        name = short_name(text.read_text(encoding="utf-8", errors="replace").splitlines()[0])
        if len(name.split()) <= 2 and all(word in words for word in re.findall("[a-z]+", name.lower())):
            rows.append(f"{file}\t{name}")
    return "\n".join(["# Drawings among Tux Paint's stamps, by the rule in held_out_drawings.py: file, name", *rows, ""])


def tuxpaint(folder: Path) -> tuple[list[Path], list[str], list[str]]:
    """(paths, their names, the distinct names as candidates)."""
    return listed(LIST, folder)


def art4apps(folder: Path, known: set[str] | None = None) -> tuple[list[Path], list[str], list[str]]:
    """The same of Art4Apps; known: these words alone."""
    paths = sorted((folder / ART4APPS).rglob("*.jpg"), key=lambda path: path.name)
    names = [path.stem.replace("_", " ") for path in paths]
    kept = [i for i, name in enumerate(names) if known is None or name in known]
    names = [names[i] for i in kept]
    return [paths[i] for i in kept], names, list(dict.fromkeys(names))


def pictures(paths: list[Path]) -> list:
    """What ask can open: the paths, but SVG files as pictures."""
    from clipmini.image import open_image

    def on_white(path: Path):
        file = io.BytesIO()
        opened(path).save(file, "PNG")
        return open_image(file.getvalue())

    return [on_white(path) if path.suffix == ".svg" else path for path in paths]


def signature(picture: Image.Image) -> np.ndarray:
    """A picture cut to what is drawn, on white, as a grey vector of length 1."""
    picture.thumbnail((256, 256))
    picture = picture.crop(picture.getchannel("A").getbbox())
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    grey = np.asarray(ground.convert("L").resize((32, 32)), float).ravel()
    grey = grey - grey.mean()
    return grey / (np.linalg.norm(grey) + 1e-9)


def copies(folder: Path) -> list[tuple[float, str, str]]:
    """Pictures of our clip art that are nearly one of these, as (cosine, ours, theirs), the most alike first."""
    from clipmini.data import clipart

    theirs = [*tuxpaint(folder)[0], *art4apps(folder)[0]]
    place, ours = clipart.find_folder(), [row.file for row in clipart.manifest()]
    alike = np.stack([signature(opened(place / file)) for file in ours]) @ np.stack(
        [signature(opened(path)) for path in theirs]).T
    best = alike.argmax(1)
    found = [(float(alike[i, best[i]]), ours[i], theirs[best[i]].name) for i in np.argsort(-alike.max(1))]
    return [row for row in found if row[0] >= ALIKE]


def main() -> None:
    import clipmini

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path, help="where the Debian packages were unpacked")
    p.add_argument("--model", default="emoji", help="what clipmini.load takes (default: emoji)")
    p.add_argument("--copies", action="store_true", help="ask no model: list our clip art that is nearly one of these pictures")
    p.add_argument("--make-list", action="store_true", help="choose Tux Paint's drawings anew and write tuxpaint_drawings.tsv")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    args = p.parse_args()
    if args.make_list:
        LIST.write_text(make_list(args.folder), encoding="utf-8")
        return
    if args.copies:
        for alike, ours, theirs in copies(args.folder):
            print(f"{alike:.3f} {ours} {theirs}")
        return
    embedder, results = clipmini.load(args.model), {}
    for what, (paths, names, candidates) in {
            "Tux Paint": tuxpaint(args.folder), "Art4Apps": art4apps(args.folder),
            "Art4Apps, words taught": art4apps(args.folder, taught())}.items():
        r = results[what] = ask(embedder, pictures(paths), names, candidates, paths)
        print(told(args.model, what, r))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
