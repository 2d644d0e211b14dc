"""clipmini page"""

import shlex
from pathlib import Path

EPILOG = """then:
  python -m http.server --directory FOLDER 8000      try it here: http://localhost:8000
  hf upload YOU/SPACE FOLDER . --repo-type space      a static Space, free and without a server
or copy the folder to any host of static files, also into a sub-folder. The camera, and use
without a connection, want https or localhost: browsers give neither to a plain http address.
"""


def add(p) -> None:
    """The options."""
    p.epilog = EPILOG
    p.add_argument("folder", type=Path, help="new folder to write")
    p.add_argument("--model", default="emoji", help="embedded name or checkpoint folder (default: emoji)")
    p.add_argument("--map", type=Path, metavar="DIR", help="a map of that model, which `clipmini map` wrote "
                   "(default: the one that came with it)")
    p.add_argument("--float16", action="store_true", help="weights in half the bytes; the cosines to the model's own "
                   "vectors are printed")
    p.add_argument("--runtime", type=Path, metavar="DIR", help="the unpacked npm package onnxruntime-web (default: npm "
                   "fetches it once)")


def run(args) -> None:
    """Write the static site, and say how large it is and how exact."""
    from clipmini.embedder import load
    from demo_app.web_page import build

    made = build(load(args.model, device="cpu"), args.folder, args.runtime, args.float16, args.map)
    print(f"wrote {made.folder}: {made.raw / 1e6:.1f} MB, {made.packed / 1e6:.1f} MB as gzip sends them; "
          f"onnxruntime-web {made.runtime}")
    print("least cosine to the model's own vectors: "
          + ", ".join(f"{cosine:.7f} ({what})" for what, cosine in made.cosines.items()))
    for warning in made.warnings:
        print(f"note: {warning}")
    print(f"try it: python -m http.server --directory {shlex.quote(str(made.folder))} 8000, then open "
          "http://localhost:8000")
