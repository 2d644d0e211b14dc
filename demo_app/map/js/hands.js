// Part 4 of 5: mouse, fingers, keys, buttons.
const fingers = new Map();

function start() {
  const c = find(".cm-map-canvas");
  if (!c || c.dataset.ready) return;
  c.dataset.ready = "1";
  c.addEventListener("pointerdown", down);
  c.addEventListener("pointermove", move);
  c.addEventListener("pointerup", up);
  c.addEventListener("pointercancel", (e) => { fingers.delete(e.pointerId); state.drag = null; state.box = null; });
  c.addEventListener("pointerleave", () => { state.hover = -1; tip(-1); redraw(); });
  // Two fingers are the map's at any time; a browser would scroll the page with them.
  for (const kind of ["touchstart", "touchmove"])
    c.addEventListener(kind, (e) => { if (e.touches.length > 1) e.preventDefault(); }, { passive: false });
  c.addEventListener("wheel", (e) => {
    const out = e.deltaY > 0 && state.view && closeness() <= 0.61;  // nothing left to zoom: the page scrolls on
    if (!out) { e.preventDefault(); zoom(at(e), Math.exp(-Math.min(Math.max(e.deltaY, -200), 200) / 300)); }
  }, { passive: false });
  c.addEventListener("dblclick", (e) => zoom(at(e), 2));
  c.addEventListener("keydown", key);
  const middle = () => ({ x: size().w / 2, y: size().h / 2 });
  find(".cm-map-in").addEventListener("click", () => zoom(middle(), 1.6));
  find(".cm-map-out").addEventListener("click", () => zoom(middle(), 1 / 1.6));
  find(".cm-map-home").addEventListener("click", () => { state.marks = { near: [] }; results(); home(); });
  find(".cm-map-box").addEventListener("change", touchable);
  find(".cm-map-thumbs").addEventListener("change", (e) => { state.thumbs = e.target.checked; redraw(); });
  find(".cm-map-seen").addEventListener("toggle", inView);
  new ResizeObserver(() => { if (state.view && closeness() < 1.05) state.view = null; redraw(); }).observe(c);
  new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ["class"] });  // the theme
}

const at = (e) => {
  const r = find(".cm-map-canvas").getBoundingClientRect();
  return { x: e.clientX - r.left, y: e.clientY - r.top };
};
function key(e) {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const middle = { x: size().w / 2, y: size().h / 2 };
  const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[e.key];
  if (step) pan(...step);
  else if (e.key === "+" || e.key === "=") zoom(middle, 1.3);
  else if (e.key === "-") zoom(middle, 1 / 1.3);
  else if (e.key === "0") home();
  else return;
  e.preventDefault();
}

function down(e) {
  const c = find(".cm-map-canvas"), p = at(e);
  c.setPointerCapture(e.pointerId);
  fingers.set(e.pointerId, p);
  state.drag = fingers.size === 1 ? { x: p.x, y: p.y, far: false, box: e.shiftKey || find(".cm-map-box").checked } : null;
  state.box = null;
}
function move(e) {
  if (!state.data || !state.view) return;
  const p = at(e), before = fingers.get(e.pointerId);
  if (before && fingers.size === 2) return pinch(e.pointerId, p);
  if (before && state.drag) {
    const d = state.drag;
    fingers.set(e.pointerId, p);
    if (Math.hypot(p.x - d.x, p.y - d.y) > 5) d.far = true;
    if (!d.far) return;
    if (!d.box) return pan(p.x - before.x, p.y - before.y);
    state.box = { x: Math.min(d.x, p.x), y: Math.min(d.y, p.y), w: Math.abs(p.x - d.x), h: Math.abs(p.y - d.y) };
    return redraw();
  }
  if (e.pointerType === "touch") return;
  const i = nearest(p, 16);
  if (i !== state.hover) { state.hover = i; redraw(); }
  tip(i, p);
}
function pinch(moved, p) {
  const other = [...fingers].find(([id]) => id !== moved)[1], was = fingers.get(moved);
  const apart = (a, b) => Math.hypot(a.x - b.x, a.y - b.y), middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
  const from = middle(was, other), to = middle(p, other);
  fingers.set(moved, p);
  pan(to.x - from.x, to.y - from.y);
  zoom(to, apart(p, other) / (apart(was, other) || 1));
}
function up(e) {
  fingers.delete(e.pointerId);
  const d = state.drag, box = state.box;
  state.drag = null; state.box = null;
  if (!d || !state.data) return;
  if (!d.far) {
    const i = nearest(at(e), e.pointerType === "touch" ? 24 : 16);
    if (i >= 0) choose(i);
  } else if (box) {
    const inside = [];
    for (let i = 0; i < state.count; i++) {
      const x = px(i), y = py(i);
      if (shown(i) && x >= box.x && x <= box.x + box.w && y >= box.y && y <= box.y + box.h) inside.push(i);
    }
    trigger("select", { what: "box", points: inside.slice(0, 2000) });
  }
  redraw();
}
function choose(i) { if (!state.data.still) trigger("select", { what: "point", points: [i] }); }
