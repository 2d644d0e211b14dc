"""Our recall beside clip-benchmark's functions, on random pairs of many to many.

    pip install --no-deps clip-benchmark
    python tests/benchmarks/recall_peer.py            # 200 cases
"""

import argparse

import torch
import torch.nn.functional as F

from clipmini.tasks.retrieval import recalls


def case(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures (N, E), texts (C, E), and which text is true of which picture (C, N): each of one to five others."""
    n, c = (int(torch.randint(5, 60, (1,), generator=generator)) for _ in range(2))
    images, texts = (F.normalize(torch.randn(k, 16, generator=generator), dim=1) for k in (n, c))
    relevant = torch.rand(c, n, generator=generator) < 2 / max(n, c)
    for text in (~relevant.any(1)).nonzero().flatten().tolist():
        relevant[text, int(torch.randint(n, (1,), generator=generator))] = True
    for picture in (~relevant.any(0)).nonzero().flatten().tolist():
        relevant[int(torch.randint(c, (1,), generator=generator)), picture] = True
    return images, texts, relevant


def main() -> None:
    from clip_benchmark.metrics.zeroshot_retrieval import batchify, recall_at_k

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200, help="how many (default 200)")
    args = parser.parse_args()
    generator, farthest, compared = torch.Generator().manual_seed(0), 0.0, 0
    for _ in range(args.cases):
        images, texts, relevant = case(generator)
        ours, scores = recalls(images, texts, relevant, (1, 5)), texts @ images.t()
        for way, peer, true in (("t->i", scores, relevant), ("i->t", scores.t(), relevant.t())):
            for k in (1, 5):
                theirs = (batchify(recall_at_k, peer, true, 16, "cpu", k=k) > 0).double().mean().item()
                farthest, compared = max(farthest, abs(theirs - ours[way][k])), compared + 1
    print(f"{args.cases} cases, {compared} recalls: ours and clip-benchmark's differ by {farthest:.1e} at most")
    if farthest > 1e-9:
        raise SystemExit("they are not the same")


if __name__ == "__main__":
    main()
