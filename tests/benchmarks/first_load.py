"""What the first visit costs: bytes, requests, and when the page can be used and has its first answer.

    python tests/benchmarks/first_load.py --rounds 5

Each round is a browser with an empty cache. It starts the app itself; bytes are as they came over the wire.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from test_browser import FLAGS, HERE, free_port, wait_until_open  # noqa: E402

ANSWERED = "() => document.querySelector('#answer .cm-first') && !document.querySelector('.cm-stale')"


def one(browser, url: str) -> dict:
    """A visit: {"bytes", "requests", "page" and "answer" in seconds, "strangers"}."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    page, came, asked = context.new_page(), [], []
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda event: came.append(event["encodedDataLength"]))
    page.on("request", lambda request: asked.append(request.url))
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector("#labels textarea")
    shown = time.perf_counter() - start
    page.wait_for_function(ANSWERED)
    answered = time.perf_counter() - start
    page.wait_for_timeout(500)
    context.close()
    strangers = [u for u in asked if urlsplit(u).scheme in ("http", "https") and urlsplit(u).hostname not in HERE]
    return {"bytes": sum(came), "requests": len(asked), "page": shown, "answer": answered, "strangers": strangers}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    rounds = p.parse_args().rounds
    from playwright.sync_api import sync_playwright

    port = free_port()
    app = subprocess.Popen([sys.executable, "-m", "demo_app.app", "--port", str(port), "--no-browser", "--quiet"],
                           cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until_open(port, app)
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            found = [one(browser, f"http://127.0.0.1:{port}") for _ in range(rounds)]
            browser.close()
    finally:
        app.terminate()
        app.wait(20)
    for key, digits in (("bytes", 0), ("requests", 0), ("page", 2), ("answer", 2)):
        print(f"{key:<9} {median(row[key] for row in found):,.{digits}f}")
    print(f"answer after the page: {median(row['answer'] - row['page'] for row in found):.2f} s")
    print(f"requests to other machines: {sum(len(row['strangers']) for row in found)}")


if __name__ == "__main__":
    main()
