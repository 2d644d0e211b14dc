// Which of your words fits the picture best?

import { bars, el, field, later, percent, remember, remembered, say, tell } from "../ui/dom.js";
import { ask } from "../ui/model.js";
import { arithmetic } from "./arithmetic.js";

export function room(panel, page) {
  const labels = el("textarea", { rows: 2, p: "labels_placeholder", spellcheck: false });
  const templates = el("textarea", { rows: 4, value: "{}", spellcheck: false });
  const set = el("select"), none = el("input", { type: "checkbox", id: "none-of-these" });
  const said = el("p", { role: "status" }), answer = el("div", { class: "answer" });
  const notes = el("ul", { class: "notes" }), work = el("p", { class: "minor" });
  const prompts = el("ul"), data = el("details", {}, el("summary", { t: "prompts_sent" }), prompts);
  const sums = arithmetic();
  labels.value = remembered("labels") || "";
  panel.append(
    field("labels", labels, "labels_info"),
    el("details", {}, el("summary", { t: "settings" }), field("template_set", set), field("templates", templates,
      "templates_info"), el("div", { class: "check" }, none, el("label", { htmlFor: none.id, t: "none_offer" }),
      el("small", { t: "none_info" }))),
    said, answer, notes, sums.box, data, work);
  let turn = 0, told = null;

  async function update() {
    const picture = page.picture();
    if (!picture?.read) {
      if (page.config()) tell(said, "no_picture");
      return;
    }
    const now = ++turn, typed = labels.value.trim() || say("labels_placeholder");
    const begin = performance.now();
    let result = null;
    await page.attempt(said, async () => {
      result = await ask("classify", [picture.read.vector, typed, templates.value, none.checked]);
    });
    if (now !== turn) return;
    told = result && { ...result, ms: performance.now() - begin, blank: picture.read.blank };
    show();
  }

  function show() {
    answer.replaceChildren();
    notes.replaceChildren();
    prompts.replaceChildren();
    data.hidden = !told;
    sums.tell(told, page.config()?.scale);
    work.textContent = "";
    if (!told) return;
    const { scale, bias } = page.config(), alone = (cosine) => 1 / (1 + Math.exp(-scale * cosine - bias));
    const rows = told.labels.map((name, i) => ({ name, share: told.probabilities[i],
      minor: bias === null ? told.cosines[i].toFixed(3) : percent(alone(told.cosines[i])) }));
    if (told.none !== null) rows.push({ name: say("none"), share: told.none, minor: "", other: true });
    rows.sort((a, b) => b.share - a.share);
    answer.append(el("p", { class: "best" }, rows[0].name, el("span", {}, ` ${percent(rows[0].share)}`)),
      bars(rows.slice(0, 20), say("answer_caption"), say(bias === null ? "cosine" : "alone")));
    if (rows.length > 20) answer.append(el("p", { class: "minor" }, say("more_labels", { n: rows.length - 20 })));
    const kinds = told.blank ? [...told.notes, { kind: "blank", values: {} }] : told.notes;
    notes.append(...kinds.map(({ kind, values }) => el("li", {}, say(`note_${kind}`, values))));
    prompts.append(...told.prompts.slice(0, 30).map((sent) => el("li", {}, sent.slice(0, 6).join(" · "))));
    work.textContent = say("took", { ms: Math.round(told.ms) });
  }

  const typed = later(() => { remember("labels", labels.value); update(); });
  labels.oninput = templates.oninput = typed;
  none.onchange = update;
  set.onchange = () => { templates.value = page.config().templates[set.value].join("\n"); update(); };
  return {
    ready(config) {
      set.replaceChildren(...Object.keys(config.templates).map((name) => el("option", { value: name }, name)));
    },
    picture(picture) { if (picture) update(); else { told = null; turn++; show(); } },
    language: () => { show(); if (told && !labels.value.trim()) update(); },
  };
}
