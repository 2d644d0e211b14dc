"""The command line: clipmini train | evaluate | prompts | classify | data | doctor | export | app."""

import argparse
import json
import sys
from pathlib import Path

EXAMPLES = """examples:
  clipmini app                                          the demo, in your browser
  clipmini classify cat.png --labels "cat, dog, pizza"  which label fits?
  clipmini data emoji --preview sheet.png               what the training pictures look like
  clipmini train emoji-pip --minutes 10                 train a CLIP of your own
  clipmini train fashion                                the same on photographs of clothes, in three minutes
  clipmini evaluate runs/emoji-pip/final --style system how good is it on drawings it never saw?
"""


MODEL_HELP = "embedded name, checkpoint folder or file, or hub name like openai/clip-vit-base-patch32 (default: emoji)"
EVALUATE_EXAMPLES = """examples:
  clipmini evaluate runs/emoji-pip/final --style system
  clipmini evaluate openai/clip-vit-base-patch32 --dataset cifar10
  clipmini evaluate emoji --dataset imagenette --folder copy/ --limit 500
"""


def add_train(commands) -> None:
    """clipmini train"""
    from_help = "train a named recipe; run it again to take up an interrupted run"
    p = commands.add_parser("train", help=from_help, description=from_help + ". `clipmini train --list` names the recipes.")
    p.add_argument("recipe", nargs="?", help="name of the recipe")
    p.add_argument("--data", metavar="NAME", help="name the data instead: the first recipe that trains on it")
    p.add_argument("--folder", help="fashion: folder of the four idx files (default: Debian's package, else the hub)")
    p.add_argument("--list", action="store_true", help="list the recipes and stop")
    p.add_argument("--out", type=Path, help="folder of the run (default: runs/RECIPE)")
    p.add_argument("--minutes", type=float, help="budget in minutes of this computer's time")
    p.add_argument("--steps", type=int, help="budget in steps; repeatable to the bit")
    p.add_argument("--seed", type=int, help="one number for the start, the order and the augmentation (default 0)")
    p.add_argument("--batch", type=int, help="pairs a step")
    p.add_argument("--micro-batch", "--chunk", type=int, metavar="PAIRS",
                   help="pairs at a time in memory (gradient cache; towers without BatchNorm)")
    p.add_argument("--learning-rate", type=float, help="peak of the schedule")
    p.add_argument("--hold-out", metavar="STYLE", help="art style to leave out and measure at the end")
    p.add_argument("--film", action="store_true", help="keep the weights after some steps, for `clipmini map --film`")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    p.set_defaults(run=do_train)


def do_train(args) -> None:
    """Train a recipe and print what was measured."""
    from clipmini.recipes import RECIPES, RecipeError, customised, run, sentence

    if args.list or not (args.recipe or args.data):
        width = max(map(len, RECIPES))
        print("\n".join(f"{name:<{width}}  {r.about}" for name, r in RECIPES.items()))
        return
    name = args.recipe or next((name for name, r in RECIPES.items() if r.data == args.data), None)
    if name is None:
        known = dict.fromkeys(r.data for r in RECIPES.values())
        raise RecipeError(f"no recipe trains on {args.data!r}; there is data called {', '.join(known)}")
    if name not in RECIPES:
        raise RecipeError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    if args.data and args.data != RECIPES[name].data:
        raise RecipeError(f"the recipe {name!r} trains on {RECIPES[name].data}, not on {args.data!r}; leave one of the two away")
    options = ("minutes", "steps", "seed", "batch", "micro_batch", "learning_rate", "hold_out", "folder")
    recipe = customised(RECIPES[name], **{o: getattr(args, o) for o in options if getattr(args, o) is not None})
    out = args.out or Path("runs") / recipe.name
    command = "clipmini " + " ".join(sys.argv[1:] if sys.argv[1:2] == ["train"] else ["train", name])
    done, results = run(recipe, out, command, progress=not args.quiet, film=args.film)
    print(f"{done.step:,} steps in {done.seconds / 60:.1f} minutes")
    for name, result in results.items():
        print(f"{name}: {' '.join(result) if name == 'doctor' else sentence(result)}")
    print(f"checkpoint {out / 'final'}, curve {out / 'curve.png'}")


def add_evaluate(commands) -> None:
    """clipmini evaluate"""
    p = commands.add_parser("evaluate", help="zero-shot accuracy on our data, or on a test set of the field",
                            epilog=EVALUATE_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", nargs="?", default="emoji", help=MODEL_HELP)
    p.add_argument("--data", choices=("emoji", "shapes", "order", "fashion"),
                   help="emoji (default): drawings among all names; shapes: combinations never seen; order: captions with "
                   "swapped words; fashion: the test pictures of Fashion-MNIST")
    p.add_argument("--dataset", metavar="NAME", help="a test set of the field instead, streamed from the hub: cifar10, imagenet, "
                   "food101, flickr30k ...; `--dataset list` names them. Ctrl-C, and the same command goes on")
    p.add_argument("--folder", help="fashion: folder of the idx files (default: Debian's package, else the hub); --dataset: a "
                   "copy of it, as parquet files or tar archives")
    p.add_argument("--limit", type=int, metavar="N", help="--dataset: the first N rows only")
    p.add_argument("--out", type=Path, default=Path("runs/evaluate"),
                   help="--dataset: keeps what is done (default runs/evaluate)")
    p.add_argument("--style", help="emoji: art style (default: all there are)")
    p.add_argument("--templates", help="template set of the ensemble (default: the one that belongs to the data)")
    p.add_argument("--rows", type=int, default=2000, help="shapes, order: scenes to generate (default 2000)")
    p.add_argument("--seed", type=int, default=10_002, help="shapes, order: seed of the scenes; training uses small ones")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    p.set_defaults(run=do_evaluate)


def do_evaluate(args) -> None:
    """Print a table of accuracies."""
    from clipmini.embedder import load

    if args.dataset == "list":
        print(list_test_sets())
        return
    if args.dataset and args.data:
        raise ValueError(f"--data {args.data} and --dataset {args.dataset}: give one of the two")
    args.data = args.data or "emoji"
    if args.folder and not args.dataset and args.data != "fashion":
        raise ValueError(f"--folder is for --dataset and for --data fashion, not for {args.data}; leave it away")
    known_templates(args.templates)
    embedder = load(args.model, packed=True)
    if args.dataset:
        numbers = evaluate_test_set(embedder, args)
    elif args.data == "order":
        numbers = evaluate_order(embedder, args)
    else:
        numbers = evaluate_labels(embedder, args)
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


def list_test_sets() -> str:
    """The test sets of the field, a line each."""
    from clipmini.data.testsets import TEST_SETS

    return "\n".join(f"{s.name:<17}{s.repo:<36}{'retrieval' if s.captions else 'templates ' + s.templates}"
                     for s in TEST_SETS.values())


def evaluate_test_set(embedder, args) -> dict:
    """A test set of the field: our number beside the published one, and how well the model knows what it knows."""
    from clipmini.data.testsets import find
    from clipmini.tasks.benchmark import Job, as_table, run

    test = find(args.dataset)
    copy = Path(args.folder) if args.folder else None
    numbers = run(Job(embedder, test, args.templates or test.templates, args.out, copy, args.limit))
    print(as_table([numbers]))
    if "reliability" in numbers:
        from clipmini.plots import reliability_curve

        picture = args.out / f"reliability-{test.name}.png"
        reliability_curve(numbers["reliability"], f"{embedder.name} on {test.name}").savefig(picture)
        print(f"reliability curve: {picture}")
    return numbers


def evaluate_order(embedder, args) -> dict:
    """Word order: how often the true caption of two with the same words wins."""
    from clipmini.data import shapes
    from clipmini.tasks.evaluate import order_accuracy

    size = embedder.config.vision.image_size
    numbers = order_accuracy(embedder, shapes.make(args.rows, args.seed, size=size, objects=2, pairs="seen"))
    print(f"true caption preferred (chance 50%): relation {numbers['relation']:.1%}, binding {numbers['binding']:.1%}, "
          f"{numbers['n']:,} scenes")
    return numbers


def evaluate_labels(embedder, args) -> dict:
    """Zero-shot accuracy on emoji, on unseen combinations of shape and colour, or on pictures of clothes."""
    from clipmini.recipes import record
    from clipmini.tasks.evaluate import compare
    from clipmini.tasks.metrics import table

    if args.data == "emoji":
        from clipmini.data import emoji

        dataset, sets = emoji.load(args.style), {"one template": "plain", "ensemble": args.templates or "emoji"}
        note_of_seen(embedder, dict.fromkeys(dataset["style"] if "style" in dataset.column_names else ()))
    elif args.data == "fashion":
        from clipmini.data import fashion

        dataset, sets = fashion.load("test", args.folder), {"one template": "plain", "ensemble": args.templates or "fashion"}
    else:
        from clipmini.data import shapes

        size = embedder.config.vision.image_size
        dataset = shapes.make(args.rows, args.seed, size=size, objects=1, pairs="unseen")
        sets = {"one template": ("a {}",), "ensemble": args.templates or "shapes"}
    reports = compare(embedder, dataset, sets)
    print(table(reports.values()))
    return {name: record(report) for name, report in reports.items()}


def note_of_seen(embedder, styles) -> None:
    """Say so when a model is measured on an art style that it was trained on."""
    from clipmini.data import emoji

    trained = set(embedder.meta.get("data", "").replace(",", " ").split())
    if seen := [style for style in styles if trained & emoji.sisters(style)]:
        print(f"note: this model was trained on {', '.join(seen)}: these numbers are not of pictures it never saw")


def known_templates(templates: str | None) -> None:
    """Raise ValueError for what is neither a template set's name nor a template."""
    from clipmini.tasks.prompts import TEMPLATES

    if templates and templates not in TEMPLATES and "{}" not in templates:
        raise ValueError(f"there is no template set {templates!r}; choose one of {', '.join(TEMPLATES)}, or write "
                         "a template of your own, with {} for the label")


def add_prompts(commands) -> None:
    """clipmini prompts"""
    p = commands.add_parser("prompts", help="what each prompt template is worth, alone and in an ensemble")
    p.add_argument("model", nargs="?", default="emoji", help=MODEL_HELP)
    p.add_argument("--templates", default="emoji", help="template set (default: emoji); openai80, openai7, cifar ...")
    p.add_argument("--style", default="system", help="emoji: art style of the labelled drawings (default: system, your own font)")
    p.add_argument("--dataset", metavar="NAME", help="a test set of the field instead; `clipmini evaluate --dataset list`")
    p.add_argument("--folder", help="--dataset: a copy of it, as parquet files or tar archives")
    p.add_argument("--limit", type=int, default=2000, metavar="N", help="--dataset: the first N rows (default 2000)")
    p.add_argument("--plot", type=Path, metavar="FILE", help="draw it too")
    p.set_defaults(run=do_prompts)


def do_prompts(args) -> None:
    """Print the workbench."""
    from clipmini.embedder import load
    from clipmini.tasks.templates import as_text, examine

    if args.dataset == "list":
        print(list_test_sets())
        return
    known_templates(args.templates)
    if args.plot:
        args.plot = picture_file(args.plot)  # now, not after minutes of work
    embedder = load(args.model, packed=True)
    features, targets, labels = labelled_vectors(embedder, args)
    bench = examine(embedder, features, targets, labels, args.templates)
    print(as_text(bench))
    if args.plot:
        from clipmini.plots import template_scores

        on = args.dataset or args.style
        template_scores(bench, f"Templates {args.templates!r} with {embedder.name} on {on}").savefig(args.plot)
        print(f"picture: {args.plot}")


def labelled_vectors(embedder, args):
    """Picture vectors (N, E), their labels' numbers (N,) and the labels, of an emoji style or a test set of the field."""
    import torch

    if args.dataset:
        from itertools import islice

        from clipmini.data.testsets import class_names, examples, find, open_rows

        test, copy = find(args.dataset), Path(args.folder) if args.folder else None
        if test.captions:
            raise ValueError(f"{test.name!r} has captions and no classes, so templates have nothing to fill; choose a set with "
                             "templates of `clipmini evaluate --dataset list`")
        rows = open_rows(test, copy)
        stream, features, targets = islice(examples(test, rows), args.limit), [torch.empty(0, embedder.config.embed_dim)], []
        while batch := list(islice(stream, 64)):  # one batch of pictures in memory, not all of them
            features.append(embedder.embed_images([picture for picture, _ in batch]))
            targets += [truth for _, truth in batch]
        return torch.cat(features), torch.tensor(targets), class_names(test, rows, copy)
    from clipmini.data import emoji
    from clipmini.tasks.evaluate import embed_dataset

    dataset = emoji.load(args.style)
    note_of_seen(embedder, [args.style])
    return embed_dataset(embedder, dataset), torch.tensor(dataset["label"][:]), dataset.features["label"].names


def add_classify(commands) -> None:
    """clipmini classify"""
    p = commands.add_parser("classify", help="which of your labels fits each picture")
    p.add_argument("pictures", nargs="+", type=Path, help="picture files")
    p.add_argument("--labels", required=True, help='labels, separated by commas: "cat, dog, red apple"')
    p.add_argument("--model", default="emoji", help=MODEL_HELP)
    p.add_argument("--templates", help='a set by name (emoji, photo, openai7, openai80, cifar ...) or one of your own: '
                   '"a photo of a {}" (default: what the model was trained with)')
    p.add_argument("--none", action="store_true", help='offer "none of these" too')
    p.add_argument("--show-prompts", action="store_true", help="print the texts that were really sent")
    p.set_defaults(run=do_classify)


def do_classify(args) -> None:
    """Print cosine, logit and probability of each label, best first."""
    from clipmini.embedder import load
    from clipmini.image import ImageError
    from clipmini.tasks.classify import classify
    from clipmini.tasks.prompts import TEMPLATES

    embedder = load(args.model, packed=True)
    templates = args.templates or embedder.meta.get("templates", "emoji")
    known_templates(templates)
    templates = templates if templates in TEMPLATES else [templates]
    unread = []
    for number, path in enumerate(args.pictures):
        try:  # one by one: the labels' texts are embedded once and kept, and only one picture is in memory
            p = classify(embedder, [path], args.labels, templates, none_of_these=args.none)
        except ImageError as error:
            unread.append(f"{path}: {error}")
            continue
        if len(unread) == number:  # the first that could be read: notes are on the labels, the same for all
            print(*(f"note: {note}\n" for note in p.notes), sep="", end="")
        print(f"{path}   (model {embedder.name}; logit = {embedder.logit_scale:.1f} x cosine)")
        print_answer(p)
    if args.show_prompts and len(unread) < len(args.pictures):
        print("prompts:", *(prompt for prompts in p.prompts for prompt in prompts), sep="\n  ")
    if unread:
        raise ImageError(f"{len(unread)} of {len(args.pictures)} pictures left out: " + "; ".join(unread))


def print_answer(p) -> None:
    """A Prediction of one picture: a line for each label, best first."""
    width = max(len(label) for label in (*p.labels, "none of these"))
    for j in p.probabilities[0].argsort(descending=True).tolist():
        share = p.probabilities[0, j].item()
        print(f"  {p.labels[j]:<{width}} {share:7.1%} {'#' * round(20 * share):<20} "
              f"cosine {p.cosines[0, j]:.3f}  logit {p.logits[0, j]:.2f}"
              + (f"  by itself {p.alone[0, j].item():.1%}" if p.alone is not None else ""))
    if p.none is not None:
        print(f"  {'none of these':<{width}} {p.none[0].item():7.1%} {'#' * round(20 * p.none[0].item())}")


HEATMAPS = """methods:
  windows    cut the picture up and ask about each part; slow, and the best on small towers
  surgery    value-value attention, what all texts share taken out (CLIP Surgery)
  value      the value path of the last attention (MaskCLIP)
  relevance  attention weighted by its gradient (Chefer et al.); for towers with attention, such as emoji-vit
  gradcam    the last feature map weighted by its gradient (Grad-CAM)
  occlusion  hide a place, and see how far the cosine falls
  patches    each cell's own cosine; the cautionary tale
How well each finds things whose place is known is in the README.
"""


def add_heatmap(commands) -> None:
    """clipmini heatmap"""
    p = commands.add_parser("heatmap", help="where in the picture is this phrase?", epilog=HEATMAPS,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("picture", type=Path, help="picture file")
    p.add_argument("--phrases", required=True, help='phrases, separated by commas: "cat, red apple"')
    p.add_argument("--model", default="emoji", help=MODEL_HELP)
    p.add_argument("--method", help="one of those below (default: windows; surgery for models of large pictures)")
    p.add_argument("--templates", default="plain", help="template set that wraps the phrases (default: plain)")
    p.add_argument("--out", type=Path, default=Path("heatmap.png"), metavar="FILE", help="figure to write (default: heatmap.png)")
    p.add_argument("--segments", action="store_true", help="one picture, each place in the colour of its phrase")
    p.set_defaults(run=do_heatmap)


def do_heatmap(args) -> None:
    """Write the figure; print where each phrase is brightest."""
    from clipmini.embedder import load
    from clipmini.plots import heatmaps, segments
    from clipmini.tasks.heatmap.methods import heatmap

    args.out = picture_file(args.out)
    known_templates(args.templates)
    found = heatmap(load(args.model, packed=True), args.picture, args.phrases, args.method, args.templates, progress=True)
    (segments if args.segments else heatmaps)(found).savefig(args.out)
    height, width = found.maps.shape[1:]
    for phrase, map_ in zip(found.phrases, found.maps, strict=True):
        y, x = divmod(int(map_.argmax()), width)
        print(f"{phrase}: brightest at {x / width:.0%} from the left, {y / height:.0%} from the top")
    print(f"method {found.method}; figure: {args.out}")


def add_map(commands) -> None:
    """clipmini map"""
    p = commands.add_parser("map", help="a map of pictures and words: what is alike is near")
    p.add_argument("folder", nargs="?", type=Path, help="folder of picture files, named by their file names; without it, the "
                   "emoji of --style")
    p.add_argument("--model", default="emoji", help=MODEL_HELP)
    p.add_argument("--style", default="system", help="emoji: art style (default: system, your own font)")
    p.add_argument("--out", type=Path, default=Path("map"), help="folder to write: the map, and map.png; an older map "
                   "there is replaced (default: map)")
    p.add_argument("--film", type=Path, metavar="RUN", help="folder of a run that was trained with --film: a map for each step")
    p.add_argument("--seed", type=int, default=0, help="of UMAP (default 0)")
    p.set_defaults(run=do_map)


def readable(paths: list[Path]) -> list[Path]:
    """Those that can be opened; the others are told on stderr."""
    from clipmini.image import ImageError, open_image

    good = []
    for path in paths:
        try:
            open_image(path)
            good.append(path)
        except ImageError as error:
            print(f"left out: {error}", file=sys.stderr)
    if not good:
        raise ValueError("no picture of the folder could be read")
    return good


def picture_file(path: Path) -> Path:
    """A path that a figure can be saved to: its folder is made, a missing ending becomes .png."""
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; give a file, such as {str(path / 'heatmap.png')!r}")
    path = path if path.suffix else path.with_suffix(".png")
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".pdf", ".svg", ".webp"):
        raise ValueError(f"{str(path)!r}: a figure is written as .png, .jpg, .webp, .pdf or .svg")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def do_map(args) -> None:
    """Write a map folder and its figure."""
    from clipmini.embedder import load
    from clipmini.image import ENDINGS
    from clipmini.plots import map_of
    from clipmini.tasks.maps import folder as mapfolder
    from clipmini.tasks.maps import projection as atlas

    mapfolder.check_target(args.out)  # now, not after minutes of work
    for given in filter(None, (args.folder, args.film)):
        if not given.is_dir():
            raise ValueError(f"{str(given)!r} is {'a file, not a folder' if given.exists() else 'not there'}; give a folder")
    kept = sorted(args.film.glob("film/step-*")) if args.film else []
    if args.film and not kept:
        raise ValueError(f"{str(args.film)!r} has no film; train with --film")
    embedder = load(kept[-1] if kept else args.model, packed=True)
    if args.folder:
        images = sorted(p for p in args.folder.rglob("*") if p.suffix.lower() in ENDINGS)
        if not images:
            raise ValueError(f"{str(args.folder)!r} holds no pictures; give a folder with {', '.join(ENDINGS)} files")
        images = readable(images)
        names, groups = [p.stem.replace("_", " ") for p in images], [p.parent.name for p in images]
    else:
        from clipmini.data import emoji

        rows = emoji.load(args.style)
        images = [row["image"] for row in rows]
        names, groups = [captions[0] for captions in rows["captions"]], rows["group"][:]
    print("embedding and mapping; UMAP compiles for half a minute when it is first used ...", file=sys.stderr)
    if kept:
        steps = {int(folder.name.removeprefix("step-")): load(folder, packed=True) for folder in kept}
        found = mapfolder.film(steps, images, names, groups, args.seed)
    else:
        found = mapfolder.make(embedder, images, names, groups, args.seed)
    mapfolder.save(found, args.out)
    map_of(found).savefig(args.out / "map.png")
    gap = atlas.modality_gap(found.vectors[:found.pictures], found.vectors[found.pictures:])
    print(f"{found.pictures:,} pictures and {len(found.names) - found.pictures:,} names; modality gap {gap:.2f}; "
          f"figure: {args.out / 'map.png'}")


def add_data(commands) -> None:
    """clipmini data"""
    p = commands.add_parser("data", help="look at the training data, or fetch more of it")
    p.add_argument("name", choices=("emoji", "shapes", "fashion"), help="which data")
    p.add_argument("--preview", nargs="?", const=Path("preview.png"), type=Path, metavar="FILE",
                   help="write a contact sheet (default: preview.png)")
    p.add_argument("--fetch", action="store_true", help="emoji: get ten more art styles and the tags with npm")
    p.add_argument("--style", action="append", help="emoji: only this style (repeatable)")
    p.add_argument("--seed", type=int, default=0, help="shapes: seed (default 0)")
    p.add_argument("--folder", help="fashion: folder of the four idx files (default: Debian's package, else the hub)")
    p.set_defaults(run=do_data)


def do_data(args) -> None:
    """Describe a data set, its sources and licences; draw its contact sheet."""
    if args.name == "emoji":
        from clipmini.data import emoji

        if args.fetch:
            try:
                print(f"fetched into {emoji.fetch_npm()}")
            except RuntimeError as error:
                raise ValueError(str(error)) from error
        dataset = emoji.load(args.style)
        styles = dataset["style"][:]
        print(f"{len(dataset):,} pictures of {len(dataset.features['label'].names):,} concepts")
        for source in emoji.SOURCES:
            count = styles.count(source.style)
            here = f"{count:,} pictures" if count else "not here" if source.style else ""
            print(f"  {source.style or '(words)':<18} {here:<15} {source.what}; {source.package} ({source.installer}), "
                  f"{source.author}, {source.licence}")
        sheet = emoji.preview
    elif args.name == "fashion":
        from clipmini.data import fashion

        dataset, sheet = fashion.load("train", args.folder), fashion.preview
        tests, source = fashion.load("test", args.folder), fashion.SOURCE
        print(f"{len(dataset):,} pictures to train on, {len(tests):,} to test; {source.author}, {source.licence}")
        print(*(f"  {', '.join(phrasings)}" for phrasings in fashion.KINDS.values()), sep="\n")
    else:
        from clipmini.data import shapes

        dataset, sheet = shapes.make(48, args.seed, size=64, objects="both"), shapes.preview
        print("endless scenes of 8 shapes, 8 colours, 2 sizes and 4 relations, drawn by this package; for example:")
        print(*(f"  {row[0]}" for row in dataset["captions"][:8]), sep="\n")
    if args.preview:
        sheet(dataset).save(args.preview)
        print(f"contact sheet: {args.preview}")


def add_doctor(commands) -> None:
    """clipmini doctor"""
    p = commands.add_parser("doctor", help="read a training curve and say what it shows")
    p.add_argument("folder", type=Path, help="folder of a run (holds curve.csv)")
    p.set_defaults(run=do_doctor)


def do_doctor(args) -> None:
    """Diagnose a run and redraw its curve."""
    from clipmini.plots import training_curve
    from clipmini.training.doctor import diagnose, read_csv

    history = read_csv(args.folder / "curve.csv")
    print(*diagnose(history), sep="\n")
    if history:
        training_curve(history, f"Training curve of {args.folder.name}").savefig(args.folder / "curve.png")
        print(f"curve: {args.folder / 'curve.png'}")


PUSH = """To put the folder on the Hugging Face hub, log in once with `hf auth login`, then:
  hf upload YOU/MODEL FOLDER
"""


def add_export(commands) -> None:
    """clipmini export"""
    p = commands.add_parser("export", help="write a folder for transformers, open_clip or ONNX Runtime", epilog=PUSH,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", help="embedded name or checkpoint folder; transformers wants a ViT with a text Transformer")
    p.add_argument("folder", type=Path, help="new folder to write")
    p.add_argument("--layout", choices=("transformers", "open_clip", "onnx"), default="transformers",
                   help="for whom (default: transformers)")
    p.set_defaults(run=do_export)


def do_export(args) -> None:
    """Export a checkpoint."""
    from clipmini import families
    from clipmini.embedder import load

    embedder = load(args.model, device="cpu")
    how = {"transformers": f"transformers.CLIPModel.from_pretrained({str(args.folder)!r})",
           "open_clip": f"open_clip.create_model_from_pretrained('local-dir:{args.folder}')",
           "onnx": f"clipmini.load({str(args.folder)!r}), or image.onnx and text.onnx with any ONNX runtime"}[args.layout]
    families.export(embedder.model, embedder.tokenizer, args.folder, args.layout, embedder.meta)
    if args.layout == "onnx":
        cosines = families.family("onnx").least_cosines(embedder.model, args.folder)
        how += "\nleast cosine to the vectors before: " + ", ".join(f"{c:.6f} ({what})" for what, c in cosines.items())
    print(f"wrote {args.folder}; open it with {how}")


def add_app(commands) -> None:
    """clipmini app; its options are the app's own"""
    commands.add_parser("app", help="start the demo in the browser", add_help=False)


def parser() -> argparse.ArgumentParser:
    """The argument parser of the command `clipmini`."""
    from clipmini import __version__

    p = argparse.ArgumentParser("clipmini", description="A CLIP small enough to read: train it, ask it, look inside.",
                                epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--version", action="version", version=f"clipmini {__version__}")
    commands = p.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (add_app, add_classify, add_heatmap, add_map, add_data, add_train, add_doctor, add_evaluate, add_prompts,
                add_export):
        add(commands)
    return p


def main(argv: list[str] | None = None) -> int:
    """Entry point. Returns the exit status: 0, or 1 with one line on stderr for what the user can mend."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["app"]:
        try:
            from demo_app.app import main as app
        except ModuleNotFoundError as error:
            print(f"clipmini: the app needs {error.name!r}; install it with: pip install \"clipmini[app]\"", file=sys.stderr)
            return 1
        return app(argv[1:]) or 0
    args = parser().parse_args(argv)
    from clipmini.training.config import TrainingError

    try:
        args.run(args)
    except (ValueError, TrainingError, OSError) as error:  # all errors of ours are one of these, with a remedy
        print("clipmini:", " ".join(str(error).split()), file=sys.stderr)  # torch's are many lines long
        return 1
    except ModuleNotFoundError as error:
        print(f"clipmini: this command needs {error.name!r}; install it with: pip install \"clipmini[train]\"", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("clipmini: stopped; the same command goes on from the last save", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
