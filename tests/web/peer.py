"""A static host for the built page, and a check page that any browser runs: what JavaScript finds, for Python to compare.

    python tests/web/peer.py [--browser firefox-esr] [--pictures 200] [--strings 2000] [--seed 0]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hostile_corpus
from clipmini.embedder import Embedder, load
from clipmini.image import ImageError, open_image, resize_and_crop
from clipmini.picture_file import shown
from clipmini.tasks.classify import classify, make_classifier
from clipmini.tasks.index import NoIndexError, split, terms
from clipmini.tasks.prompts import TEMPLATES, PromptError, _visible, clean_labels, fill_with_one_article
from web.corpus import pictures, strings

HERE = Path(__file__).resolve().parent
CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update"]
FILLS = [(template, label) for template in (*TEMPLATES["emoji"], "a photo of my {}.", "a photo of a large {}", "{}, the {}!"[:4])
         for label in ("cat", "a dog", "the sun", "an owl", "A tree", "$& $1", "a", "theatre", "大象")]
TERMS = ["dog", "2:red car + [a - b.png] - a well-known fruit", "cat+heart", "3:a - 0.5:b", "a + ", "", "x-y", "猫＋heart",
         "a\n+ b", "2：猫 − dog", "[x + y", "1:2:3", "9" * 400 + ":dog"]
CLASSIFY = [("cat, dog, pizza", "{}", False), ("cat, dog, pizza", "\n".join(TEMPLATES["emoji"]), True),
            ("猫, 狗; the moon, a rocket, Cat", "{}\nan emoji of a {}", True), ("octopus", "{}", False),
            ("ꦏꦕ, ꦲꦏ, dog", "{}", False), ("a flabbergast dog, cat\u200b, , apple", "a photo of a {}.", True)]


class Host(SimpleHTTPRequestHandler):
    """/site/ is the built page, /check/ the check page and its cases, /report what it found."""

    site: Path
    cases: dict
    contents: list[bytes]
    reports: list[dict]
    seen: list[str]
    done: threading.Event

    def do_GET(self):
        self.seen.append(self.path)
        path = self.path.split("?")[0]
        if path.startswith("/check/picture/"):
            return self._send(self.contents[int(path.rsplit("/", 1)[1])], "application/octet-stream")
        if path == "/check/cases.json":
            return self._send(json.dumps(self.cases).encode(), "application/json")
        if path in ("/check/", "/check/visit.html"):
            return self._send((HERE / (path.removeprefix("/check/") or "check.html")).read_bytes(), "text/html")
        return super().do_GET()

    def translate_path(self, path):
        """Only what lies below /site/."""
        inside = path.split("?")[0].split("#")[0].removeprefix("/site/")
        return str(self.site / (inside or "index.html")) if path.startswith("/site/") and ".." not in inside else "/nothing"

    def _send(self, content: bytes, kind: str):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):
        self.reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._send(b"", "text/plain")
        self.done.set()

    def log_message(self, *_):
        """Silence."""


@contextmanager
def hosted(site: Path, cases: dict | None = None, contents: list[bytes] = ()):
    """A host on a free port -> (address, its Host class with seen, reports and done)."""
    kind = type("Host", (Host,), {"site": site, "cases": cases or {}, "contents": list(contents), "reports": [], "seen": [],
                                  "done": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(kind))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", kind
    finally:
        server.shutdown()
        server.server_close()


def in_browser(browser: str, site: Path, cases: dict, contents: list[bytes], page: str = "", seconds: float = 300) -> dict:
    """What a browser finds, one of Chromium's kind or of Firefox's. page: visit.html for what a visitor reads."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, hosted(site, cases, contents) as (url, host):
        flags = [f"--user-data-dir={profile}", *CHROMIUM] if "chrom" in browser else ["--headless", "--profile", profile]
        process = subprocess.Popen([browser, *flags, f"{url}/check/{page}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not host.done.wait(seconds):
                raise TimeoutError(f"{browser} did not report within {seconds:.0f} s")
        finally:
            process.terminate()
            process.wait(30)
        return host.reports[0]


def in_python(embedder: Embedder, texts: list[str], contents: list[bytes]) -> dict:
    """The same from Python."""
    v, found = embedder.config.vision, []
    for data in contents:
        picture = open_image(data)
        seen = np.asarray(resize_and_crop(picture, v.image_size, v.interpolation, v.resize_mode, v.crop))
        found.append({"size": list(picture.size), "seen": seen.tobytes().hex(),
                      "vector": embedder.embed_images([picture])[0].tolist()})
    return {"pictures": found, "ids": [embedder.tokenizer.encode(text) for text in texts],
            "texts": embedder.embed_texts(texts, truncate=True).tolist(), "visible": [_visible(text) for text in texts],
            "labels": [_labels(text) for text in texts], "filled": [fill_with_one_article(*pair) for pair in FILLS],
            "terms": [_terms(line) for line in TERMS]}


def _labels(text: str):
    try:
        return list(clean_labels(text).labels)
    except PromptError as error:
        return {"problem": error.kind}


def _terms(line: str):
    try:
        return [[weight, text] for weight, text in terms(split(line))]
    except NoIndexError as error:
        return {"problem": "weight" if "the weight" in str(error) else "nothing_asked"}


def odd_pictures(seed: int) -> list[tuple[str, bytes]]:
    """Those of the corpus of hostile files that Python opens, as (name, content)."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for path in hostile_corpus.pictures(Path(folder), seed):
            try:
                open_image(path)
            except ImageError:
                continue
            found.append((f"{path.parent.name}/{shown(path.name)}", path.read_bytes()))
    return found


def asked(seed: int, n_pictures: int, n_strings: int, large: bool = True,
          odd: bool = False) -> tuple[dict, list[str], list[bytes], list[str]]:
    """The cases for the check page, and for Python: (cases, names of pictures, their contents, strings)."""
    some = odd_pictures(seed) if odd else pictures(seed, n_pictures, large)
    texts = strings(seed, n_strings)
    cases = {"strings": texts, "pictures": len(some), "fills": FILLS, "terms": TERMS, "classify": CLASSIFY}
    return cases, [name for name, _ in some], [data for _, data in some], texts


def compared(js: dict, py: dict, names: list[str]) -> dict:
    """Where the two differ: {what: [which]}, and the largest distances of cosines."""
    differ: dict = {what: [i for i, (a, b) in enumerate(zip(js[what], py[what], strict=True)) if a != b]
                    for what in ("ids", "visible", "labels", "filled", "terms")}
    both = list(zip(js["pictures"], py["pictures"], names, strict=True))
    differ["unread"] = [(name, a["problem"]) for a, _, name in both if "problem" in a]
    read = [(a, b, name) for a, b, name in both if "problem" not in a]
    differ["size"] = [(name, a["size"], b["size"]) for a, b, name in read if a["size"] != b["size"]]
    far = [(name, int(np.abs(_levels(a) - _levels(b)).max())) for a, b, name in read if a["size"] == b["size"]]
    differ["pixels"] = [(name, levels) for name, levels in far if levels]
    texts = np.array(py["texts"])
    wrong = [(name, float(np.abs(texts @ (np.array(a["vector"]) - np.array(b["vector"]))).max())) for a, b, name in read]
    differ["cosines"] = [(name, gap) for name, gap in wrong if gap > 1e-5]
    exact = {name for name, levels in far if not levels}
    differ["largest gap of a cosine, pixels equal"] = max((gap for name, gap in wrong if name in exact), default=0.0)
    differ["largest gap of a text's number"] = float(np.abs(np.array(js["texts"]) - texts).max())
    return differ


def _levels(one: dict) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(one["seen"]), np.uint8).astype(int)


def answers(embedder: Embedder, contents: list[bytes]) -> list:
    """What classify says of the first twenty pictures, for each of CLASSIFY."""
    found = []
    for labels, templates, none in CLASSIFY:
        made = make_classifier(embedder, labels, templates.split("\n"), none)
        told = classify(embedder, contents[:20], made)
        found.append((made, told))
    return found


def main() -> None:
    from demo_app import web_page

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--browser", default="chromium")
    p.add_argument("--pictures", type=int, default=200)
    p.add_argument("--strings", type=int, default=2000)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--shown", type=int, default=6, help="of each kind of difference")
    p.add_argument("--odd", action="store_true", help="the pictures of hostile_corpus.py that Python opens")
    args = p.parse_args()
    warnings.simplefilter("ignore")  # of captions that spell a special token
    embedder = load("emoji", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        web_page.build(embedder, site)
        cases, names, contents, texts = asked(args.seed, args.pictures, args.strings, odd=args.odd)
        js = in_browser(shutil.which(args.browser) or args.browser, site, cases, contents)
    if "failed" in js:
        raise SystemExit(js["failed"])
    for what, found in compared(js, in_python(embedder, texts, contents), names).items():
        print(f"{what:<40} {len(found) if isinstance(found, list) else f'{found:.1e}'}  "
              + (str(found[:args.shown]) if isinstance(found, list) and found else ""))
    print(f"milliseconds a picture, median: {np.median([one['ms'] for one in js['pictures'] if 'ms' in one]):.1f}")
    for (made, told), theirs in zip(answers(embedder, contents), js["answers"], strict=True):
        rows = np.array([row["probabilities"] for row in theirs["rows"]])
        gap = np.abs(rows - told.probabilities[:len(rows)].numpy()).max()
        none = 0 if told.none is None else np.abs(np.array([row["none"] for row in theirs["rows"]])
                                                  - told.none[:len(rows)].numpy()).max()
        kinds = [note["kind"] for note in theirs["notes"]]
        print(f"answers to {made.labels}: off by {gap:.1e}, none {none:.1e}; prompts equal: "
              f"{[list(p) for p in made.prompts] == theirs['prompts']}; notes {kinds} "
              f"{'==' if kinds == [n.kind for n in made.notes] else '!= ' + str([n.kind for n in made.notes])}")


if __name__ == "__main__":
    main()
