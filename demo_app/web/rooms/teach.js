// Teach a class: pictures of each, whose mean vector is the class, beside the words alone. Nothing is trained: a new
// picture goes to the nearest mean (Mensink et al. 2013, nearest class mean).

import { bars, el, problemText, say, tell } from "../ui/dom.js";
import { ask } from "../ui/model.js";
import { source } from "../ui/source.js";
import { classify, unit } from "../core/classify.js";
import { Problem } from "../core/problem.js";
import { MAX_LABEL_LENGTH, cleanLabels } from "../core/prompts.js";

const FORMAT = "clipmini classes 1", LARGEST = 5_000_000;

export function room(panel, page) {
  const said = el("p", { role: "status" }), unread = el("p", { role: "status" });
  const boxes = el("div", { class: "classes" }),
    answer = el("div", { class: "both" });
  const input = el("input", { type: "file", accept: ".json,application/json", class: "hidden", tabIndex: -1,
    onchange: () => { take(input.files[0]); input.value = ""; } });
  input.setAttribute("aria-hidden", "true");
  const button = (key, onclick) => el("button", { t: key, type: "button", class: "quiet", onclick });
  const more = button("class_add", () => { addClass(); update(); }), left = el("ul", { class: "notes" });
  panel.append(el("p", { class: "minor", t: "teach_about" }), boxes,
    el("div", { class: "row" }, more, button("export", save), button("import", () => input.click()),
    input), said, left, unread, answer);
  let classes = [], turn = 0;

  // vectors: [{ vector, weight, url }]; one of a file stands for as many pictures as it was the mean of.
  function addClass(name = "", vectors = []) {
    const one = { name, vectors, gone: false }, pictures = el("div", { class: "row pictures" });
    const title = el("input", { type: "text", value: name, p: "class_name", l: "class_name", spellcheck: false,
      maxLength: MAX_LABEL_LENGTH, oninput: () => { one.name = title.value; update(); } });
    const count = el("span", { class: "minor" });
    one.many = () => one.vectors.reduce((sum, { weight }) => sum + weight, 0);
    one.show = () => {
      const file = one.vectors.some(({ url }) => !url);
      count.textContent = say(file ? "class_count_file" : "class_count", { n: one.many() });
      pictures.replaceChildren(...one.vectors.filter(({ url }) => url).map((row) => el("button", { type: "button",
        class: "sample", title: say("remove"), onclick: () => remove(one, row) },
      el("img", { src: row.url, alt: say("remove"), width: 40, height: 40 }))));
    };
    const gone = el("button", { t: "class_remove", type: "button", class: "quiet", onclick: () => {
      drop(one);
      more.focus({ preventScroll: true });
      update();
    } });
    one.box = el("fieldset", {}, el("legend", {}, title), count,
      source((files) => learn(one, files), { several: true, small: true }), pictures, gone);
    classes.push(one);
    boxes.append(one.box);
    one.show();
  }

  function drop(one) {
    one.gone = true;
    one.vectors.forEach(({ url }) => url && URL.revokeObjectURL(url));
    classes = classes.filter((other) => other !== one);
    one.box.remove();
  }

  async function learn(one, files) {
    const refused = [];
    await page.attempt(said, async () => {
      for (const file of files) {
        if (one.gone) break;
        try {
          const { vector } = await ask("picture", [file]);
          one.vectors.push({ vector, weight: 1, url: URL.createObjectURL(file) });
          unsaved = true;
        } catch (problem) {
          refused.push(`${file.name}: ${problemText(problem)}`);
        }
        one.show();
      }
    });
    left.replaceChildren(...refused.map((text) => el("li", {}, text)));
    update();
  }

  function remove(one, row) {
    URL.revokeObjectURL(row.url);
    one.vectors = one.vectors.filter((other) => other !== row);
    one.show();
    update();
  }

  const meanOf = ({ vectors }) => unit(vectors[0].vector.map((_, i) =>
    vectors.reduce((sum, { vector, weight }) => sum + weight * vector[i], 0)));
  const taught = () => classes.filter((one) => one.vectors.length)
    .map((one) => ({ name: one.name.trim() || say("class_number", { n: classes.indexOf(one) + 1 }), count: one.many(),
      vector: [...meanOf({ vectors: one.vectors.map((row) => ({ ...row, vector: [...row.vector] })) })] }));

  // Names as Python will read them. Throws a Problem for two that are the same.
  function checked(known) {
    const { labels } = cleanLabels(known.map((one) => one.name));
    if (labels.length !== known.length) throw new Problem("same_names", { n: known.length, names: labels.length });
    return known.map((one, i) => ({ ...one, name: labels[i] }));
  }

  async function update() {
    const picture = page.picture(), now = ++turn, known = taught();
    if (!page.config()) return;
    if (known.length < 2 || !picture?.read) {
      answer.replaceChildren(el("p", { class: "minor" }, say(known.length < 2 ? "teach_more" : "teach_picture")));
      return;
    }
    const names = known.map((one) => one.name), rows = (shares) => names.map((name, i) => ({ name, share: shares[i] }));
    const byPictures = classify({ labels: names, texts: known.map((one) => one.vector) }, [...picture.read.vector],
      page.config().scale);
    const shown = [bars(rows(byPictures.probabilities), say("by_pictures"))];
    await page.attempt(unread, async () => {
      checked(known);
      const texts = await ask("texts", [names, "{}"]);
      shown.push(bars(rows(classify({ labels: names, texts }, picture.read.vector, page.config().scale).probabilities),
        say("by_words")));
    });
    if (now === turn) answer.replaceChildren(...shown);
  }

  async function save() {
    let count = 0;
    const worked = await page.attempt(said, async () => {
      const known = taught();
      if (!known.length) throw new Problem("no_classes");
      const [sample] = await ask("texts", [["a picture"], "{}"]), round = (v) => [...v].map((x) => +x.toFixed(7));
      const content = { format: FORMAT, model: page.config().name, sample: [...sample].map((x) => +x.toFixed(4)),
        classes: checked(known).map(({ name, count, vector }) => ({ name, count, vector: round(vector) })) };
      const file = new Blob([JSON.stringify(content)], { type: "application/json" });
      const link = el("a", { href: URL.createObjectURL(file), download: "classes.json" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      count = known.length;
    });
    if (worked) { unsaved = false; tell(said, "exported", { n: count }); }
  }

  const opened = (file) => page.attempt(said, async () => {
    let content = null;
    try { content = file.size <= LARGEST && JSON.parse(await file.text()); } catch { /* told below */ }
    const width = page.config().embed_dim;
    const numbers = (v) => Array.isArray(v) && v.length === width && v.every(Number.isFinite) && v.some(Boolean);
    const isClass = (one) => typeof one?.name === "string" && Number.isSafeInteger(one.count) && one.count > 0
      && numbers(one.vector);
    const rows = content?.classes;
    const whole = content?.format === FORMAT && Array.isArray(rows) && rows.length && rows.every(isClass);
    if (!whole) throw new Problem("classes_file", { name: file.name, format: FORMAT });
    const [sample] = await ask("texts", [["a picture"], "{}"]);
    const agrees = numbers(content.sample) && content.sample.reduce((sum, x, i) => sum + x * sample[i], 0) > 0.999;
    if (!agrees) throw new Problem("other_model", { model: content.model, ours: page.config().name });
    const known = checked(rows);
    [...classes].forEach(drop);
    for (const { name, count, vector } of known) addClass(name, [{ vector: unit(vector), weight: count, url: null }]);
  });

  async function take(file) {
    if (taught().length && !confirm(say("import_replaces"))) return;
    if (await opened(file)) { unsaved = false; tell(said, "imported", { n: classes.length }); }
    update();
  }

  // They live in this tab alone.
  let unsaved = false;
  addEventListener("beforeunload", (event) => { if (unsaved && taught().length) event.preventDefault(); });

  for (let i = 0; i < 3; i++) addClass();
  return { picture: update, ready: update, language: () => { classes.forEach((one) => one.show()); update(); } };
}
