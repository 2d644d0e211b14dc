// Part 2 of 5: which part of the map is seen. view: scale (pixels a unit), x and y (where the origin is), home (the
// scale at which all is seen).
const MOST = 60;  // times home

const size = () => { const c = find(".cm-map-canvas"); return { w: c.clientWidth, h: c.clientHeight }; };
const px = (i) => state.view.x + state.view.scale * state.xs[i];
const py = (i) => state.view.y - state.view.scale * state.ys[i];
const closeness = () => state.view.scale / state.view.home;

function fit() {
  if (!size().w) { state.view = null; return; }  // another tab is open: it is done when this one is seen
  let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
  for (let i = 0; i < state.count; i++) {
    const x = state.xs[i], y = state.ys[i];
    if (x < x0) x0 = x; if (x > x1) x1 = x; if (y < y0) y0 = y; if (y > y1) y1 = y;
  }
  // Few pictures are large: none of them is cut off, and none lies below the buttons at the right.
  const { w, h } = size(), own = state.data && state.data.own, side = own ? 34 : 0.05 * w, buttons = own ? 50 : 0;
  const wide = w - 2 * side - buttons, tall = h - 2 * (own ? 40 : 0.05 * h);
  const scale = Math.min(wide / (x1 - x0 || 1), tall / (y1 - y0 || 1));
  state.view = { scale, home: scale, x: (w - buttons) / 2 - scale * (x0 + x1) / 2, y: h / 2 + scale * (y0 + y1) / 2 };
  touchable();
}

// Zoom by a factor about a point of the canvas; false where it is as close or as far as it gets.
function zoom(p, factor) {
  const v = state.view;
  if (!v) return false;
  const scale = Math.min(Math.max(v.scale * factor, v.home * 0.6), v.home * MOST), f = scale / v.scale;
  v.x = p.x - (p.x - v.x) * f; v.y = p.y - (p.y - v.y) * f; v.scale = scale;
  touchable();
  redraw();
  return Math.abs(f - 1) > 1e-6;
}
function pan(dx, dy) {
  if (!state.view) return;
  state.view.x += dx; state.view.y += dy;
  redraw();
}
function home() { if (state.count) { fit(); redraw(); } }

// One finger scrolls the page while all of the map is seen, for then there is nowhere to move to; two fingers zoom at
// any time. Once the map is closer, one finger moves it; the page scrolls beside it, as it is at most 60 % high.
function touchable() {
  const closer = state.view && closeness() > 1.05;
  find(".cm-map-canvas").style.touchAction = closer || find(".cm-map-box").checked ? "none" : "pan-y";
}

// Points walk to new places (or are there at once, for those who want no motion).
function walk(to) {
  const n = to.length, xs = new Float32Array(n), ys = new Float32Array(n);
  for (let i = 0; i < n; i++) { xs[i] = to[i][0]; ys[i] = to[i][1]; }
  const from = state.xs && state.xs.length === n ? { xs: state.xs, ys: state.ys } : null;
  const turn = ++state.moving;
  if (!from || matchMedia("(prefers-reduced-motion: reduce)").matches) {
    state.xs = xs; state.ys = ys; state.count = n;
    state.view = null;
    return redraw();
  }
  const begin = performance.now(), close = state.view && closeness() > 1.05;
  const step = (now) => {
    if (turn !== state.moving) return;
    const t = Math.min(1, Math.max(0, (now - begin) / 600)), s = t * t * (3 - 2 * t);
    if (t === 1) { state.xs = xs; state.ys = ys; } else {
      const a = new Float32Array(n), b = new Float32Array(n);
      for (let i = 0; i < n; i++) {
        a[i] = from.xs[i] + s * (xs[i] - from.xs[i]); b[i] = from.ys[i] + s * (ys[i] - from.ys[i]);
      }
      state.xs = a; state.ys = b;
    }
    if (!close || t === 1) fit();
    redraw();
    if (t < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

function nearest(p, reach) {
  let best = -1, least = reach * reach;
  if (!state.view || !state.data) return best;
  for (let i = 0; i < state.count; i++) {
    const dx = px(i) - p.x, dy = py(i) - p.y, d = dx * dx + dy * dy;
    if (d < least && shown(i)) { least = d; best = i; }
  }
  return best;
}
