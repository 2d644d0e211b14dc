"""clipmini classify"""

from pathlib import Path

from clipmini.commands.shared import MODEL_HELP


def add(p) -> None:
    """The options."""
    p.add_argument("pictures", nargs="+", type=Path, help="picture files")
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--labels", help='labels, separated by commas: "cat, dog, red apple"')
    what.add_argument("--classes", type=Path, metavar="FILE", help="classes taught by pictures, which the page of "
                      "`clipmini page` saved; no words are read")
    p.add_argument("--model", default="emoji", help=MODEL_HELP)
    p.add_argument("--templates", help='a set by name (emoji, photo, openai7, openai80, cifar ...) or one of your own: '
                   '"a photo of a {}" (default: what the model was trained with)')
    p.add_argument("--none", action="store_true", help='offer "none of these" too')
    p.add_argument("--show-prompts", action="store_true", help="print the texts that were really sent")


def run(args) -> None:
    """Print cosine, logit and probability of each label, best first; what can't be read is told at the end."""
    from clipmini.commands.answer import print_answer
    from clipmini.commands.left_out import tell_left_out
    from clipmini.embedder import load
    from clipmini.picture_file import ImageError, shown
    from clipmini.tasks.classes import read_classes
    from clipmini.tasks.classify import classify, make_classifier
    from clipmini.tasks.prompts import named_or_own

    embedder = load(args.model, packed=True)
    if args.classes:
        classifier = read_classes(args.classes, embedder)
    else:
        templates = named_or_own(args.templates or embedder.meta.get("templates", "emoji"))
        classifier = make_classifier(embedder, args.labels, templates, args.none)
    unread = []
    for number, path in enumerate(args.pictures):
        try:  # one by one: only one picture is in memory
            p = classify(embedder, [path], classifier)
        except ImageError as error:
            unread.append((error.kind, f"{shown(path)}: {error}"))
            continue
        if len(unread) == number:  # the first that could be read: these notes are on the labels, the same for all
            print(*(f"note: {note}\n" for note in classifier.notes), sep="", end="")
        far = "" if p.outside is None else f"; outside of what it learnt: {min(p.outside[0].item(), 0.99):.0%}"
        print(f"{shown(path)}   (model {embedder.name}; logit = {embedder.logit_scale:.1f} x cosine{far})")
        print(*(f"  note: {note}\n" for note in p.notes[len(classifier.notes):]), sep="", end="")
        print_answer(p)
    if args.show_prompts and len(unread) < len(args.pictures):
        print("prompts:", *(prompt for prompts in p.prompts for prompt in prompts), sep="\n  ")
    if unread:
        if len(unread) > 1:
            tell_left_out(unread, "pictures", Path("left-out.txt"))
        why = f": {unread[0][1]}" if len(unread) == 1 else "; the others, if any, are answered above"
        raise ImageError(f"{len(unread):,} of {len(args.pictures):,} pictures left out{why}")
