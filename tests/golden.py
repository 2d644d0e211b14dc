"""What only a connected machine can check: OpenAI's published weights in our class give OpenAI's published numbers.

    python tests/golden.py            # downloads ViT-B/32 (605 MB), CIFAR-10 and imagenette; about an hour on two cores
    python tests/golden.py --quick    # the three probabilities of OpenAI's README alone
    python tests/golden.py --lessons  # runs the lessons that ask a published CLIP, in place, and so keeps its figures

Never run where this was written, which has no hub. Ends with status 1 when a number is off.
"""

import argparse
import json
import sys
import urllib.request
from pathlib import Path

MODEL = "openai/clip-vit-base-patch32"
PICTURE = "https://raw.githubusercontent.com/openai/CLIP/main/CLIP.png"
README = {"a diagram": 0.9927937, "a dog": 0.00421068, "a cat": 0.00299572}  # openai/CLIP, README.md
TOLERANCE = 2e-3  # of the probabilities: OpenAI's were computed in half precision on a GPU
ACCURACY = {"imagenette": (98.7, "photo"), "cifar10": (89.8, "cifar")}  # percent, within half a point


def readme_probabilities(model) -> dict[str, float]:
    """The probabilities of OpenAI's three captions for OpenAI's picture."""
    from clipmini.tasks.classify import classify

    with urllib.request.urlopen(PICTURE, timeout=60) as answer:
        found = classify(model, [answer.read()], list(README), "plain")
    return dict(zip(found.labels, found.probabilities[0].tolist(), strict=True))


def lessons() -> list[str]:
    """The numbers of the lessons with a cell tagged "published"."""
    from alt_texts import LESSONS

    books = {path.stem[:2]: json.loads(path.read_text(encoding="utf-8")) for path in sorted(LESSONS.glob("*.ipynb"))}
    return [number for number, book in books.items()
            if any("published" in cell["metadata"].get("tags", []) for cell in book["cells"])]


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="the README's probabilities alone")
    p.add_argument("--out", type=Path, default=Path("runs/golden"), help="keeps what is done (default runs/golden)")
    p.add_argument("--lessons", action="store_true", help="keep the figures of published CLIPs in the lessons")
    args = p.parse_args()
    import clipmini

    if args.lessons:
        from lesson_numbers import run_all

        print(*run_all(lessons()), sep="\n")
        return 0
    from clipmini.data.testsets import find
    from clipmini.tasks.benchmark import Job, run

    model, wrong = clipmini.load(MODEL), 0
    for label, share in readme_probabilities(model).items():
        off = abs(share - README[label]) > TOLERANCE
        wrong += off
        print(f"{'WRONG' if off else 'ok':<6}{label:<12}{share:.5f}, OpenAI's README {README[label]:.5f}")
    for name, (expected, templates) in {} if args.quick else ACCURACY.items():
        share = 100 * run(Job(model, find(name), templates, args.out))["top1"]
        off = abs(share - expected) > 0.5
        wrong += off
        print(f"{'WRONG' if off else 'ok':<6}{name:<12}{share:.2f}%, published {expected}%")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
