"""clipmini heatmap"""

from pathlib import Path

from clipmini.commands.shared import MODEL_HELP

METHODS = """methods:
  windows    cut the picture up and ask about each part; slow, and the best on small towers
  surgery    value-value attention, what all texts share taken out (CLIP Surgery)
  value      the value path of the last attention (MaskCLIP)
  relevance  attention weighted by its gradient (Chefer et al.); for towers with attention, such as emoji-vit
  gradcam    the last feature map weighted by its gradient (Grad-CAM)
  occlusion  hide a place, and see how far the cosine falls
  patches    each cell's own cosine; the cautionary tale
How well each finds things whose place is known is in assets/results.md.
"""


def add(p) -> None:
    """The options."""
    p.epilog = METHODS
    p.add_argument("picture", type=Path, help="picture file")
    p.add_argument("--phrases", required=True, help='phrases, separated by commas: "cat, red apple"')
    p.add_argument("--model", default="emoji", help=MODEL_HELP)
    p.add_argument("--method", help="one of those below (default: windows; surgery for models of large pictures)")
    p.add_argument("--templates", default="plain", help="template set that wraps the phrases (default: plain)")
    p.add_argument("--out", type=Path, default=Path("heatmap.png"), metavar="FILE",
                   help="figure to write (default: heatmap.png)")
    p.add_argument("--segments", action="store_true", help="one picture, each place in the colour of its phrase")


def run(args) -> None:
    """Write the figure; print where each phrase is brightest, and whether it is there at all."""
    from clipmini.embedder import load
    from clipmini.plots import figure_file, heatmaps, segments
    from clipmini.tasks.heatmap import PRESENT, heatmap
    from clipmini.tasks.prompts import named_or_own

    args.out = figure_file(args.out)
    templates = named_or_own(args.templates)
    found = heatmap(load(args.model, packed=True), args.picture, args.phrases, args.method, templates, progress=True)
    (segments if args.segments else heatmaps)(found).savefig(args.out)
    height, width = found.maps.shape[1:]
    for k, (phrase, map_, there) in enumerate(zip(found.phrases, found.maps, found.present, strict=True)):
        y, x = divmod(int(map_.argmax()), width)
        score = "" if found.scores is None else f" (score {found.scores[k]:+.1f}; {PRESENT} or more counts as there)"
        print(f"{phrase}: " + ("not there" if there is False else f"brightest at {x / width:.0%} from the left, "
                               f"{y / height:.0%} from the top") + score)
    if found.scores is None:
        print(f"whether a phrase is there at all is not known to {found.method}; --method windows has a score")
    print(f"method {found.method}; figure: {args.out}")
