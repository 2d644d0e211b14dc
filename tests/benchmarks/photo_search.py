"""Search by words in photos that install offline: is a picture of that name among the first 1, 5, 10?

    apt-get download gcompris-qt-data scratch
    for f in *.deb; do dpkg -x "$f" photos; done
    python tests/benchmarks/photo_search.py photos                       # by devise, the photo model from pip packages
    python tests/benchmarks/photo_search.py photos --model openai/clip-vit-base-patch32

GCompris: every WebP picture of its animals, monuments and things to sort (but letters and numbers); Scratch: its JPEG
backgrounds. Names are those of the files: "polar_bear" and "measuringTape4" are asked for as "polar bear" and "measuring
tape". All pictures lie in one index; the rule was written before a model was asked. Intervals: 95 %, Wilson.
"""

import argparse
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import clipmini
from clipmini.tasks.index import open_index, query, search, update
from clipmini.tasks.metrics import wilson

BUNDLES, BACKGROUNDS = Path("usr/share/gcompris-qt/rcc"), Path("usr/share/scratch/Media/Backgrounds")
SETS = {"animals": ("explore_farm_animals", "explore_world_animals"), "monuments": ("explore_monuments",),
        "things": ("categorization",)}
NO_PHOTOS = ("/alphabets/", "/numbers/")


def bundle(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files in a bundle of Qt (rcc, versions 1 to 3): a tree of 14 or 22 bytes a node, names in
    UTF-16, contents behind their lengths, some of them deflated."""
    data = path.read_bytes()
    assert data[:4] == b"qres", path
    version, tree, contents, names = struct.unpack(">IIII", data[4:20])
    size = 14 if version < 2 else 22

    def name(offset: int) -> str:
        length = struct.unpack_from(">H", data, names + offset)[0]
        return data[names + offset + 6:names + offset + 6 + 2 * length].decode("utf-16-be")

    def below(number: int, place: str) -> Iterator[tuple[str, bytes]]:
        offset, flags = struct.unpack_from(">IH", data, tree + number * size)
        place = f"{place}/{name(offset)}" if number else place
        if flags & 2:  # a folder
            count, first = struct.unpack_from(">II", data, tree + number * size + 6)
            for child in range(first, first + count):
                yield from below(child, place)
            return
        start = contents + struct.unpack_from(">I", data, tree + number * size + 10)[0]
        content = data[start + 4:start + 4 + struct.unpack_from(">I", data, start)[0]]
        yield place, zlib.decompress(content[4:]) if flags & 1 else content
    yield from below(0, "")


def asked_for(stem: str) -> str:
    """What a file's name says.

    >>> asked_for("measuringTape4"), asked_for("polar_bear"), asked_for("beach-malibu"), asked_for("montStMichel")
    ('measuring tape', 'polar bear', 'beach malibu', 'mont st michel')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]", " ", stem)
    return re.sub(r"(?<=\D)\d+( [a-z])?$", "", words).lower().strip()


def gather(root: Path, place: Path) -> None:
    """Put the pictures of each set into a folder of its own."""
    for kind, bundles in SETS.items():
        for name in bundles:
            for file, content in bundle(root / BUNDLES / f"{name}.rcc"):
                if file.endswith(".webp") and not any(part in file for part in NO_PHOTOS):
                    target = place / kind / Path(file).parent.name / Path(file).name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
    for file in sorted((root / BACKGROUNDS).rglob("*.jpg")):
        target = place / "places" / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("root", type=Path, help="where the packages were unpacked")
    p.add_argument("--model", default="devise", help="what clipmini.load takes (default devise)")
    args = p.parse_args()
    embedder = clipmini.load(args.model, fast=True)
    with tempfile.TemporaryDirectory() as folder:
        photos, place = Path(folder) / "photos", Path(folder) / "index"
        gather(args.root, photos)
        update(embedder, photos, place)
        index = open_index(place)
        names = {path: asked_for(Path(path).stem) for path in index.rows["path"]}
        print(f"{embedder.name}: {len(index):,} photos, {len(set(names.values()))} names")
        for kind in (*SETS, "places"):
            asked = sorted({name for path, name in names.items() if path.startswith(f"{kind}/")})
            ranks = []
            for name in asked:
                hits = search(index, query(embedder, [(1.0, name)])[None], most=10)[0]
                ranks.append(next((i for i, hit in enumerate(hits) if names[hit.path] == name), 10))
            shares = []
            for k in (1, 5, 10):
                right = sum(rank < k for rank in ranks) / len(ranks)
                low, high = wilson(right, len(ranks))
                shares.append(f"@{k} {right:.1%} [{low:.1%}, {high:.1%}]")
            print(f"{kind}: {sum(path.startswith(kind) for path in names)} photos, {len(asked)} names; {', '.join(shares)}")


if __name__ == "__main__":
    main()
