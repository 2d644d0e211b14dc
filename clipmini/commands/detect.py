"""clipmini detect"""

from pathlib import Path

EXAMPLES = """examples:
  clipmini detect picture.png --labels "cat, dog, red circle"
  clipmini detect picture.png --labels "cat" --out found.json      boxes, scores and masks, as COCO has them
"""


def add(p) -> None:
    """The options."""
    p.epilog = EXAMPLES
    p.add_argument("picture", type=Path, help="picture file")
    p.add_argument("--labels", required=True, help='what to look for, separated by commas: "cat, red apple"')
    p.add_argument("--templates", default="plain", help="template set that wraps the labels (default: plain)")
    p.add_argument("--threshold", type=float, metavar="SCORE", help="least score of a box, 0 to 1 (default: the "
                   "model's own; 0.05 for the embedded one)")
    p.add_argument("--out", type=Path, default=Path("detected.png"), metavar="FILE", help="name.png: the picture "
                   "with boxes; name.json: boxes, scores and masks (default: detected.png)")
    p.add_argument("--model", default="segmenter", help="as in `clipmini segment` (default: segmenter)")


def run(args) -> None:
    """Find what the labels name; print and write boxes."""
    from clipmini.mask_plots import boxes
    from clipmini.segmenter import cutouts
    from clipmini.tasks.detect import detect
    from clipmini.tasks.prompts import named_or_own
    from clipmini.tasks.segmenters import load_segmenter

    cutouts.check_name(args.out)
    predictor = load_segmenter(args.model)
    found = detect(predictor, args.picture, args.labels, named_or_own(args.templates), args.threshold)
    for one in found.cutouts:
        print(f"{one.label}: {one.score:.2f} at {','.join(map(str, one.box))}")
    for label in found.none:
        print(f"{label}: none (probability of being there {found.there[label]:.2f})")
    if args.out.suffix.lower() == ".json":
        cutouts.write_records(args.out, predictor.image, [
            cutouts.record(one.mask, one.iou, label=one.label, score=round(one.score, 4)) for one in found.cutouts])
    else:
        boxes(predictor.image, found.cutouts).savefig(args.out)
    print(f"written: {args.out}")
