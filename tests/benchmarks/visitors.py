"""Many visitors at once: are they answered, each with their own answer, and does nobody wait behind another's map?

    python tests/benchmarks/visitors.py --visitors 50 --minutes 10 --browsers 5
    python tests/benchmarks/visitors.py --visitors 10 --minutes 1 --restart      # kill -9 in the middle

It starts the app itself. Visitors ask through the endpoints; browsers type words and read the answer.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
SAMPLES = ROOT / "assets" / "samples"
SLOW = ("find_phrases", "similarity_matrix")
TYPED = "typed in a browser"


def actions(word: str, picture: dict) -> dict[str, list]:
    """What is asked of each endpoint; the answer must hold the visitor's own word."""
    return {"classify": [picture, f"rocket, {word}", "{}", False, "automatic", 0],
            "compare_templates": [picture, f"rocket, {word}", "automatic", "{}\na photo of a {}."],
            "what_it_saw": [picture, word, "automatic"],
            "find_phrases": [picture, f"small {word}", "automatic", "surgery"],
            "similarity_matrix": [[picture], word, "automatic", "cosines"]}


class Counts:
    """Seconds of each kind of job, and what went wrong."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.wrong: Counter = Counter()
        self.began = time.monotonic()
        self.late: list[str] = []  # when a quick job took over three seconds

    def took(self, name: str, seconds: float) -> None:
        self.seconds[name].append(seconds)
        if seconds > 3 and name not in SLOW:
            self.late.append(f"{name} {seconds:.1f} s, ended at {time.monotonic() - self.began:.0f} s")

    def quick(self) -> list[float]:
        """Of all quick jobs of the endpoints."""
        return [s for name, found in self.seconds.items() if name not in (*SLOW, TYPED) for s in found]


async def visitor(url: str, number: int, end: float, counts: Counts, pause: float) -> None:
    """One visitor until the end: an action, a check, a pause."""
    pick = random.Random(number)
    await asyncio.sleep(pick.uniform(0, pause))  # they do not all come in the same second
    limits = httpx.Limits(keepalive_expiry=3)  # shorter than the server's, or both close in the same moment
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=120, limits=limits) as client:
        while time.monotonic() < end:
            name, word = pick.choices(["classify", "compare_templates", "what_it_saw", *SLOW], [6, 2, 2, 1, 1])[0], \
                f"thing{number}x{pick.randrange(10**6)}"
            try:
                with (SAMPLES / pick.choice(["rocket.png", "pizza.png", "guitar.png"])).open("rb") as file:
                    path = (await client.post("/gradio_api/upload", files={"files": file})).json()[0]
                start = time.monotonic()
                picture = {"path": path, "meta": {"_type": "gradio.FileData"}}
                joined = await client.post(f"/gradio_api/call/{name}", json={"data": actions(word, picture)[name]})
                if joined.status_code != 200:
                    counts.wrong[f"refused {joined.status_code}"] += 1
                else:
                    said = (await client.get(f"/gradio_api/call/{name}/{joined.json()['event_id']}")).text
                    counts.took(name, time.monotonic() - start)
                    known = name == "similarity_matrix" and "matrix" in said or name == "what_it_saw" and "thing" in \
                        re.sub(r'[^a-z0-9]', "", "".join(re.findall(r'"piece": "([^"]*)"', said))) or word in said
                    if not known:
                        counts.wrong[f"{name}: {said[:80]!r}"] += 1
            except (httpx.HTTPError, json.JSONDecodeError, KeyError) as error:
                counts.wrong[type(error).__name__] += 1
                await asyncio.sleep(1)
            await asyncio.sleep(pick.expovariate(1 / pause))


def browse(url: str, number: int, end: float, counts: Counts) -> None:
    """A real browser that types words and reads them in the answer. It gives way to the server, as its own computer
    would: five that draw at once on two cores would be what is measured."""
    os.nice(15)  # of this thread and of what it starts
    time.sleep(5 * number)
    from playwright.sync_api import Error, sync_playwright

    from test_browser import FLAGS

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#answer")
        while time.monotonic() < end:
            word = f"browser{number}x{random.randrange(10**6)}"
            try:
                start = time.monotonic()
                page.fill("#labels textarea", f"rocket, {word}")
                page.wait_for_function("w => document.querySelector('#answer').innerText.includes(w)", arg=word, timeout=30_000)
                counts.took(TYPED, time.monotonic() - start)
            except Error as error:
                counts.wrong[f"browser: {str(error)[:60]}"] += 1
                page.wait_for_timeout(1000)
            page.wait_for_timeout(2000)
        browser.close()


def memory(process: subprocess.Popen) -> float:
    """Megabytes."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1000


def started(port: int, files: Path) -> subprocess.Popen:
    """The app, once it answers."""
    process = subprocess.Popen([sys.executable, "-m", "demo_app.app", "--port", str(port), "--no-browser", "--quiet"],
                               cwd=ROOT, env={**os.environ, "GRADIO_TEMP_DIR": str(files)}, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).json()["ok"]:
                return process
        except (httpx.HTTPError, ValueError):
            time.sleep(0.2)


async def crowd(url: str, count: int, seconds: float, counts: Counts, pause: float) -> None:
    end = time.monotonic() + seconds
    await asyncio.gather(*(visitor(url, i, end, counts, pause) for i in range(count)))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--visitors", type=int, default=50)
    p.add_argument("--browsers", type=int, default=5)
    p.add_argument("--minutes", type=float, default=10)
    p.add_argument("--pause", type=float, default=8, help="mean seconds between a visitor's actions (default 8)")
    p.add_argument("--restart", action="store_true", help="kill -9 in the middle, and start again")
    args = p.parse_args()
    from test_browser import free_port

    port, files = free_port(), Path(tempfile.mkdtemp())
    apps, url = [started(port, files)], f"http://127.0.0.1:{port}"
    idle, busy = Counts(), Counts()
    asyncio.run(crowd(url, 1, 10, idle, 0.1))
    before, seconds = memory(apps[0]), 60 * args.minutes
    threads = [threading.Thread(target=browse, args=(url, i, time.monotonic() + seconds, busy)) for i in range(args.browsers)]

    def restart() -> None:
        os.kill(apps[0].pid, signal.SIGKILL)
        apps[0].wait()
        apps.append(started(port, files))
    for thread in [*threads, *([threading.Timer(seconds / 2, restart)] if args.restart else [])]:
        thread.start()
    asyncio.run(crowd(url, args.visitors, seconds, busy, args.pause))
    for thread in threads:
        thread.join()
    time.sleep(5)
    print(f"idle: quick jobs {median(idle.quick()):.2f} s in the median")
    for name, found in sorted(busy.seconds.items()):
        print(f"{name:<20}{len(found):>5} jobs, median {median(found):.2f} s, longest {max(found):.2f} s")
    print(f"quick jobs under load: {median(busy.quick()):.2f} s in the median; over 3 s: {busy.late or 'none'}")
    print(f"memory {before:.0f} MB before, {memory(apps[-1]):.0f} MB after; wrong: {dict(busy.wrong) or 'nothing'}")
    apps[-1].terminate()
    apps[-1].wait(40)
    print(f"files left: {len([f for f in files.rglob('*') if f.is_file()])}")


if __name__ == "__main__":
    main()
