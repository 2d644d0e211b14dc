// Small helpers of the page: elements, and what it says in two languages. Names come from people: they are only set as
// textContent.

export const LANGUAGES = ["en", "zh"];
const texts = {};
let language = "en";

export async function loadTexts() {
  const wanted = [new URLSearchParams(location.search).get("lang"), remembered("language"), ...navigator.languages];
  language = wanted.map((name) => (name || "").slice(0, 2).toLowerCase())
    .find((name) => LANGUAGES.includes(name)) || "en";
  for (const name of LANGUAGES) texts[name] = await (await fetch(`texts/${name}.json`)).json();
}

// Storage is refused in some frames and private windows; the page does without.
export function remembered(key) {
  try { return localStorage.getItem(`clipmini ${key}`); } catch { return null; }
}
export function remember(key, value) {
  try { localStorage.setItem(`clipmini ${key}`, value); } catch { /* the next visit begins anew */ }
}

export const spoken = () => language;
export function speak(name) {
  language = name;
  remember("language", name);
  document.documentElement.lang = name;
  document.title = say("title");
  for (const found of document.querySelectorAll("[data-t]")) found.textContent = say(found.dataset.t);
  for (const found of document.querySelectorAll("[data-l]")) found.setAttribute("aria-label", say(found.dataset.l));
  for (const found of document.querySelectorAll("[data-p]")) found.placeholder = say(found.dataset.p);
  for (const [found, [key, values]] of statuses) found.textContent = key ? say(key, values) : "";
  dispatchEvent(new Event("language"));
}

export function say(key, values = {}) {
  const text = texts[language]?.[key] ?? texts.en?.[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => name in values ? told(values[name]) : whole);
}
const told = (value) => typeof value === "number" ? value.toLocaleString(language) : String(value);
export const percent = (share) => `${(100 * share).toFixed(share >= 0.0995 ? 0 : 1)} %`;
export const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

// What a status says, now and in the other language; no key: nothing. bad: it is an error.
const statuses = new Map();
export function tell(status, key, values = {}, bad = false) {
  statuses.set(status, [key, values]);
  status.textContent = key ? say(key, values) : "";
  status.classList.toggle("bad", bad);
}
// The key and the values of what went wrong.
const saidOf = (problem) => [problem.kind ? `problem_${problem.kind}` : "problem_unexpected",
  problem.values || { why: problem.message || String(problem) }];
export const tellProblem = (status, problem) => tell(status, ...saidOf(problem), true);
export const problemText = (problem) => say(...saidOf(problem));

// An element: el("button", { class: "first", t: "load", onclick }, ...children). t, l, p: keys of what it says, of its
// label for screen readers, of its placeholder.
export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag), { t, l, p, class: name, ...rest } = given;
  if (name) made.className = name;
  if (t) { made.dataset.t = t; made.textContent = say(t); }
  if (l) { made.dataset.l = l; made.setAttribute("aria-label", say(l)); }
  if (p) { made.dataset.p = p; made.placeholder = say(p); }
  for (const [key, value] of Object.entries(rest)) {
    if (key.startsWith("on") || key in made) made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Asks again, once nothing has been typed for a moment.
export function later(made, milliseconds = 250) {
  let timer = 0;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => made(...args), milliseconds); };
}

let fields = 0;
// A field with its label and what is said about it.
export function field(label, control, about = "") {
  control.id ||= `field-${++fields}`;
  const said = about ? [el("small", { t: about, id: `${control.id}-about` })] : [];
  if (about) control.setAttribute("aria-describedby", `${control.id}-about`);
  return el("div", { class: "field" }, el("label", { t: label, htmlFor: control.id }), control, ...said);
}

// A table of bars: rows of { name, share, minor }, the last a number with its own heading.
export function bars(rows, caption, minorHead = "") {
  const body = el("tbody"), heads = minorHead ? [el("thead", {}, el("tr", {}, el("td", { colSpan: 3 }),
    el("th", { scope: "col" }, minorHead)))] : [];
  for (const { name, share, minor, other } of rows) {
    const bar = el("span", { class: "fill" });
    bar.style.width = `${Math.max(0.5, 100 * share)}%`;
    body.append(el("tr", other ? { class: "other" } : {}, el("th", { scope: "row" }, name),
      el("td", { class: "bar" }, el("span", { class: "track" }, bar)), el("td", {}, percent(share)),
      ...(minor === undefined ? [] : [el("td", { class: "minor" }, minor)])));
  }
  return el("table", { class: "bars" }, el("caption", {}, caption), ...heads, body);
}
