"""clipmini: a CLIP small enough to read, trained on real pictures.

Shape letters, used in every file:

    B  batch              N  pictures or texts      P  patches       T  tokens
    W  width              H  heads                  E  embedding     S  side of a picture in pixels
    K  classes            M  templates

The public names below are imported on first use, so `import clipmini` itself costs nothing.
"""

__version__ = "0.1.0"

_HOME = {
    "CLIP": "model",
    "CLIPConfig": "config",
    "VisionConfig": "config",
    "TextConfig": "config",
    "preset": "config",
    "Tokenizer": "tokenizer",
    "open_image": "picture_file",
    "Embedder": "embedder",
    "load": "embedder",
    "load_segmenter": "tasks.segmenters",
    "CheckpointError": "checkpoint",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str):
    """Import a public name from its file the first time somebody asks for it (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"clipmini has no {name!r}; its public names are {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f"clipmini.{_HOME[name]}"), name)
