"""Build the folder that a Hugging Face Space runs.

    python -m demo_app.space FOLDER             the app, on a server of the hub
    python -m demo_app.space --static FOLDER    the page that needs no server: free, as many as you like
    hf upload YOU/SPACE FOLDER . --repo-type space

The Space downloads nothing when it starts, unless its variables ask for another model: code, checkpoints, samples and
map are in the folder.
"""

import argparse
import shutil
import sys
from pathlib import Path

from clipmini.embedder import assets_folder
from clipmini.files import CheckpointError, written_whole

PARTS = ("emoji", "samples", "maps")  # of assets/: what the app serves
SDK = "6.31.0"
HEADER = f"""---
title: clipmini
emoji: 📎
colorFrom: indigo
colorTo: blue
sdk: gradio
sdk_version: {SDK}
python_version: "3.12"
app_file: demo_app/app.py
license: apache-2.0
short_description: A CLIP small enough to read, with its insides
---

"""
TEXT = """# clipmini

A CLIP trained from scratch in an hour of one CPU thread: zero-shot classification, heatmaps, similarity matrices and a
map of its space. Pictures stay in this Space's memory.

Two variables in the Space's settings: CLIPMINI_HUB=1 lets visitors fetch published CLIPs; CLIPMINI_MODEL names the
model that answers, such as wkcn/TinyCLIP-ViT-40M-32-Text-19M-LAION400M, which with CLIPMINI_HUB=1 is fetched when the
Space starts. Where it cannot be loaded, the embedded model answers, and the page says so.
"""
# No pins: a Space on ZeroGPU chooses its own torch, and sdk_version pins gradio.
REQUIREMENTS = """matplotlib>=3.9
numpy>=2
pillow>=12.2
regex>=2024.5
safetensors>=0.6
torch>=2.10,<3
tqdm>=4.66
huggingface-hub>=1.1
tokenizers>=0.20
transformers>=5.3,<6
protobuf>=4
sentencepiece>=0.2
"""


def build(folder: str | Path) -> Path:
    """Write the Space into a new folder, whole or not at all. Raises CheckpointError."""
    folder, package = Path(folder), Path(__file__).resolve().parent
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{str(folder)!r} is not an empty folder; give a new one")
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc", "assets")
    with written_whole(folder, "Space") as temporary:
        temporary.mkdir(parents=True)
        shutil.copytree(package, temporary / "demo_app", ignore=unwanted)
        shutil.copytree(package.parent / "clipmini", temporary / "clipmini", ignore=unwanted)
        for part in PARTS:
            if (assets_folder() / part).is_dir():
                shutil.copytree(assets_folder() / part, temporary / "assets" / part)
        (temporary / "README.md").write_text(HEADER + TEXT, encoding="utf-8")
        (temporary / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
    return folder


def main(argv=None) -> int:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m demo_app.space", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path, help="new folder to write")
    p.add_argument("--static", action="store_true", help="the page that runs in the browser; other models and options: "
                   "clipmini page --help")
    args = p.parse_args(argv)
    try:
        if args.static:
            from clipmini.embedder import load
            from demo_app import web_page

            made = web_page.build(load("emoji", device="cpu"), args.folder)
            print(f"wrote {made.folder}, {made.raw / 1e6:.1f} MB; try it: python -m http.server --directory "
                  f"{made.folder}")
            return 0
        print(f"wrote {build(args.folder)}; try it: cd {args.folder} && python demo_app/app.py")
    except CheckpointError as error:
        print(f"space: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
