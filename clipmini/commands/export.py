"""clipmini export"""

from pathlib import Path

PUSH = """To put the folder on the Hugging Face hub, log in once with `hf auth login`, then:
  hf upload YOU/MODEL FOLDER
"""


def add(p) -> None:
    """The options."""
    p.epilog = PUSH
    p.add_argument("model", help="embedded name or checkpoint folder; transformers wants a ViT with a text Transformer")
    p.add_argument("folder", type=Path, help="new folder to write")
    p.add_argument("--layout", choices=("transformers", "open_clip", "onnx"), default="transformers",
                   help="for whom (default: transformers)")


def run(args) -> None:
    """Export a checkpoint."""
    from clipmini import families
    from clipmini.embedder import load

    embedder = load(args.model, device="cpu")
    ways = {"transformers": f"transformers.CLIPModel.from_pretrained({str(args.folder)!r})",
            "open_clip": f"open_clip.create_model_from_pretrained('local-dir:{args.folder}')",
            "onnx": f"clipmini.load({str(args.folder)!r}), or image.onnx and text.onnx with any ONNX runtime"}
    how = ways[args.layout]
    families.export(embedder.model, embedder.tokenizer, args.folder, args.layout, embedder.meta)
    if args.layout == "onnx":
        from clipmini.families.onnx import least_cosines

        cosines = least_cosines(embedder.model, args.folder)  # type: ignore[arg-type]  # a CLIP, or export had refused
        how += "\nleast cosine to the vectors before: " + ", ".join(f"{c:.6f} ({what})" for what, c in cosines.items())
    print(f"wrote {args.folder}; open it with {how}")
