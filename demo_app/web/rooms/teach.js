// Teach a class: pictures of each, whose mean vector is the class, beside the words alone. Nothing is trained: a new
// picture goes to the nearest mean (Mensink et al. 2013, nearest class mean).

import { bars, el, problemText, say } from "../ui/dom.js";
import { ask } from "../ui/model.js";
import { source } from "../ui/source.js";
import { classify, mean, unit } from "../core/classify.js";

const FORMAT = "clipmini classes 1", LARGEST = 5_000_000;

export function room(panel, page) {
  const said = el("p", { role: "status" }), unread = el("p", { role: "status" });
  const boxes = el("div", { class: "classes" }),
    answer = el("div", { class: "both" });
  const input = el("input", { type: "file", accept: ".json,application/json", class: "hidden", tabIndex: -1,
    onchange: () => { take(input.files[0]); input.value = ""; } });
  input.setAttribute("aria-hidden", "true");
  const button = (key, onclick) => el("button", { t: key, type: "button", class: "quiet", onclick });
  panel.append(el("p", { class: "minor", t: "teach_about" }), boxes, el("div", { class: "row" },
    button("class_add", () => { addClass(); update(); }), button("export", save), button("import", () => input.click()),
    input), said, unread, answer);
  let classes = [], turn = 0;

  function addClass(name = "", vectors = [], many = vectors.length) {
    const one = { name, vectors, many, urls: [] }, pictures = el("div", { class: "row pictures" });
    const title = el("input", { type: "text", value: name, p: "class_name", l: "class_name", spellcheck: false,
      oninput: () => { one.name = title.value; update(); } });
    const count = el("span", { class: "minor" });
    one.show = () => {
      count.textContent = say("class_count", { n: one.many });
      pictures.replaceChildren(...one.urls.map((url, i) => el("button", { type: "button", class: "sample",
        title: say("remove"), onclick: () => remove(one, i) }, el("img", { src: url, alt: say("remove"), width: 40,
        height: 40 }))));
    };
    const gone = el("button", { t: "class_remove", type: "button", class: "quiet", onclick: () => {
      classes = classes.filter((other) => other !== one);
      one.box.remove();
      update();
    } });
    one.box = el("fieldset", {}, el("legend", {}, title), count, source((files) => learn(one, files), { several: true,
      small: true }), pictures, gone);
    classes.push(one);
    boxes.append(one.box);
    one.show();
  }

  async function learn(one, files) {
    await page.attempt(said, async () => {
      for (const file of files) {
        try {
          const { vector } = await ask("picture", [file]);
          one.vectors.push(vector);
          one.urls.push(URL.createObjectURL(file));
          one.many++;
        } catch (problem) {
          said.textContent = `${file.name}: ${problemText(problem)}`;
        }
        one.show();
      }
    });
    update();
  }

  // Pictures that were imported have no url: they stand before the others.
  function remove(one, i) {
    URL.revokeObjectURL(one.urls[i]);
    one.vectors.splice(one.vectors.length - one.urls.length + i, 1);
    one.urls.splice(i, 1);
    one.many--;
    one.show();
    update();
  }

  const taught = () => classes.filter((one) => one.vectors.length)
    .map((one, i) => ({ name: one.name.trim() || say("class_number", { n: classes.indexOf(one) + 1 }), count: one.many,
      vector: unit(mean(one.vectors.map((v) => [...v]))) }));

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
      const texts = await ask("texts", [names, "{}"]);
      shown.push(bars(rows(classify({ labels: names, texts }, picture.read.vector, page.config().scale).probabilities),
        say("by_words")));
    });
    if (now === turn) answer.replaceChildren(...shown);
  }

  async function save() {
    await page.attempt(said, async () => {
      const known = taught();
      if (!known.length) throw { kind: "no_classes", values: {} };
      const [sample] = await ask("texts", [["a picture"], "{}"]), round = (v) => [...v].map((x) => +x.toFixed(7));
      const content = { format: FORMAT, model: page.config().name, sample: [...sample].map((x) => +x.toFixed(4)),
        classes: known.map(({ name, count, vector }) => ({ name, count, vector: round(vector) })) };
      const link = el("a", {
        href: URL.createObjectURL(new Blob([JSON.stringify(content)], { type: "application/json" })),
        download: "classes.json" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      said.textContent = say("exported", { n: known.length });
    });
  }

  async function take(file) {
    await page.attempt(said, async () => {
      let content = null;
      try { content = file.size <= LARGEST && JSON.parse(await file.text()); } catch { /* told below */ }
      const width = page.config().embed_dim,
        numbers = (v) => Array.isArray(v) && v.length === width && v.every(Number.isFinite);
      const whole = content?.format === FORMAT && Array.isArray(content.classes) && content.classes.length &&
        content.classes.every((one) => typeof one.name === "string" && Number.isInteger(one.count) &&
          one.count > 0 && numbers(one.vector));
      if (!whole) throw { kind: "classes_file", values: { name: file.name, format: FORMAT } };
      const [sample] = await ask("texts", [["a picture"], "{}"]);
      const agrees = numbers(content.sample) && content.sample.reduce((sum, x, i) => sum + x * sample[i], 0) > 0.999;
      if (!agrees) throw { kind: "other_model", values: { model: content.model, ours: page.config().name } };
      boxes.replaceChildren();
      classes = [];
      for (const { name, count, vector } of content.classes) addClass(name, Array(count).fill(vector), count);
      said.textContent = say("imported", { n: classes.length });
    });
    update();
  }

  for (let i = 0; i < 3; i++) addClass();
  return { picture: update, ready: update, language: () => { classes.forEach((one) => one.show()); update(); } };
}
