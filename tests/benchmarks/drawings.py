"""Asks a model about drawings that it never saw: ten drawn here by program, and ten of Tux Paint's.

Tux Paint's drawings come from Debian's package tuxpaint-stamps-default (GPL-2, many of them public domain); unpack it with
`apt-get download tuxpaint-stamps-default && dpkg -x tuxpaint-stamps-default_*.deb tux` and give its folder. Without it the
ten of this file are asked alone. The labels were written down before any answer was looked at.

    python tests/benchmarks/drawings.py --tuxpaint tux --page drawings.png
"""

import argparse
import math
from pathlib import Path

from PIL import Image, ImageDraw

S = 256  # side of a drawing in pixels
TUXPAINT = {  # one drawing of each kind of thing, the first that the folders list under that name
    "food/fruit/cartoon/pear.png": "pear", "food/fruit/cartoon/grapes.png": "grapes", "food/fruit/cartoon/banana.png": "banana",
    "food/fruit/cartoon/strawberry.png": "strawberry", "food/dessert/cartoon/birthday_cake.png": "birthday cake",
    "town/monuments/cartoon/eiffel_tower.png": "tower", "town/monuments/cartoon/pyramid.svg": "pyramid",
    "household/dishes/cartoon/fork.svg": "fork", "household/dishes/cartoon/spoon.svg": "spoon",
    "clothes/armor/cartoon/knight_helmet.png": "helmet",
}
OTHERS = ("cat", "dog", "horse", "bird", "butterfly", "apple", "orange", "bread", "cup", "knife", "shoe", "hat", "bicycle",
          "train", "airplane", "rocket", "ball", "guitar", "book", "key", "clock", "bell", "star", "heart", "cloud", "mountain")


def house(pen):
    pen.rectangle((60, 120, 196, 220), fill="#e8c48a", outline="black", width=4)
    pen.polygon([(44, 122), (128, 44), (212, 122)], fill="#b5432e", outline="black", width=4)
    pen.rectangle((110, 160, 146, 220), fill="#6b4423")
    pen.rectangle((160, 140, 184, 164), fill="#9fd3f0", outline="black", width=3)


def sun(pen):
    for i in range(12):
        x, y = math.cos(i * math.pi / 6), math.sin(i * math.pi / 6)
        pen.line((128 + 64 * x, 128 + 64 * y, 128 + 104 * x, 128 + 104 * y), fill="#f5a800", width=10)
    pen.ellipse((74, 74, 182, 182), fill="#ffd21f")


def tree(pen):
    pen.rectangle((114, 150, 142, 226), fill="#7a4a21")
    for x, y in ((88, 116), (168, 116), (128, 78), (128, 126)):
        pen.ellipse((x - 46, y - 42, x + 46, y + 42), fill="#2f8f3a")


def fish(pen):
    pen.polygon([(176, 128), (230, 84), (230, 172)], fill="#e8722a")
    pen.ellipse((36, 82, 190, 174), fill="#f08a3c", outline="#a8480f", width=4)
    pen.ellipse((68, 110, 84, 126), fill="white")
    pen.ellipse((73, 114, 81, 122), fill="black")


def sailboat(pen):
    pen.polygon([(44, 176), (212, 176), (180, 220), (76, 220)], fill="#8a4b22")
    pen.line((128, 40, 128, 176), fill="black", width=5)
    pen.polygon([(136, 48), (204, 160), (136, 160)], fill="#e23b3b")
    pen.polygon([(120, 62), (120, 160), (64, 160)], fill="#f4f4f4", outline="black", width=2)


def flower(pen):
    pen.line((128, 130, 128, 232), fill="#2e8b3d", width=8)
    for i in range(6):
        x, y = 128 + 42 * math.cos(i * math.pi / 3), 92 + 42 * math.sin(i * math.pi / 3)
        pen.ellipse((x - 28, y - 28, x + 28, y + 28), fill="#e64b8d")
    pen.ellipse((106, 70, 150, 114), fill="#ffd21f")


def snowman(pen):
    pen.ellipse((70, 124, 186, 236), fill="white", outline="black", width=4)
    pen.ellipse((88, 50, 168, 130), fill="white", outline="black", width=4)
    for x, y in ((112, 80), (144, 80), (128, 160), (128, 190)):
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill="black")
    pen.polygon([(126, 92), (166, 100), (126, 104)], fill="#f08a3c")
    pen.rectangle((98, 22, 158, 54), fill="black")


def car(pen):
    pen.polygon([(76, 124), (100, 82), (164, 82), (192, 124)], fill="#9fd3f0", outline="#1d4fa0", width=8)
    pen.rounded_rectangle((28, 120, 228, 176), 16, fill="#2f6fd6")
    for x in (76, 182):
        pen.ellipse((x - 26, 150, x + 26, 202), fill="#222222")
        pen.ellipse((x - 11, 165, x + 11, 187), fill="#bbbbbb")


def umbrella(pen):
    pen.pieslice((32, 44, 224, 236), 180, 360, fill="#7a3fb0")
    pen.line((128, 140, 128, 214), fill="#5a3a1a", width=7)
    pen.arc((100, 194, 132, 232), 0, 180, fill="#5a3a1a", width=7)


def mushroom(pen):
    pen.rounded_rectangle((98, 124, 158, 220), 20, fill="#f3e5c8", outline="black", width=3)
    pen.pieslice((36, 44, 220, 220), 180, 360, fill="#d62f2f")
    for x, y in ((84, 104), (128, 76), (172, 104)):
        pen.ellipse((x - 13, y - 13, x + 13, y + 13), fill="white")


DRAWN = (house, sun, tree, fish, sailboat, flower, snowman, car, umbrella, mushroom)


def drawn() -> list[tuple[str, Image.Image]]:
    """The ten of this file as (name, RGB picture on white)."""
    found = []
    for draw in DRAWN:
        picture = Image.new("RGB", (S, S), "white")
        draw(ImageDraw.Draw(picture))
        found.append((draw.__name__, picture))
    return found


def tuxpaint(folder: Path) -> list[tuple[str, Image.Image]]:
    """The ten of Tux Paint, on white."""
    stamps = next(folder.rglob("stamps"), folder)
    return [(name, opened(stamps / file)) for file, name in TUXPAINT.items()]


def opened(path: Path) -> Image.Image:
    """A PNG or SVG file on a white square."""
    from clipmini.image import open_image

    if path.suffix == ".svg":
        import resvg_py

        return open_image(bytes(resvg_py.svg_to_bytes(svg_string=path.read_text("utf-8"), width=S, skip_system_fonts=True)))
    return open_image(path)


def page(pictures, answer, title: str):
    """Each drawing above its three first answers; green where the first is right -> matplotlib Figure."""
    from matplotlib.figure import Figure

    columns = 5
    rows = math.ceil(len(pictures) / columns)
    figure = Figure(figsize=(2.3 * columns, 3.1 * rows), dpi=100)
    figure.subplots_adjust(hspace=0.6)  # constrained layout measures the axes before imshow makes them square
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for i, (name, picture) in enumerate(pictures):
        best = answer.probabilities[i].topk(3)
        lines = [f"{answer.labels[k]}  {share:.0%}" for share, k in zip(best.values, best.indices.tolist(), strict=True)]
        right = answer.labels[best.indices[0]] == name
        axes[i].imshow(picture)
        axes[i].set_title(name, fontsize=11)
        axes[i].set_xlabel("\n".join(lines), fontsize=9, color="#1d7a3a" if right else "#a33a2a")
    figure.suptitle(title)
    return figure


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="emoji", help="embedded name or checkpoint folder (default: emoji)")
    p.add_argument("--tuxpaint", type=Path, help="folder that holds Tux Paint's stamps")
    p.add_argument("--page", type=Path, help="write the drawings with their answers as PNG there")
    args = p.parse_args()
    from clipmini.embedder import load
    from clipmini.tasks.classify import classify

    pictures = drawn() + (tuxpaint(args.tuxpaint) if args.tuxpaint else [])
    labels = [*(draw.__name__ for draw in DRAWN), *TUXPAINT.values(), *OTHERS]
    answer = classify(load(args.model), [picture for _, picture in pictures], labels, templates="emoji")
    hits = {1: 0, 5: 0}
    for (name, _), share in zip(pictures, answer.probabilities, strict=True):
        best = [answer.labels[k] for k in share.topk(5).indices.tolist()]
        hits = {k: n + (name in best[:k]) for k, n in hits.items()}
        print(f"{name:<14} {', '.join(best)}")
    summary = f"{args.model}: {hits[1]} of {len(pictures)} right, {hits[5]} among the first five of {len(labels)} labels"
    print(summary)
    if args.page:
        page(pictures, answer, summary).savefig(args.page, bbox_inches="tight")


if __name__ == "__main__":
    main()
