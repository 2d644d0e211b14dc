// A gallery of the visitor's own pictures, searched by words and pictures, added and subtracted.

import { el, field, later, problemText, say, tell } from "../ui/dom.js";
import { ask } from "../ui/model.js";
import { source } from "../ui/source.js";

const SHOWN = 60;

export function room(panel, page) {
  const line = el("input", { type: "text", p: "search_placeholder", spellcheck: false });
  const bar = el("progress", { max: 1, value: 0, hidden: true, l: "progress" }), said = el("p", { role: "status" });
  const found = el("div", { class: "gallery" }), left = el("ul", { class: "notes" });
  const clear = el("button", { t: "gallery_clear", class: "quiet", type: "button", hidden: true });
  panel.append(el("p", { class: "minor", t: "search_about" }), source(add, { several: true, samples: true }), bar,
    field("search_line", line, "search_info"), said, left, found, clear);
  let pictures = [], queue = Promise.resolve(), order = null, turn = 0;  // pictures: { name, url, vector }

  function add(files) {
    const into = pictures;
    queue = queue.then(() => page.attempt(said, async () => {
      bar.hidden = files.length < 2;
      for (const [i, file] of files.entries()) {
        if (into !== pictures) break;  // they were all removed meanwhile
        try {
          const { vector } = await ask("picture", [file]);
          into.push({ name: unused(file.name || say("picture")), url: URL.createObjectURL(file), vector });
        } catch (problem) {
          left.append(el("li", {}, `${file.name}: ${problemText(problem)}`));
        }
        bar.value = (i + 1) / files.length;
        if (i % 8 === 7) show();
      }
      bar.hidden = true;
    })).then(search);
  }

  // Names stand in the line, so that each is there once.
  function unused(name) {
    const plain = name.replace(/[[\]]/g, " ");
    let tried = plain;
    for (let n = 2; pictures.some((one) => one.name === tried); n++) tried = `${plain} ${n}`;
    return tried;
  }

  async function search() {
    const now = ++turn, asked = pictures;
    let ranking = null;
    tell(said, asked.length ? "gallery" : "", { n: asked.length });
    if (line.value.trim() && asked.length) {
      const worked = await page.attempt(said, async () => {
        ranking = await ask("search", [line.value, asked.map((one) => one.vector), asked.map((one) => one.name)]);
      });
      if (now !== turn) return;
      if (worked) tell(said, "gallery", { n: asked.length });
    }
    order = ranking;
    show();
  }

  function more(sign, name) {
    const before = line.value.trim();
    line.value = before || sign === "-" ? `${before} ${sign} [${name}]`.trim() : `[${name}]`;
    line.focus({ preventScroll: true });  // the button is drawn anew
    search();
  }

  function show() {
    const rows = order?.length === pictures.length ? order : pictures.map((_, row) => ({ row }));
    clear.hidden = !pictures.length;
    found.replaceChildren(...rows.slice(0, SHOWN).map(({ row, cosine }) => {
      const { name, url } = pictures[row];
      const button = (key, sign) => el("button", { type: "button", class: "quiet", title: say(key, { name }),
        onclick: () => more(sign, name) }, sign === "+" ? "+" : "−");
      const buttons = [button("more_like", "+"), button("less_like", "-")];
      buttons.forEach((one) => one.setAttribute("aria-label", one.title));
      return el("figure", {}, el("img", { src: url, alt: name, loading: "lazy" }),
        el("figcaption", {}, el("span", { class: "name" }, name),
          cosine === undefined ? "" : el("b", {}, cosine.toFixed(3)), ...buttons));
    }));
    if (rows.length > SHOWN) found.append(el("p", { class: "minor" }, say("gallery_more", { n: rows.length - SHOWN })));
  }

  line.oninput = later(search);
  clear.onclick = () => {
    pictures.forEach((one) => URL.revokeObjectURL(one.url));
    pictures = [];
    left.replaceChildren();
    search();
  };
  return { language: show };
}
