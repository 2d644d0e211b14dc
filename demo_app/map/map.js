// The map's canvas. gr.HTML runs this with: element (the component), props (value, xy, marks, words), trigger, watch.
// Names come from people: they are only ever set as textContent.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#9a8c00", "#7f5fc4", "#a65628",
  "#666666"];
const state = { data: null, xy: null, marks: { near: [], query: null }, hidden: new Set(), view: null, hover: -1,
  box: null, drag: null };
const sprite = new Image();
const find = (selector) => element.querySelector(selector);
const parse = (text) => { try { return JSON.parse(text); } catch { return null; } };
const words = () => parse(props.words) || {};

function start() {
  const canvas = find("canvas");
  if (!canvas || canvas.dataset.ready) return;
  canvas.dataset.ready = "1";
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerleave", () => { state.hover = -1; tip(null); draw(); });
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    const p = at(e);
    state.drag = { x: p.x, y: p.y, far: false, box: e.shiftKey || e.altKey || find(".cm-map-box").checked };
  });
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(at(e), Math.exp(-e.deltaY / 400)); },
    { passive: false });
  canvas.addEventListener("dblclick", () => { fit(); draw(); });
  canvas.addEventListener("keydown", key);
  find(".cm-map-home").addEventListener("click", () => {
    state.marks = { near: [], query: null }; fit(); draw();
  });
  new ResizeObserver(() => draw()).observe(canvas);
}

function at(e) {
  const r = find("canvas").getBoundingClientRect();
  return { x: e.clientX - r.left, y: e.clientY - r.top };
}
function key(e) {
  const c = find("canvas"), middle = { x: c.clientWidth / 2, y: c.clientHeight / 2 };
  const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[e.key];
  if (step) { state.view.x += step[0]; state.view.y += step[1]; draw(); e.preventDefault(); }
  if (e.key === "+" || e.key === "=") zoom(middle, 1.3);
  if (e.key === "-") zoom(middle, 1 / 1.3);
  if (e.key === "0") { fit(); draw(); }
}
function zoom(p, factor) {
  const v = state.view;
  if (!v) return;
  const scale = Math.min(Math.max(v.scale * factor, v.least), v.least * 60), f = scale / v.scale;
  v.x = p.x - (p.x - v.x) * f; v.y = p.y - (p.y - v.y) * f; v.scale = scale;
  draw();
}
function fit() {
  const c = find("canvas"), xs = state.xy.map((p) => p[0]), ys = state.xy.map((p) => p[1]);
  const x0 = Math.min(...xs), x1 = Math.max(...xs), y0 = Math.min(...ys), y1 = Math.max(...ys);
  const scale = 0.92 * Math.min(c.clientWidth / (x1 - x0 || 1), c.clientHeight / (y1 - y0 || 1));
  state.view = { scale, least: scale * 0.6, x: c.clientWidth / 2 - scale * (x0 + x1) / 2,
    y: c.clientHeight / 2 + scale * (y0 + y1) / 2 };
}
const place = (p) => ({ x: state.view.x + state.view.scale * p[0], y: state.view.y - state.view.scale * p[1] });
const legendOf = (i) => state.data.by === "kind" ? (i < state.data.pictures ? 0 : 1) : state.data.group[i];
const colour = (i) => COLOURS[legendOf(i) % COLOURS.length];
const shown = (i) => !state.hidden.has(legendOf(i));

function draw() {
  const c = find("canvas");
  if (!c || !state.data || !state.xy || !c.clientWidth) return;
  if (!state.view) fit();
  const ratio = window.devicePixelRatio || 1, w = c.clientWidth, h = c.clientHeight;
  if (c.width !== Math.round(w * ratio) || c.height !== Math.round(h * ratio)) {
    c.width = Math.round(w * ratio); c.height = Math.round(h * ratio);
  }
  const g = c.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, w, h);
  const near = new Set(state.marks.near), dim = near.size > 0, close = state.view.scale > 5 * state.view.least;
  const side = Math.min(40, 6 + 2 * state.view.scale / state.view.least);
  let pictures = 0;
  state.xy.forEach((point, i) => {
    if (!shown(i)) return;
    const p = place(point);
    if (p.x < -40 || p.y < -40 || p.x > w + 40 || p.y > h + 40) return;
    g.globalAlpha = dim && !near.has(i) ? 0.3 : 0.85;
    if (close && i < state.data.pictures && sprite.complete && sprite.naturalWidth && pictures++ < 600)
      return thumb(g, i, p, side);
    g.fillStyle = colour(i);
    const r = near.has(i) ? 5 : 3;
    if (i < state.data.pictures) { g.beginPath(); g.arc(p.x, p.y, r, 0, 7); g.fill(); }
    else { g.fillRect(p.x - r * 0.8, p.y - r * 0.8, 1.6 * r, 1.6 * r); if (close) label(g, i, p); }
  });
  g.globalAlpha = 1;
  near.forEach((i) => { if (shown(i)) ring(g, place(state.xy[i]), 8); });
  if (state.hover >= 0) ring(g, place(state.xy[state.hover]), 9);
  if (state.marks.query) cross(g, place(state.marks.query), 8);
  if (state.box) frame(g, state.box);
}
const ink = () => getComputedStyle(element).color;
function ring(g, p, r) { g.strokeStyle = ink(); g.lineWidth = 2; g.beginPath(); g.arc(p.x, p.y, r, 0, 7); g.stroke(); }
function cross(g, p, r) {
  g.strokeStyle = "#d62728"; g.lineWidth = 3; g.beginPath();
  g.moveTo(p.x - r, p.y); g.lineTo(p.x + r, p.y); g.moveTo(p.x, p.y - r); g.lineTo(p.x, p.y + r);
  g.stroke();
}
function frame(g, box) {
  g.strokeStyle = ink(); g.lineWidth = 1; g.setLineDash([4, 3]);
  g.strokeRect(box.x, box.y, box.w, box.h);
  g.setLineDash([]);
}
function label(g, i, p) {
  g.fillStyle = ink(); g.font = "11px sans-serif";
  g.fillText(state.data.names[i].slice(0, 24), p.x + 5, p.y + 4);
}
function thumb(g, i, p, side) {
  const cell = state.data.cell, row = Math.floor(i / state.data.columns), column = i % state.data.columns;
  g.drawImage(sprite, column * cell, row * cell, cell, cell, p.x - side / 2, p.y - side / 2, side, side);
}

function nearest(p, reach) {
  let best = -1, least = reach * reach;
  state.xy.forEach((point, i) => {
    if (!shown(i)) return;
    const q = place(point), d = (q.x - p.x) ** 2 + (q.y - p.y) ** 2;
    if (d < least) { least = d; best = i; }
  });
  return best;
}
function move(e) {
  if (!state.data || !state.view) return;
  const p = at(e), d = state.drag;
  if (d) {
    if (Math.hypot(p.x - d.x, p.y - d.y) > 4) d.far = true;
    if (d.far && d.box)
      state.box = { x: Math.min(d.x, p.x), y: Math.min(d.y, p.y), w: Math.abs(p.x - d.x), h: Math.abs(p.y - d.y) };
    else if (d.far) { state.view.x += e.movementX; state.view.y += e.movementY; }
    return draw();
  }
  const i = nearest(p, 14);
  if (i !== state.hover) { state.hover = i; draw(); }
  tip(i >= 0 ? i : null, p);
}
function release(e) {
  const d = state.drag, box = state.box;
  state.drag = null; state.box = null;
  if (!d || !state.data) return;
  if (!d.far) { const i = nearest(at(e), 14); if (i >= 0) trigger("select", { what: "point", points: [i] }); return; }
  if (box) {
    const within = (p) => p.x >= box.x && p.x <= box.x + box.w && p.y >= box.y && p.y <= box.y + box.h;
    const inside = state.xy.map((_, i) => i).filter((i) => shown(i) && within(place(state.xy[i])));
    state.marks = { near: inside, query: null };
    trigger("select", { what: "box", points: inside.slice(0, 2000) });
  }
  draw();
}
function tip(i, p) {
  const t = find(".cm-map-tip");
  if (i === null) { t.style.display = "none"; return; }
  const group = state.data.groups[state.data.group[i]];
  t.querySelector("span").textContent = state.data.names[i] + (group ? " · " + group : "");
  const image = t.querySelector("canvas");
  image.style.display = i < state.data.pictures ? "block" : "none";
  if (i < state.data.pictures) {
    const g = image.getContext("2d");
    g.clearRect(0, 0, 64, 64); thumb(g, i, { x: 32, y: 32 }, 64);
  }
  t.style.display = "flex";
  t.style.left = Math.max(0, Math.min(p.x + 14, find("canvas").clientWidth - 190)) + "px";
  t.style.top = Math.max(0, p.y - 40) + "px";
}
function legend() {
  const list = find(".cm-map-legend");
  list.replaceChildren();
  const kinds = state.data.by === "kind" ? [words().pictures, words().texts] : state.data.groups;
  kinds.forEach((name, k) => {
    const b = document.createElement("button"), dot = document.createElement("i");
    dot.style.background = COLOURS[k % COLOURS.length];
    b.append(dot, document.createTextNode(name || "–"));
    b.type = "button";
    b.setAttribute("aria-pressed", String(!state.hidden.has(k)));
    b.onclick = () => {
      state.hidden.has(k) ? state.hidden.delete(k) : state.hidden.add(k);
      legend(); draw();
    };
    list.append(b);
  });
}

function fresh() {
  start();
  const data = parse(props.value);
  if (!data) return;
  if (!state.data || data.sprite !== sprite.src) { sprite.onload = draw; sprite.src = data.sprite; }
  if (!state.data || state.data.by !== data.by) state.hidden.clear();
  state.data = data;
  legend();
  draw();
}
function moved() {
  start();
  const to = parse(props.xy), from = state.xy;
  if (!to) return;
  if (!from || from.length !== to.length) { state.xy = to; state.view = null; return draw(); }
  const begin = performance.now();  // points walk to their new places
  const target = to, step = (now) => {
    const t = Math.min(1, (now - begin) / 600), s = t * t * (3 - 2 * t);
    state.xy = target.map((p, i) => [from[i][0] + s * (p[0] - from[i][0]), from[i][1] + s * (p[1] - from[i][1])]);
    fit(); draw();
    if (t < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}
function marked() { start(); state.marks = parse(props.marks) || { near: [], query: null }; draw(); }

start();
fresh(); moved(); marked();
watch("value", fresh);
watch("xy", moved);
watch("marks", marked);
