"""The page without a server in Chromium: how long a first visit takes, a picture, a text, and how exact it is.

    python tests/benchmarks/bench_page.py --rounds 5 [--record]

Every round is a visit with an empty cache, from loopback: the page, the model loaded by a click, the first answer.
"""

import argparse
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

TIMES = """async () => {
    const { ask } = await import(new URL('ui/model.js', document.baseURI).href);
    const canvas = new OffscreenCanvas(96, 96), clock = async (n, made) => {
        const times = [];
        for (let i = 0; i < n; i++) { const begin = performance.now(); await made(i); times.push(performance.now() - begin); }
        return times.sort((a, b) => a - b)[n >> 1];
    };
    const context = canvas.getContext('2d');
    context.fillStyle = 'red'; context.fillRect(10, 10, 50, 60);
    const blob = await canvas.convertToBlob(), large = new OffscreenCanvas(4000, 3000), big = large.getContext('2d');
    for (let i = 0; i < 300; i++) { big.fillStyle = `hsl(${i * 37} 80% 50%)`; big.fillRect(i * 13, i * 9, 200, 160); }
    const camera = await large.convertToBlob({ type: 'image/jpeg', quality: 0.9 });
    const words = Array.from({ length: 100 }, (_, i) => `a thing number ${i}`);
    return { picture: await clock(21, () => ask('picture', [blob])),
        text: await clock(5, () => ask('texts', [words, '{}'])) / 100,
        camera: await clock(5, () => ask('picture', [camera])), where: await clock(3, () => ask('where', [blob, 'a red box'])) };
}"""


def visits(site: Path, rounds: int) -> list[dict[str, float]]:
    """Seconds until the page is there, the model is ready and the first answer stands, of each visit; then milliseconds."""
    from playwright.sync_api import sync_playwright

    from web.peer import CHROMIUM, hosted

    found = []
    with hosted(site) as (url, _), sync_playwright() as p:
        for _ in range(rounds):
            browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
            page, begin = browser.new_page(), time.perf_counter()
            page.goto(f"{url}/site/")
            page.wait_for_selector("body[data-ready]")
            shown = time.perf_counter()
            page.click(".samples button")
            page.click("#load")
            page.wait_for_selector("#loading.ready", timeout=60_000)
            ready = time.perf_counter()
            page.wait_for_selector(".best")
            found.append({"page": shown - begin, "ready": ready - shown, "answer": time.perf_counter() - begin,
                          **page.evaluate(TIMES)})
            browser.close()
    return found


def gap(embedder, site: Path, n: int = 100) -> float:
    """The largest difference of a label's cosine between a site and Python, on pictures of all kinds."""
    from web import peer

    cases, _, contents, texts = peer.asked(7, n, 200, large=False)
    js, python = peer.in_browser(shutil.which("chromium"), site, cases, contents), peer.in_python(embedder, texts, contents)
    pairs = [[np.array([one["vector"] for one in found["pictures"] if "vector" in one]) @ np.array(found["texts"]).T]
             for found in (js, python)]
    return float(np.abs(pairs[0][0] - pairs[1][0]).max())


def main() -> None:
    from clipmini.embedder import load
    from demo_app import web_page

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--record", action="store_true", help="put it into assets/results.json")
    args = p.parse_args()
    warnings.simplefilter("ignore")
    embedder, found = load("emoji", device="cpu"), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, half in (("float32", False), ("float16", True)):
            built = web_page.build(embedder, Path(folder) / name, half=half)
            seen = visits(built.folder, args.rounds)
            found[name] = {"raw": built.raw, "packed": built.packed, "runtime": built.runtime, "gap": gap(embedder, built.folder),
                           "rounds": args.rounds, **{key: float(np.median([one[key] for one in seen])) for key in seen[0]}}
            said = found[name]
            print(f"{name}: {said['raw'] / 1e6:.2f} MB, {said['packed'] / 1e6:.2f} MB packed; first answer after "
                  f"{said['answer']:.2f} s (page {said['page']:.2f}, model {said['ready']:.2f}); a picture "
                  f"{said['picture']:.0f} ms, 12 megapixels {said['camera']:.0f} ms, a text {said['text']:.2f} ms, where "
                  f"{said['where'] / 1000:.1f} s; a label's cosine off by at most {said['gap']:.1e}")
    if args.record:
        from readme_tables import record_page

        record_page(found)


if __name__ == "__main__":
    main()
