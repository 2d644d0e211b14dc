"""Captions per second: clipmini's tokenizer against transformers' CLIPTokenizer, in turns, in one process.

Both give the same ids (asserted in every round). "cold" is the first time that a fresh tokenizer object sees
the captions; "warm" is the second time, with new string objects. The captions are all different: slices of
the English prose in Python's own help texts, which is harder than captions (more rare words and punctuation),
and made-up captions of common words.
"""

import argparse
import random
import statistics
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]

from clipmini.tokenizer import Tokenizer  # noqa: E402

RELEASED = "the merges file bpe_simple_vocab_16e6.txt.gz (default: the one of an installed open_clip_torch)"


def find_released() -> str:
    """Return the merges file of an installed open_clip_torch, without importing it."""
    import importlib.metadata

    try:
        files = importlib.metadata.files("open_clip_torch") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [file for file in files if file.name == "bpe_simple_vocab_16e6.txt.gz"]
    if not found:
        sys.exit("No released merges here: pip install --no-deps open_clip_torch, or pass --merges FILE.")
    return str(found[0].locate())


def prose(n: int, fits) -> list[str]:
    """Return n different captions of 4 to 12 words that fit, cut from Python's help texts at random."""
    import pydoc_data.topics

    words = " ".join(pydoc_data.topics.topics.values()).split()
    words = [word for word in words if len(word) < 40]  # no headings' underlines
    rng, found = random.Random(0), {}
    while len(found) < n:
        start, size = rng.randrange(len(words) - 12), rng.randint(4, 12)
        text = " ".join(words[start : start + size])
        if fits(text):
            found[text] = None
    return list(found)


def captions(n: int, merges) -> list[str]:
    """Return n different captions, "a photo of ..." and 3 to 8 words; frequencies fall as 1/rank (Zipf)."""
    nouns = [a + b for a, b in merges if b.endswith("</w>") and (a + b)[:-4].isalpha() and len(a + b) > 6]
    nouns = [noun[:-4] for noun in nouns[:8000]]
    weights = [1 / (rank + 10) for rank in range(len(nouns))]
    rng, found = random.Random(0), {}
    while len(found) < n:
        found["A photo of " + " ".join(rng.choices(nouns, weights, k=rng.randint(3, 8))) + "."] = None
    return list(found)


def timed(function, texts: list[str]):
    texts = [(text + " ")[:-1] for text in texts]  # new strings, whose hashes are not known yet
    start = time.perf_counter()
    result = function(texts)
    return time.perf_counter() - start, result


def one_round(merges, vocab, texts: list[str], ours_first: bool) -> dict[str, float]:
    """Time all ways, each with an object that has never seen a text; return seconds by name."""
    from transformers import CLIPTokenizer

    theirs, padding = (CLIPTokenizer(vocab=vocab, merges=merges) for _ in range(2))
    backend = CLIPTokenizer(vocab=vocab, merges=merges).backend_tokenizer
    ways = {
        "clipmini token_lists": Tokenizer(merges).token_lists,
        "transformers call": lambda t: theirs(t)["input_ids"],
        "transformers encode_batch": lambda t: [e.ids for e in backend.encode_batch(t)],
        "clipmini tensor": Tokenizer(merges).__call__,
        "transformers tensor": lambda t: padding(t, padding=True, return_tensors="pt")["input_ids"],
    }
    names = list(ways) if ours_first else list(ways)[::-1]
    seconds, results = {}, {}
    for state in ("cold", "warm"):
        for name in names:
            seconds[f"{name}, {state}"], results[name] = timed(ways[name], texts)
        rows = results["clipmini token_lists"]
        assert rows == results["transformers call"] == results["transformers encode_batch"], "ids differ"
        assert results["clipmini tensor"].equal(results["transformers tensor"]), "padded ids differ"
    return seconds


def report(title: str, rounds: list[dict[str, float]], n: int) -> None:
    median = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    print(f"\n{title}: median of {len(rounds)} rounds")
    print(f"{'':6} {'way':27} {'captions/s':>11} {'clipmini is':>12} {'(range)':>14}")
    for state in ("warm", "cold"):
        for way in ("token_lists", "call", "encode_batch", "tensor", "their tensor"):
            ours = "clipmini tensor" if "tensor" in way else "clipmini token_lists"
            if way in ("token_lists", "tensor"):
                print(f"{state:6} {'clipmini ' + way:27} {n / median[f'{ours}, {state}']:11,.0f}")
                continue
            name = "transformers " + way.replace("their ", "")
            ratios = [r[f"{name}, {state}"] / r[f"{ours}, {state}"] for r in rounds]
            ratio = f"{statistics.median(ratios):.1f}x"
            span = f"({min(ratios):.1f}-{max(ratios):.1f})"
            print(f"{state:6} {name:27} {n / median[f'{name}, {state}']:11,.0f} {ratio:>12} {span:>14}")


def record(rounds: list[dict[str, float]], n: int) -> None:
    """Keep the comparison of lists against transformers' plain call for the README."""
    from readme_tables import record_speed

    rows = []
    for state in ("warm", "cold"):
        ours, theirs = ([r[f"{name}, {state}"] for r in rounds] for name in ("clipmini token_lists", "transformers call"))
        ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
        rows.append({"what": f"tokenizer, {n:,} captions, {state}", "against": "transformers CLIPTokenizer",
                     "ours": f"{n / statistics.median(ours):,.0f} captions/s",
                     "theirs": f"{n / statistics.median(theirs):,.0f} captions/s", "ratio": f"{ratio:.1f}",
                     "command": "python tests/benchmarks/bench_tokenizer.py"})
    record_speed(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--merges", help=RELEASED)
    parser.add_argument("--captions", type=int, default=10_000, help="captions in a batch (default: 10000)")
    parser.add_argument(
        "--rounds", type=int, default=7, help="rounds, ours and theirs first in turns (default: 7)"
    )
    parser.add_argument("--record", action="store_true", help="put the prose ratios into assets/results.json")
    args = parser.parse_args()
    tokenizer = Tokenizer.from_merges_file(args.merges or find_released())
    texts = {
        "prose": prose(args.captions, lambda text: len(tokenizer.encode(text)) <= 75),
        "captions": captions(args.captions, tokenizer.merges),
    }
    for title, batch in texts.items():
        chunks = len(set(" ".join(batch).split()))
        one_round(tokenizer.merges, tokenizer.vocab, batch[:200], True)  # imports and first-call costs
        rounds = [one_round(tokenizer.merges, tokenizer.vocab, batch, k % 2 == 0) for k in range(args.rounds)]
        if args.record and title == "prose":
            record(rounds, args.captions)
        report(f"{args.captions:,} different {title} ({chunks:,} different words)", rounds, args.captions)


if __name__ == "__main__":
    main()
