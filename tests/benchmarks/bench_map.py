"""How long the map's canvas takes to redraw: `python tests/benchmarks/bench_map.py`, with playwright and Chromium.

The 2,884 points of the stored map and jittered copies of them, on 900 x 560 px; median of 30 redraws, each ended by
reading a pixel back. Needs no server: the canvas runs with stand-ins for what gr.HTML gives it.
"""

import json
import shutil
import statistics
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo_app.map import canvas, stored  # noqa: E402

STYLE = canvas.STYLE.replace("height: min(64vh, 620px)", "height: 560px")
TIMED = """(function () { const times = [], g = find(".cm-map-canvas").getContext("2d");
  for (let i = 0; i < 33; i++) { state.view.x += i % 2 ? 1 : -1; const t = performance.now(); draw();
    g.getImageData(5, 5, 1, 1); times.push(performance.now() - t); }
  return times.slice(3); })()"""


def page_of(n: int) -> str:
    """A page with the map of n points."""
    o = canvas.opened(stored.shipped("emoji"))
    told, xy = json.loads(canvas.points(o, "en")), o.found.maps["umap"]
    pictures, copies = o.found.pictures, -(-n // len(xy))
    rows = torch.cat([torch.arange(pictures).repeat(copies), torch.arange(pictures, len(xy)).repeat(copies)])
    noise = 0.05 * torch.randn(len(rows), 2, generator=torch.Generator().manual_seed(0))
    places = xy[rows] + (noise if copies > 1 else 0)
    told |= {"names": [told["names"][i] for i in rows.tolist()], "group": [told["group"][i] for i in rows.tolist()],
             "pictures": pictures}  # the sprite has no more of them
    props = {"value": json.dumps(told), "xy": json.dumps({"name": "umap", "places": places.tolist()}), "by": "group",
             "marks": canvas.marks(), "words": canvas.words("en")}
    return (f"<style>:root{{--body-text-color:#111;--background-fill-primary:#fff;--border-color-primary:#ccc}}"
            f"#e{{width:1300px}}.cm-map-main{{width:902px}}{STYLE}</style><div id=e>{canvas.TEMPLATE}</div><script>"
            f"const element = document.querySelector('#e'), props = {json.dumps(props)}, trigger = () => 0,"
            f"watch = () => 0;\n{canvas.SCRIPT}\n</script>")


def main() -> None:
    """Print a table."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"])
        print("| points | home | zoomed in 4 times | thumbnails off |\n| --- | --- | --- | --- |")
        for n in (2_884, 10_000, 100_000):
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.set_content(page_of(n))
            page.wait_for_function("sprite.complete && sprite.naturalWidth && state.view")
            drawn = page.evaluate("state.count")
            row = []
            for before in ("home()", "home(); zoom({x: 450, y: 400}, 4)", "home(); state.thumbs = false"):
                page.evaluate(before)
                times = page.evaluate(TIMED)
                row.append(f"{statistics.median(times):.1f} ms (least {min(times):.1f})")
            print(f"| {drawn:,} | " + " | ".join(row) + " |", flush=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
