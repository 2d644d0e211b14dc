"""Classes taught by pictures: the mean of each class's vectors is its classifier, and words have no say.

A new picture goes to the nearest mean (nearest class mean: Mensink et al. 2013). The file is the one that the page
without a server reads and writes: {"format", "model", "sample", "classes": [{"name", "count", "vector"}]}.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.embedder import Embedder
from clipmini.files import CheckpointError, written_whole
from clipmini.picture_file import shown
from clipmini.tasks.classify import Classifier
from clipmini.tasks.index import is_sample_of, sample_of
from clipmini.tasks.prompts import MAX_LABELS, clean_labels

FORMAT = "clipmini classes 1"
LARGEST = 200_000_000  # bytes of a file


def class_means(vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name -> unit vectors (n, E) of its pictures becomes name -> their mean, of unit length (E,). Raises
    CheckpointError for a class without pictures."""
    if empty := [name for name, rows in vectors.items() if not len(rows)]:
        raise CheckpointError(f"the class {empty[0]!r} has no pictures; give it at least one, or leave it out")
    return {name: F.normalize(rows.mean(dim=0), dim=0) for name, rows in vectors.items()}


def save_classes(path: str | Path, embedder: Embedder, vectors: Mapping[str, Tensor]) -> Path:
    """Write classes, name -> unit vectors (n, E) of its pictures, as a file for the page or for `read_classes`."""
    found = [{"name": name, "count": len(vectors[name]), "vector": [round(v, 7) for v in mean.tolist()]}
             for name, mean in class_means(vectors).items()]
    content = {"format": FORMAT, "model": embedder.name, "sample": sample_of(embedder), "classes": found}
    with written_whole(Path(path), "file of classes") as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return Path(path)


def read_classes(path: str | Path, embedder: Embedder) -> Classifier:
    """A file of classes -> a Classifier for `classify`. Raises CheckpointError for another file, and for vectors of
    another model."""
    path, width = Path(path), embedder.config.embed_dim
    content = _content(path)
    classes = content.get("classes")
    if content.get("format") != FORMAT or not isinstance(classes, list) or not 0 < len(classes) <= MAX_LABELS:
        raise CheckpointError(f"'{shown(path)}' is no file of classes; it should say the format {FORMAT!r} and have "
                              f"1 to {MAX_LABELS:,} classes. Save it anew from the page, or with save_classes")
    sample: Any = content.get("sample")
    if not _numbers(sample, width) or not is_sample_of(embedder, sample):
        raise CheckpointError(f"the classes in '{shown(path)}' were taught to the model {str(content.get('model'))!r}, "
                              f"whose vectors are not those of {embedder.name!r}; name that model with --model")
    for number, one in enumerate(classes, 1):
        if not (isinstance(one, dict) and isinstance(one.get("name"), str) and _numbers(one.get("vector"), width)):
            raise CheckpointError(f"class {number} of '{shown(path)}' has no name, or no vector of {width} finite "
                                  "numbers; save the file anew")
    cleaned = clean_labels([one["name"] for one in classes])
    if len(cleaned.labels) != len(classes):
        raise CheckpointError(f"'{shown(path)}' has {len(classes)} classes and {len(cleaned.labels)} different names; "
                              "give each a name of its own")
    texts = F.normalize(torch.tensor([one["vector"] for one in classes], dtype=torch.float32), dim=-1)
    return Classifier(cleaned.labels, (), texts, None, ((),) * len(classes), cleaned.notes, 0.0)


def _content(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise CheckpointError(f"'{shown(path)}' has over {LARGEST:,} bytes; it is no file of classes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"there is no file '{shown(path)}'; save one from the page that `clipmini page` "
                              "writes") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"'{shown(path)}' cannot be read as JSON ({error}); save it anew from the page") from None
    return content if isinstance(content, dict) else {}


def _numbers(values: Any, width: int) -> bool:
    return (isinstance(values, list) and len(values) == width
            and all(isinstance(v, (int, float)) and math.isfinite(v) for v in values) and any(values))
