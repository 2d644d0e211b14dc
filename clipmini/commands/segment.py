"""clipmini segment"""

from pathlib import Path

from clipmini.commands.values import numbers

EXAMPLES = """examples:
  clipmini segment street.png --text "dog" --out dog.png       the cut-out, all else transparent
  clipmini segment face.png --point 40,60 --choose 2           a click may mean a thing, its part, or a part of that
  clipmini segment face.png --point 40,60 --without 80,20      clicks add and take away
  clipmini segment face.png --box 10,10,90,80 --out masks.json three masks as COCO run lengths
  clipmini segment street.png --everything --out all.json      all that can be cut out
"""


def add(p) -> None:
    """The options."""
    p.epilog = EXAMPLES
    p.add_argument("picture", type=Path, help="picture file")
    p.add_argument("--point", type=numbers(2), action="append", default=[], metavar="X,Y", help="it is here; in pixels "
                   "from the upper left, may be repeated")
    p.add_argument("--without", type=numbers(2), action="append", default=[], metavar="X,Y", help="it is not here")
    p.add_argument("--box", type=numbers(4), metavar="L,T,R,B", help="it is in this box: left, top, right, bottom")
    p.add_argument("--text", metavar="WORDS", help='what it is: "red car"')
    p.add_argument("--mask", type=Path, metavar="FILE", help="a picture of the same size, white where it is, roughly")
    p.add_argument("--everything", action="store_true", help="no prompt: all that can be cut out")
    p.add_argument("--choose", type=int, default=1, choices=(1, 2, 3), help="which of the three masks is written as a "
                   "picture (default 1, the likeliest)")
    p.add_argument("--out", type=Path, default=Path("cutout.png"), metavar="FILE", help="name.png: the cut-out with "
                   "transparency; name.json: all masks as COCO run lengths (default: cutout.png)")
    p.add_argument("--model", default="segmenter", help="segmenter: the embedded one; a folder; or a hub name such as "
                   "facebook/sam-vit-base (default: segmenter)")


def run(args) -> None:
    """Cut out, print what was found, write it."""
    from clipmini.segmenter import cutouts
    from clipmini.tasks.detect import everything
    from clipmini.tasks.segmenters import load_segmenter

    cutouts.check_name(args.out)
    predictor = load_segmenter(args.model)
    if args.everything:
        rows = [(one.mask, one.iou) for one in everything(predictor, args.picture)]
        chosen = None
    else:
        predictor.set_image(args.picture)
        clicks = args.point + args.without
        answer = predictor.predict(clicks or None, [1] * len(args.point) + [0] * len(args.without) if clicks else None,
                                   args.box, args.text, args.mask and cutouts.read_mask(args.mask))
        rows = [(mask.numpy(), float(iou)) for mask, iou in zip(answer.masks, answer.iou, strict=True)]
        chosen = args.choose - 1
        if args.text:
            print(f"probability that it is there: {answer.there:.2f}")
    print(cutouts.table(rows) or "nothing can be cut out")
    cutouts.write(args.out, predictor.image, rows, chosen)
    print(f"written: {args.out}")
