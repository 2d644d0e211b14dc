// How cosines become shares, as the app's first view shows it: times the scale, e to that power, of the sum. The scale
// can be slid, and all is computed anew.

import { el, percent, say } from "../ui/dom.js";

const STEPS = 200, LARGEST = 100;  // of the slider; of the scale

const short = (value) => value >= 0.001 || value === 0 ? value.toFixed(3) : value.toExponential(0);

export function arithmetic() {
  const slider = el("input", { type: "range", min: 0, max: STEPS, l: "scale_slide" }), number = el("output");
  const back = el("button", { type: "button", class: "quiet", t: "scale_own" });
  const body = el("tbody"), head = el("tr"), sum = el("p", { class: "minor" });
  const box = el("details", {}, el("summary", { t: "arithmetic" }), el("p", { class: "minor", t: "arithmetic_about" }),
    el("div", { class: "row" }, slider, number, back), el("div", { class: "wide" },
      el("table", { class: "sums" }, el("thead", {}, head), body)), sum);
  let told = null, own = 1, scale = 1;

  function show() {
    if (!told) return;
    number.textContent = `× ${scale.toFixed(1)}`;
    slider.setAttribute("aria-valuetext", scale.toFixed(1));
    head.replaceChildren(...["label", "cosine", "logit", "power", "share"].map((key) =>
      el("th", { scope: "col" }, say(`head_${key}`))));
    const rivals = told.rivals.map((cosine) => scale * cosine), logits = told.cosines.map((cosine) => scale * cosine);
    const most = Math.max(...logits, ...rivals), power = (logit) => Math.exp(logit - most);
    const others = rivals.reduce((all, logit) => all + power(logit), 0);
    const total = logits.reduce((all, logit) => all + power(logit), others);
    const row = (name, ...cells) => el("tr", {}, el("th", { scope: "row" }, name),
      ...cells.map((cell) => el("td", {}, cell)));
    const order = told.cosines.map((_, i) => i).sort((a, b) => told.cosines[b] - told.cosines[a]).slice(0, 10);
    body.replaceChildren(...order.map((i) => row(told.labels[i], told.cosines[i].toFixed(3), logits[i].toFixed(2),
      short(power(logits[i])), percent(power(logits[i]) / total))),
    ...(rivals.length ? [row(say("none_words", { n: rivals.length }), "", "", short(others),
      percent(others / total))] : []));
    sum.textContent = say("arithmetic_sum", { total: total.toPrecision(3) });
  }
  slider.oninput = () => { scale = LARGEST ** (slider.value / STEPS); show(); };
  back.onclick = () => { scale = own; place(); show(); };
  const place = () => { slider.value = STEPS * Math.log(Math.max(1, scale)) / Math.log(LARGEST); };
  return { box, show, tell(found, modelScale) {
    told = found;
    box.hidden = !found;
    if (own !== modelScale) { own = scale = modelScale; place(); }
    show();
  } };
}
