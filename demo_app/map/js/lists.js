// Part 5 of 5: the lists beside the canvas, and what Python tells.
const MOST_SEEN = 50;
let looking = 0;

function picture(i) {  // a thumbnail as an element: a piece of the sprite
  const e = document.createElement("i"), row = Math.floor(i / state.data.columns), column = i % state.data.columns;
  e.className = isPicture(i) ? "cm-map-picture" : "cm-map-word";
  if (isPicture(i)) {
    e.style.backgroundSize = state.data.columns * 100 + "% auto";
    const rows = Math.round(sprite.naturalHeight / state.data.cell) || Math.ceil(state.data.pictures / state.data.columns);
    e.style.backgroundPosition = 100 * column / (state.data.columns - 1) + "% " + (rows > 1 ? 100 * row / (rows - 1) : 0) + "%";
  }
  e.style.borderColor = COLOURS[legendOf(i)];
  return e;
}
function row(i, number) {
  const item = document.createElement("li"), b = document.createElement("button"), name = document.createElement("span");
  const group = document.createElement("small"), value = document.createElement("b");
  b.type = "button";
  name.textContent = state.data.names[i];
  group.textContent = [say(isPicture(i) ? "picture" : "word"), state.data.groups[state.data.group[i]]].filter(Boolean).join(" · ");
  value.textContent = number === undefined ? "" : number.toFixed(3);
  name.append(group);
  b.append(picture(i), name, value);
  b.onclick = () => choose(i);
  b.onmouseenter = b.onfocus = () => { state.hover = i; redraw(); };
  b.onmouseleave = b.onblur = () => { state.hover = -1; redraw(); };
  item.append(b);
  return item;
}

function results() {
  const m = state.marks, near = (m.near || []).filter((i) => i < state.count), list = find(".cm-map-near");
  list.replaceChildren(...near.slice(0, 200).map((i) => row(i, m.cosines ? m.cosines[i] : undefined)));
  const pictures = near.filter(isPicture).length, values = { n: pictures, m: near.length - pictures, label: m.label || "" };
  find(".cm-map-status").textContent = near.length
    ? say(m.what === "box" ? "said_box" : values.m ? "said_near" : "said_pictures", values)
    : m.what === "box" ? say("said_none") : say("said_start");
  find(".cm-map-note").textContent = m.note || "";
  find(".cm-map-head").hidden = !near.length;
}

// What is in view, nearest to the middle first: for keyboards and screen readers. Made only while it is open.
function inView() {
  clearTimeout(looking);
  looking = setTimeout(() => {
    const details = find(".cm-map-seen");
    if (!state.view || !state.data) return;
    const { w, h } = size(), found = [];
    for (let i = 0; i < state.count; i++) {
      const x = px(i), y = py(i);
      if (x >= 0 && y >= 0 && x <= w && y <= h && shown(i)) found.push([Math.hypot(x - w / 2, y - h / 2), i]);
    }
    found.sort((a, b) => a[0] - b[0]);
    details.querySelector("summary").textContent = say("seen", { n: Math.min(MOST_SEEN, found.length), all: found.length });
    if (details.open && !details.contains(document.activeElement?.closest(".cm-map-seen ul")))
      details.querySelector("ul").replaceChildren(...found.slice(0, MOST_SEEN).map(([, i]) => row(i)));
  }, 250);
}

function tip(i, p) {
  const t = find(".cm-map-tip");
  if (i < 0) { t.style.display = "none"; return; }
  const group = state.data.groups[state.data.group[i]];
  t.querySelector("span").textContent = state.data.names[i] + (group ? " · " + group : "");
  const image = t.querySelector("canvas");
  image.style.display = isPicture(i) ? "block" : "none";
  if (isPicture(i) && sprite.complete && sprite.naturalWidth) {
    const g = image.getContext("2d");
    g.clearRect(0, 0, 64, 64); cell(g, i, 0, 0, 64);
  }
  t.style.display = "flex";
  t.style.left = Math.max(0, Math.min(p.x + 14, size().w - 190)) + "px";
  t.style.top = Math.max(0, p.y - 40) + "px";
}

function legend() {
  const kinds = legendNames();
  find(".cm-map-legend").replaceChildren(...(kinds.length < 2 ? [] : kinds).map((name, k) => {
    const b = document.createElement("button"), dot = document.createElement("i");
    dot.style.background = COLOURS[k];
    if (state.by === "kind" && k === 1) dot.className = "cm-map-diamond";
    b.append(dot, document.createTextNode(name || "–"));
    b.type = "button";
    b.setAttribute("aria-pressed", String(!state.hidden.has(k)));
    b.onclick = () => {
      if (state.hidden.has(k)) state.hidden.delete(k); else state.hidden.add(k);
      b.setAttribute("aria-pressed", String(!state.hidden.has(k)));
      redraw();
    };
    return b;
  }));
}

function speak() {  // the words of the page, in the visitor's language
  start();
  state.words = parse(props.words) || {};
  find(".cm-map-canvas").setAttribute("aria-label", say("canvas"));
  for (const [name, text] of [["in", "in"], ["out", "out"], ["home", "home"]]) {
    find(".cm-map-" + name).setAttribute("aria-label", say(text)); find(".cm-map-" + name).title = say(text);
  }
  for (const name of ["box", "thumbs"]) find(".cm-map-" + name).nextElementSibling.textContent = " " + say(name);
  find(".cm-map-shapes").textContent = say("shapes");
  find(".cm-map-cosine").textContent = say("cosine");
  find(".cm-map-name").textContent = say("name");
  find(".cm-map-results").setAttribute("aria-label", say("near"));
}
function fresh() {
  start();
  const data = parse(props.value);
  find(".cm-map").hidden = !data;  // an error stands in place of an answer
  if (!data) { state.data = null; return; }
  state.hidden.clear();
  state.hover = -1;
  find(".cm-map").classList.toggle("cm-map-still", Boolean(data.still));
  take(data);
  state.told = null;
  places(); marked(); coloured();
}
function places() {
  if (props.xy === state.told) return;
  const told = parse(props.xy);
  if (!told || !state.data || told.places.length !== state.data.names.length) return;
  state.told = props.xy; state.name = told.name;
  walk(told.places);
}
function marked() {
  if (!state.data) return;
  state.marks = parse(props.marks) || { near: [] };
  if (state.marks.thumb) { guest.onload = redraw; guest.src = state.marks.thumb; }
  results(); redraw();
}
function coloured() {
  if (!state.data) return;
  if (state.by !== props.by) state.hidden.clear();
  state.by = props.by || "group";
  sort();
  legend(); results(); redraw();
}

speak(); fresh();
watch("words", speak);
watch("value", fresh);
watch("xy", places);
watch("marks", marked);
watch("by", coloured);
