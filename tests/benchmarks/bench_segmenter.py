"""How long the segmenter takes for a picture and for a prompt, medians of many.

    OMP_NUM_THREADS=2 python tests/benchmarks/bench_segmenter.py --model segmenter
"""

import argparse
import time
from statistics import median

from PIL import Image

import clipmini
from clipmini.embedder import assets_folder


def timed(function, rounds: int) -> float:
    """Median milliseconds."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="segmenter")
    p.add_argument("--rounds", type=int, default=50)
    args = p.parse_args()
    predictor = clipmini.load_segmenter(args.model)
    picture = Image.open(sorted((assets_folder() / "samples").glob("*.png"))[0]).convert("RGB").resize((640, 480))
    predictor.set_image(picture)
    print(f"set_image     {timed(lambda: predictor.set_image(picture), args.rounds):6.1f} ms")
    for name, prompt in {"one click": {"points": [(300, 200)]}, "five clicks": {"points": [(300, 200)] * 5},
                         "a box": {"box": (50, 50, 600, 400)}, "words": {"text": "a red apple"}}.items():
        print(f"{name:<13} {timed(lambda given=prompt: predictor.predict(**given), args.rounds):6.1f} ms")


if __name__ == "__main__":
    main()
