"""A folder of pictures that are named by their files."""

from pathlib import Path

from clipmini.data.base import SourceError
from clipmini.image import ENDINGS, ImageError, open_image


def check_folder(folder: Path) -> None:
    """Raise SourceError for what is no folder."""
    if not folder.is_dir():
        raise SourceError(f"{str(folder)!r} is {'a file, not a folder' if folder.exists() else 'not there'}; give a "
                          "folder")


def named_pictures(folder: Path) -> tuple[list[Path], list[str], list[str], list[ImageError]]:
    """(files, names, groups, errors): every picture below a folder, its name from its file, its group from the folder
    it lies in, and why others can't be read. Raises SourceError where none can."""
    check_folder(folder)
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS)
    if not files:
        raise SourceError(f"{str(folder)!r} holds no pictures; give a folder with {', '.join(ENDINGS)} files")
    good, errors = [], []
    for file in files:
        try:
            open_image(file)
            good.append(file)
        except ImageError as error:
            errors.append(error)
    if not good:
        raise SourceError(f"no picture of the folder {str(folder)!r} could be read; the first: {errors[0]}")
    return good, [file.stem.replace("_", " ") for file in good], [file.parent.name for file in good], errors
