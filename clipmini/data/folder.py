"""A folder of pictures that are named by their files."""

import os
from dataclasses import dataclass
from pathlib import Path

from clipmini.data.base import SourceError
from clipmini.picture_file import ENDINGS, ImageError, open_image, shown

NO_PICTURE, SEEN = "no picture", "a folder seen already"  # kinds of what is left out that are nobody's mistake


def check_folder(folder: Path) -> None:
    """Raise SourceError for what is no folder."""
    if not folder.is_dir():
        raise SourceError(f"'{shown(folder)}' is {'a file, not a folder' if folder.exists() else 'not there'}; give a "
                          "folder")


@dataclass(frozen=True)
class Pictures:
    """What a folder holds. files: all pictures that can be read, in order; names: from their files' names; groups: the
    folders they lie in; left_out: (kind, message with the path) of everything else."""

    files: list[Path]
    names: list[str]
    groups: list[str]
    left_out: list[tuple[str, str]]


def named_pictures(folder: Path, strict: bool = False) -> Pictures:
    """Every picture below a folder, chosen by its content, whatever its name; folders behind links too.

    strict: raise ImageError for the first that cannot be read. Raises SourceError where none can.
    """
    check_folder(folder)
    found, left_out = _walk(folder)
    good = []
    for file in found:
        try:
            open_image(file)
            good.append(file)
        except ImageError as error:
            kind = NO_PICTURE if error.kind == "empty" and file.suffix.lower() not in ENDINGS else error.kind
            if strict and kind != NO_PICTURE:
                raise ImageError(_told(folder, file, error), kind) from error
            left_out.append((kind, _told(folder, file, error)))
    if not good and all(kind in (NO_PICTURE, SEEN) for kind, _ in left_out):
        raise SourceError(f"'{shown(folder)}' holds no pictures; give a folder with {', '.join(ENDINGS)} files")
    if not good:
        first = next(message for kind, message in left_out if kind not in (NO_PICTURE, SEEN))
        raise SourceError(f"no picture of the folder '{shown(folder)}' could be read; the first: {first}")
    names = [shown(file.stem).replace("_", " ") for file in good]
    return Pictures(good, names, [shown(file.parent.name) for file in good], left_out)


def _walk(folder: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    """All that is no folder, sorted, and what is to be told of folders. A folder that several links lead to is gone
    through once; one that holds this folder, as the whole disk does, not at all."""
    files: list[Path] = []
    told: list[tuple[str, str]] = []
    around = [folder.resolve(), *folder.resolve().parents]
    seen = {(status.st_dev, status.st_ino) for status in map(os.stat, around)}

    def closed(error: OSError) -> None:
        told.append(("no permission", f"{shown(Path(error.filename).name)}: a folder that cannot be read "
                     f"({error.strerror})"))

    for place, below, names in os.walk(folder, onerror=closed, followlinks=True):
        below.sort()
        for name in list(below):
            status = (Path(place) / name).stat()
            key = (status.st_dev, status.st_ino)
            if key in seen:
                below.remove(name)
                told.append((SEEN, f"{shown(name)}: a link to a folder around it, or gone through already"))
            elif Path(name).suffix.lower() in ENDINGS:
                told.append(("a folder", f"{shown(name)}: a folder, in spite of its name; what is in it was looked at"))
            seen.add(key)
        files += [Path(place) / name for name in names]
    return sorted(files), told


def _told(folder: Path, file: Path, error: ImageError) -> str:
    """The message, with where the file lies."""
    where, own, said = shown(file.relative_to(folder)), f"'{shown(file.name)}' ", str(error)
    return f"{where} {said.removeprefix(own)}" if said.startswith(own) else f"{where}: {said}"
