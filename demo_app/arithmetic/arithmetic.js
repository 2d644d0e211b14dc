// The arithmetic of an answer. gr.HTML runs this with: element (the component), props (value), trigger, watch.
// props.value is JSON, made by demo_app/arithmetic/__init__.py. Names come from people: only ever set as textContent.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#9a8c00", "#7f5fc4", "#a65628",
  "#666666"];  // the house's, as in its figures
const LANES = 3, STEPS = 200, REST_MS = 200, NONE = "none", REST = "rest";
let data = null, scale = 1, rows = [], lines = [], word = -1, pinned = null;
const root = () => element.querySelector(".cm-ar");
const parse = (text) => { try { return JSON.parse(text); } catch { return null; } };
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const most = (numbers) => numbers.reduce((a, b) => Math.max(a, b), -Infinity);
const signed = (x, digits) => (x < 0 ? "" : "+") + x.toFixed(digits);
const percent = (x) => (100 * x).toFixed(1) + " %";
const say = (key, values = {}) => Object.entries(values).reduce((text, [k, v]) => text.replace(`{${k}}`, v),
  data.said[key]);
function make(tag, name, text, parent) {
  const e = document.createElement(tag);
  if (name) e.className = name;
  if (text !== undefined) e.textContent = text;
  if (parent) parent.append(e);
  return e;
}

// What Python's classify computes, for any scale.
function computed() {
  const logits = data.labels.map((l) => scale * l[1]);
  const rivals = data.none ? data.words.filter((w) => w[2]).map((w) => scale * w[1]) : [];
  const top = Math.max(most(logits), most(rivals));
  const powers = logits.map((x) => Math.exp(x - top)), none = sum(rivals.map((x) => Math.exp(x - top)));
  const total = sum(powers) + none;
  return { logits, powers, none, total, best: most(rivals), shares: powers.map((p) => p / total) };
}
// The rows: labels by cosine, which no scale changes; then what stands for several.
function ordered() {
  const order = data.labels.map((_, i) => i).sort((a, b) => data.labels[b][1] - data.labels[a][1] || a - b);
  const shown = order.slice(0, data.shown).map((i) => ({ id: String(i), i, name: data.labels[i][0] }));
  const rest = order.slice(data.shown);
  if (data.none) shown.push({ id: NONE, name: data.said.none });
  if (rest.length)
    shown.push({ id: REST, rest, name: say("ar_more", { n: rest.length.toLocaleString("en") }) });
  return shown;
}
function numbers(row, c) {
  if (row.id === NONE) return { power: c.none, share: c.none / c.total, logit: c.best, cosine: c.best / scale };
  if (row.id === REST) {
    const power = sum(row.rest.map((i) => c.powers[i]));
    return { power, share: power / c.total };
  }
  return { power: c.powers[row.i], share: c.shares[row.i], logit: c.logits[row.i], cosine: data.labels[row.i][1],
    alone: data.bias === null ? undefined : 1 / (1 + Math.exp(-c.logits[row.i] - data.bias)) };
}
// Who is first: all that are too near to the best to be told apart. The rule is Python's `tied`.
function first(c) {
  const found = rows.filter((r) => r.id !== REST).map((r) => ({ name: r.name, id: r.id, ...numbers(r, c) }))
    .filter((r) => r.share > 0 || rows.length === 1).sort((a, b) => b.share - a.share);
  const near = (r) => found[0].share - r.share < data.tie[0]
    || (r.id !== NONE && found[0].id !== NONE && found[0].cosine - r.cosine < data.tie[1]);
  return found.filter(near);
}
function headline(c) {
  const best = first(c), names = best.map((r) => r.name);
  if (data.none_fits) return [say("ar_none_fits"), say("ar_none_best", { name: names[0], share: percent(best[0].share) })];
  if (best.length === 1) return [names[0], percent(best[0].share)];
  const many = rows.some((r) => r.id === REST) && best.length >= data.shown;
  const key = best.length === 2 && !many ? "ar_tie_2" : best.length === 3 && !many ? "ar_tie_3" : "ar_tie_more";
  const more = many ? data.labels.filter((_, i) => best[0].share - c.shares[i] < data.tie[0]).length : best.length;
  return [say(key, { a: names[0], b: names[1], c: names[2], n: more - 2 }), percent(best[0].share)];
}

function build() {
  const box = root();
  box.replaceChildren();
  box.classList.remove("lit");
  lines = []; pinned = null; word = -1;
  if (!data || data.waiting !== undefined) return void make("p", "cm-ar-waiting", data ? data.waiting : "", box);
  if (data.problem !== undefined)
    return void make("p", "cm-ar-problem", data.problem, box).setAttribute("role", "alert");
  rows = ordered();
  make("p", "cm-first", "", box);
  make("p", "cm-hidden cm-ar-status", "", box).setAttribute("role", "status");
  // What makes the answer doubtful stands beside it: on a phone the foot of the view is far away.
  if (data.notes.length) {
    const list = make("ul", "cm-notes", undefined, box);
    data.notes.forEach((note) => make("li", "", note, list));
  }
  const one = strip(box, data.said.ar_1, "ar_1_about", data.words.length ? "ar_1_words" : "");
  lines.push(line(one, (r, n) => n.cosine, (l) => l[1], (w) => w[1]));
  walk(lines[0].box, make("p", "cm-ar-read", "", one));
  const two = strip(box, data.said.ar_2, "ar_2_about");
  slider(two);
  lines.push(line(two, (r, n) => n.logit, (l) => scale * l[1], (w) => scale * w[1]));
  lines.push(line(strip(box, data.said.ar_3, "ar_3_about"), (r, n) => n.power, null, null));
  table(strip(box, data.said.ar_4, "ar_4_about"));
  [data.why, data.times].filter(Boolean).forEach((text) => make("p", "cm-small", text, box));
  update();
  announce();
}
function strip(box, title, ...keys) {
  const s = make("div", "cm-ar-strip", undefined, box);
  make("h2", "", title, s);
  const words = keys.filter(Boolean).map((key) => say(key, { n: data.words.length }));
  if (keys[0] === "ar_1_about" && data.templates > 1) words.push(say("ar_1_mean", { n: data.templates }));
  const about = make("p", keys[0], words.join(" "), s);
  about.dataset.about = keys[0];
  return s;
}
const colour = (row, e) => {
  if (row.i === undefined) return;
  e.style.setProperty("--c", COLOURS[row.i % COLOURS.length]);
  if (row.i % (2 * COLOURS.length) >= COLOURS.length) e.classList.add("second");
};

// A number line. of: (row, its numbers) -> where it is; ofLabel, ofWord: the same of labels without a row, of words.
function line(parent, of, ofLabel, ofWord) {
  const box = make("div", "cm-ar-line", undefined, parent);
  make("div", "cm-ar-axis", undefined, box);
  const words = ofWord ? data.words.map((w) => make("i", "cm-ar-word" + (data.none && w[2] ? " rival" : ""),
    undefined, box)) : [];
  const rest = (rows.find((r) => r.id === REST) || { rest: [] }).rest;
  const small = ofLabel ? rest.map(() => make("i", "cm-ar-dot rest", undefined, box)) : [];
  const drawn = rows.filter((r) => !ofLabel || r.id !== REST);
  const dots = drawn.slice().reverse().map((row) => {
    const dot = make("span", "cm-ar-dot" + (row.i === undefined ? " none" : ""), undefined, box);
    dot.dataset.i = row.id; colour(row, dot);
    return { row, dot };
  }).reverse();
  dots.forEach((d) => {
    d.name = make("span", "cm-ar-name", d.row.name, box);
    d.name.dataset.i = d.row.id; colour(d.row, d.name); d.width = 0;
  });
  if (!ofWord) box.setAttribute("aria-hidden", "true");
  return { box, of, ofLabel, ofWord, words, rest, small, dots, ticks: [], span: "" };
}
const nice = (lo, hi, count) => {
  const rough = (hi - lo) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
  const ticks = [];
  for (let k = Math.ceil(lo / step); k * step <= hi * 1.0001; k++) ticks.push(k * step);
  return [ticks, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))];
};
function place(l, c) {
  const found = l.dots.map((d) => l.of(d.row, numbers(d.row, c)));
  let lo = 0, hi = 1;
  if (l.ofWord) {  // both number lines reach as far as the largest scale brings the outermost
    const all = [...data.labels.map((x) => x[1]), ...data.words.map((x) => x[1]), 0];
    const reach = l === lines[1] ? data.range[1] : 1;
    lo = -most(all.map((x) => -x)) * reach; hi = most(all) * reach;
    const pad = 0.04 * (hi - lo) || 0.1;
    lo -= pad; hi += pad;
  } else hi = 1.03 * Math.max(1, most(found));
  const at = (x) => `${(100 * (x - lo) / (hi - lo)).toFixed(3)}%`;
  axis(l, lo, hi, at);
  l.words.forEach((e, k) => { e.style.left = at(l.ofWord(data.words[k])); });
  l.small.forEach((e, k) => { e.style.left = at(l.ofLabel(data.labels[l.rest[k]])); });
  l.dots.forEach((d, k) => { d.dot.style.left = at(found[k]); });
  names(l, found.map((x) => (x - lo) / (hi - lo)));
}
function axis(l, lo, hi, at) {
  const span = lo + " " + hi + " " + (l.box.clientWidth > 480);
  if (span === l.span) return;
  l.span = span;
  l.ticks.forEach((e) => e.remove());
  const [ticks, digits] = nice(lo, hi, l.box.clientWidth > 480 ? 8 : 4);
  l.ticks = ticks.map((x) => {
    const tick = make("div", "cm-ar-tick" + (Math.abs(x) < 1e-9 ? " zero" : ""), undefined, l.box);
    tick.style.left = at(x);
    make("span", "", x.toFixed(digits).replace("-0", Number(x.toFixed(digits)) === 0 ? "0" : "-0"), tick);
    return tick;
  });
}
// Names above their dots, in up to three lanes, the best first; who finds no room is named when pointed at.
function names(l, places) {
  const width = l.box.clientWidth, free = Array.from({ length: LANES }, () => []);
  if (!width) return;
  const widths = l.dots.map((d) => d.width || (d.width = d.name.offsetWidth));
  l.dots.forEach((d, k) => {
    const left = Math.min(Math.max(places[k] * width - widths[k] / 2, -8), width + 8 - widths[k]);
    const lane = free.findIndex((taken) => taken.every(([a, b]) => left + widths[k] + 4 < a || left > b + 4));
    if (lane >= 0) free[lane].push([left, left + widths[k]]);
    d.name.classList.toggle("hidden", lane < 0);
    d.name.style.left = left + "px";
    d.name.style.top = 40 - 18 * Math.max(lane, 0) + "px";
  });
}
// The everyday words, by pointer and by keyboard.
function walk(box, read) {
  const order = data.words.map((_, k) => k).sort((a, b) => data.words[a][1] - data.words[b][1]);
  const named = (k) => `${data.words[k][0]} ${signed(data.words[k][1], 3)}`;
  if (!order.length) return;
  const best = order.slice(-3).reverse().map(named).join(", ");
  box.tabIndex = 0;
  const attributes = { role: "slider", "aria-label": data.said.ar_words, "aria-valuemin": 1,
    "aria-valuemax": order.length, "aria-valuenow": order.length, "aria-valuetext": named(order[order.length - 1]) };
  Object.entries(attributes).forEach(([k, v]) => box.setAttribute(k, v));
  const show = (number) => {
    word = number;
    lines.forEach((l) => l.words.forEach((e, k) => e.classList.toggle("on", number >= 0 && k === order[number])));
    read.textContent = number < 0 ? say("ar_best", { words: best }) : named(order[number]);
    if (number < 0) return;
    box.setAttribute("aria-valuenow", number + 1);
    box.setAttribute("aria-valuetext", named(order[number]));
  };
  const key = (e) => {
    const now = word < 0 ? order.length : word, end = order.length - 1;
    const to = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, Home: 0, End: end,
      PageDown: now - 10, PageUp: now + 10 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    show(Math.min(Math.max(to, 0), end));
  };
  const point = (e) => {
    const place = e.clientX - box.getBoundingClientRect().left;
    const far = (k) => Math.abs(lines[0].words[k].offsetLeft - place);
    const near = order.reduce((a, k, n) => far(k) < far(order[a]) ? n : a, 0);
    show(far(order[near]) < 12 ? near : -1);
  };
  box.addEventListener("keydown", key);
  box.addEventListener("pointermove", point);
  box.addEventListener("pointerleave", () => show(-1));
  box.addEventListener("blur", () => show(-1));
  show(-1);
}
const toScale = (position) => data.range[0] * (data.range[1] / data.range[0]) ** (position / STEPS);
const toPosition = (x) => STEPS * Math.log(Math.max(x, 1e-9) / data.range[0]) / Math.log(data.range[1] / data.range[0]);
function slider(parent) {
  const row = make("div", "cm-ar-scale", undefined, parent);
  make("output", "", "", row);
  const input = make("input", "", undefined, row);
  Object.assign(input, { type: "range", min: 0, max: STEPS, step: 1 });
  input.setAttribute("aria-label", data.said.ar_scale);
  const own = make("button", "cm-ar-own", say("ar_own", { scale: data.own.toFixed(1) }), row);
  own.type = "button";
  input.addEventListener("input", () => {
    root().classList.add("sliding");
    scale = toScale(Number(input.value));
    update();
  });
  let resting = 0;
  const done = () => {
    root().classList.remove("sliding"); announce();
    const set = { scale, own: data.own };
    clearTimeout(resting);  // a key that is held down moves it thirty times a second: the last place counts
    resting = setTimeout(() => trigger("rescale", set), REST_MS);
  };
  input.addEventListener("change", done);
  own.addEventListener("click", () => { scale = data.own; update(); done(); });
}
const hides = (key) => ({ ar_power: "cm-ar-power", logit: "cm-ar-logit" })[key] || "";  // where a page is narrow
function table(parent) {
  const t = make("table", "cm-bars", undefined, parent), body = make("tbody", "", undefined, t);
  const head = make("tr", "", undefined, make("thead", "", undefined, t));
  const columns = ["probability", "cosine", "logit", "ar_power"];
  make("caption", "cm-hidden", data.said.answer, t);
  if (data.bias !== null) columns.push("ar_alone");
  make("th", "cm-name", data.said.label, head).scope = "col";
  make("td", "", "", head);
  columns.forEach((key) => { make("th", hides(key), data.said[key], head).scope = "col"; });
  rows.forEach((row) => {
    const tr = make("tr", row.i === undefined ? "cm-other" : "", undefined, body);
    const name = make("th", "cm-name", undefined, tr);
    tr.dataset.i = row.id; colour(row, tr); name.scope = "row";
    const pick = make("button", "cm-ar-pick", row.name, name);
    pick.type = "button";
    pick.setAttribute("aria-pressed", "false");
    pick.addEventListener("click", () => { pinned = pinned === row.id ? null : row.id; light(pinned); });
    const track = make("div", "cm-track", undefined, make("td", "cm-bar", undefined, tr));
    const attributes = { role: "meter", "aria-label": row.name, "aria-valuemin": 0, "aria-valuemax": 100 };
    Object.entries(attributes).forEach(([k, v]) => track.setAttribute(k, v));
    row.track = track; row.fill = make("div", "cm-fill", undefined, track);
    row.cells = columns.map((key, k) => make("td", (k ? "cm-minor " : "") + hides(key), "", tr));
  });
}

// Everything that the scale moves.
function update() {
  const c = computed(), [name, share] = headline(c), box = root(), title = box.querySelector(".cm-first");
  title.replaceChildren(name + " ", make("span", "", share));
  lines.forEach((l) => place(l, c));
  rows.forEach((row) => {
    const n = numbers(row, c), exact = (100 * n.share).toFixed(2), one = row.i !== undefined;
    row.track.setAttribute("aria-valuenow", exact);
    row.track.setAttribute("aria-valuetext", exact + " %");
    row.fill.style.width = exact + "%";
    const cells = [percent(n.share), one ? signed(n.cosine, 3) : "", one ? signed(n.logit, 1) : "",
      n.power >= 0.0005 ? n.power.toFixed(3) : n.power.toExponential(0), n.alone === undefined ? "" : percent(n.alone)];
    row.cells.forEach((cell, k) => { cell.textContent = cells[k]; });
  });
  const about = (key, values) => { box.querySelector(`[data-about=${key}]`).textContent = say(key, values); };
  about("ar_4_about", { sum: c.total.toPrecision(3) });
  const input = box.querySelector(".cm-ar-scale input");
  if (document.activeElement !== input || !box.classList.contains("sliding")) input.value = toPosition(scale);
  input.setAttribute("aria-valuetext", scale.toFixed(1));
  box.querySelector(".cm-ar-scale output").textContent = "× " + scale.toFixed(1);
}
function announce() {
  const [name, share] = headline(computed());
  root().querySelector(".cm-ar-status").textContent = `${name} ${share}`;
}
function light(id) {
  root().classList.toggle("lit", id !== null);
  root().querySelectorAll("[data-i]").forEach((e) => e.classList.toggle("on", e.dataset.i === id));
  root().querySelectorAll(".cm-ar-pick").forEach((e, k) =>
    e.setAttribute("aria-pressed", String(rows[k].id === pinned)));
}
const under = (e) => e.target.closest && e.target.closest("[data-i]");
function fresh() {
  if (!root()) return;
  data = parse(props.value);  // nothing where an error stands in place of an answer
  if (data && data.labels) scale = data.scale;
  build();
}
const touched = (e) => light(under(e) ? under(e).dataset.i : pinned);
element.addEventListener("pointerover", touched);
element.addEventListener("focusin", touched);
element.addEventListener("pointerleave", () => root() && light(pinned));
element.addEventListener("focusout", () => root() && light(pinned));
new ResizeObserver(() => { if (data && data.labels) update(); }).observe(element);
fresh();
watch("value", fresh);
