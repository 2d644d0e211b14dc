// Where in the picture does the model find your words? Some hundred windows are asked, in the worker.

import { el, field, say, tell } from "../ui/dom.js";
import { ask } from "../ui/model.js";
import { CELLS } from "../core/heatmap.js";

const COLOURS = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [213, 94, 0], [204, 121, 167], [86, 180, 233]];

export function room(panel, page) {
  const phrases = el("input", { type: "text", p: "where_placeholder", spellcheck: false });
  const button = el("button", { t: "where_look", class: "first", type: "submit" });
  const bar = el("progress", { max: 1, value: 0, hidden: true, l: "progress" }), said = el("p", { role: "status" });
  const maps = el("div", { class: "maps" });
  panel.append(el("p", { class: "minor", t: "where_about" }),
    el("form", { onsubmit: (event) => { event.preventDefault(); look(); } },
      field("phrases", phrases, "labels_info"), button), bar, said, maps);
  let turn = 0, told = null;

  async function look() {
    const picture = page.picture();
    if (!picture || (page.config() && !picture.read)) return tell(said, "no_picture");
    const now = ++turn, typed = phrases.value.trim() || say("where_placeholder");
    bar.hidden = false;
    bar.value = 0;
    let result = null;
    await page.attempt(said, async () => {
      result = await ask("where", [picture.file, typed], (share) => { if (now === turn) bar.value = share; });
      result.image = await createImageBitmap(picture.file);
    });
    if (now !== turn) return;
    bar.hidden = true;
    told = result;
    if (told) tell(said, "where_done");
    show();
  }

  function show() {
    maps.replaceChildren();
    if (!told) return;
    maps.append(...told.labels.map((label, i) => el("figure", {}, drawn(told, i),
      el("figcaption", {}, told.present[i] ? label : say("where_absent", { label })))));
  }
  return { picture() { turn++; told = null; bar.hidden = true; tell(said, ""); show(); }, language: show };
}

// The picture in grey, and over it the phrase's colour where its windows are.
function drawn({ image, maps, box, labels, present }, number) {
  const scale = Math.min(1, 480 / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((n) => Math.max(1, Math.round(n * scale)));
  const canvas = el("canvas", { width, height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", say(present[number] ? "where_map" : "where_absent", { label: labels[number] }));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.filter = "grayscale(1)";
  context.globalAlpha = 0.7;
  context.drawImage(image, 0, 0, width, height);
  context.filter = "none";
  context.globalAlpha = 1;
  const cells = new ImageData(CELLS, CELLS), colour = COLOURS[number % COLOURS.length];
  const strong = present[number] ? 0.75 : 0.2;
  maps[number].forEach((value, i) => cells.data.set([...colour, 255 * strong * value ** 1.5], 4 * i));
  const small = new OffscreenCanvas(CELLS, CELLS);
  small.getContext("2d").putImageData(cells, 0, 0);
  const unit = CELLS / box.side;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, box.left * unit, box.top * unit, box.width * unit, box.height * unit, 0, 0, width, height);
  return canvas;
}
