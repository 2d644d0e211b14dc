// Part 3 of 5: drawing. Dots are written into ImageData; a thumbnail stands where its place is free, then words.
const GRID = 4;  // pixels of a cell of the table of what is taken
let pixels = null, ink32 = null, taken = null, table = { w: 0, h: 0, ox: 0, oy: 0 };
const stamps = new Map();

function redraw() {
  if (state.waiting) return;
  state.waiting = true;
  requestAnimationFrame(() => { state.waiting = false; draw(); });
}

function draw() {
  const c = find(".cm-map-canvas");
  if (!c || !state.data || !state.xs || state.count !== state.data.names.length || !c.clientWidth) return;
  if (!state.view) fit();
  const ratio = window.devicePixelRatio || 1, { w, h } = size(), W = Math.round(w * ratio), H = Math.round(h * ratio);
  const g = c.getContext("2d");
  if (c.width !== W || c.height !== H || !pixels) {
    c.width = W; c.height = H;
    pixels = g.createImageData(W, H); ink32 = new Uint32Array(pixels.data.buffer);
  }
  dots(W, H, ratio);
  g.putImageData(pixels, 0, 0);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  const theme = getComputedStyle(element), ink = theme.color;
  const ground = theme.getPropertyValue("--background-fill-primary").trim() || "#fff";
  clearTable(w, h);
  const named = placeTitles(g, w, h);
  const pictures = state.thumbs ? thumbs(g, w, h) : [];
  labels(g, w, h, ink, ground, pictures);
  named.forEach((t) => pill(g, t, ink, ground));
  marks(g, ink);
  inView();
}

// ---- dots: a filled disc for a picture, a hollow diamond for a word ----
function stamp(kind, r) {
  const key = kind + r;
  if (stamps.has(key)) return stamps.get(key);
  const found = [];
  for (let y = -Math.ceil(r) - 1; y <= r + 1; y++) for (let x = -Math.ceil(r) - 1; x <= r + 1; x++) {
    const d = kind === "disc" ? Math.hypot(x, y) : (Math.abs(x) + Math.abs(y)) / 1.3;
    if (d > r + 0.3) continue;
    const edge = d > r - 0.75 * Math.max(1, r / 4);
    if (kind === "diamond" && d < r * 0.45) continue;  // hollow
    found.push(x, y, edge ? 1 : 0);
  }
  const offsets = Int16Array.from(found);
  stamps.set(key, offsets);
  return offsets;
}
function abgr(hex, shade, alpha) {
  const part = (at) => Math.round(parseInt(hex.slice(at, at + 2), 16) * shade);
  return ((alpha << 24) | (part(5) << 16) | (part(3) << 8) | part(1)) >>> 0;
}
// Whether all but what is marked steps back; a visitor's picture, placed when the map is opened, leaves it as it is.
const dims = () => !state.marks.quiet && (state.marks.near.length > 0 || Boolean(state.marks.query));

function dots(W, H, ratio) {
  ink32.fill(0);
  const near = new Set(state.marks.near), dim = dims();
  const r = (state.count > 20000 ? 1.5 : state.count > 6000 ? 2.2 : 2.8) * ratio;
  const fill = COLOURS.map((c) => abgr(c, 1, dim ? 70 : 235)), edge = COLOURS.map((c) => abgr(c, 0.6, dim ? 70 : 255));
  const full = COLOURS.map((c) => abgr(c, 1, 255)), rim = COLOURS.map((c) => abgr(c, 0.55, 255));
  const shapes = [stamp("diamond", r), stamp("disc", r)], big = [stamp("diamond", r * 1.6), stamp("disc", r * 1.6)];
  const v = state.view, sx = v.scale * ratio, ox = v.x * ratio, oy = v.y * ratio, reach = Math.ceil(r) + 1;
  const pictures = state.data.pictures, { xs, ys, count, legend } = state, off = COLOURS.map((_, k) => state.hidden.has(k));
  for (let i = 0; i < count; i++) {
    const x = Math.round(ox + sx * xs[i]), y = Math.round(oy - sx * ys[i]);
    if (x < -reach || y < -reach || x >= W + reach || y >= H + reach) continue;
    const k = legend[i];
    if (off[k]) continue;
    put(shapes[+(i < pictures)], x, y, W, H, fill[k], edge[k], reach);
  }
  near.forEach((i) => {
    if (i >= state.count || !shown(i)) return;
    const k = legendOf(i), x = Math.round(ox + sx * state.xs[i]), y = Math.round(oy - sx * state.ys[i]);
    put(big[+(i < pictures)], x, y, W, H, full[k], rim[k], 2 * reach);
  });
}
function put(offsets, x, y, W, H, fill, edge, reach) {
  const inside = x >= reach && y >= reach && x < W - reach && y < H - reach;
  for (let o = 0; o < offsets.length; o += 3) {
    const u = x + offsets[o], v = y + offsets[o + 1];
    if (inside || (u >= 0 && v >= 0 && u < W && v < H)) ink32[v * W + u] = offsets[o + 2] ? edge : fill;
  }
}

// ---- what is taken: a table that moves with the map, so that thumbnails do not jump while it is dragged ----
function clearTable(w, h) {
  const shift = (a) => ((a % GRID) + GRID) % GRID - GRID;
  table = { w: Math.ceil(w / GRID) + 22, h: Math.ceil(h / GRID) + 22, ox: shift(state.view.x) - 10 * GRID,
    oy: shift(state.view.y) - 10 * GRID };
  if (!taken || taken.length !== table.w * table.h) taken = new Uint8Array(table.w * table.h); else taken.fill(0);
}
function room(x, y, w, h, force) {
  const cut = (a, o, most) => Math.min(Math.max(Math.floor((a - o) / GRID), 0), most - 1);
  const x0 = cut(x, table.ox, table.w), x1 = cut(x + w, table.ox, table.w), y0 = cut(y, table.oy, table.h);
  const y1 = cut(y + h, table.oy, table.h);
  if (!force) for (let v = y0; v <= y1; v++) for (let u = x0; u <= x1; u++) if (taken[v * table.w + u]) return false;
  for (let v = y0; v <= y1; v++) taken.fill(1, v * table.w + x0, v * table.w + x1 + 1);
  return true;
}

// ---- thumbnails ----
function thumbs(g, w, h) {
  if (!sprite.complete || !sprite.naturalWidth) return [];
  const side = Math.round(Math.min(48, 26 + 3 * Math.log2(Math.max(closeness(), 1)) + (state.data.own ? 12 : 0)));
  const near = new Set(state.marks.near), dim = dims(), found = [], half = side / 2;
  const one = (i) => {
    const x = px(i), y = py(i);
    if (x < -half || y < -half || x > w + half || y > h + half || !shown(i)) return;
    if (!room(x - half - 1, y - half - 1, side + 2, side + 2)) return;
    g.globalAlpha = dim && !near.has(i) ? 0.35 : 1;
    g.fillStyle = COLOURS[legendOf(i)];
    g.fillRect(x - half - 1.5, y - half - 1.5, side + 3, side + 3);
    cell(g, i, x - half, y - half, side);
    found.push([i, x, y + half]);
  };
  state.marks.near.forEach((i) => { if (i < state.data.pictures) one(i); });
  for (const i of state.order) if (!near.has(i)) one(i);
  g.globalAlpha = 1;
  return found;
}
function cell(g, i, x, y, side) {
  const a = state.data.cell, row = Math.floor(i / state.data.columns), column = i % state.data.columns;
  g.drawImage(sprite, column * a, row * a, a, a, x, y, side, side);
}

// ---- words ----
const WORDS = 160, TRIED = 2000;  // most in a picture, most that are looked at
// The middle of what is written must be so far from the edges that all of it is seen.
const within = (x, wide, w) => wide > w ? w / 2 : Math.min(Math.max(x, wide / 2 + 2), w - wide / 2 - 2);
const short = (text) => text.length > 24 ? text.slice(0, 23) + "…" : text;
function written(g, text, x, y, ink, ground) {
  g.lineWidth = 3; g.strokeStyle = ground; g.strokeText(text, x, y);
  g.fillStyle = ink; g.fillText(text, x, y);
}
function labels(g, w, h, ink, ground, pictures) {
  g.font = "12px system-ui, sans-serif"; g.textBaseline = "middle"; g.textAlign = "center"; g.lineJoin = "round";
  const near = state.marks.near, chosen = new Set(near), dim = dims();
  let many = 0, tried = 0;
  const width = (i) => state.wide[i] || (state.wide[i] = g.measureText(short(state.data.names[i])).width);
  const under = ([i, at, y]) => {
    const wide = width(i), x = within(at, wide, w);
    if (room(x - wide / 2, y + 4, wide, 10)) { written(g, short(state.data.names[i]), x, y + 9, ink, ground); many++; }
  };
  const word = (i) => {
    const at = px(i), y = py(i);
    if (at < 0 || y < 0 || at > w || y > h || !shown(i)) return;
    const wide = width(i), x = within(at, wide, w);
    tried++;
    if (!room(x - wide / 2, y - 17, wide, 10)) return;
    g.globalAlpha = dim && !chosen.has(i) ? 0.5 : 1;
    written(g, short(state.data.names[i]), x, y - 11, ink, ground); many++;
    g.globalAlpha = 1;
  };
  near.slice(0, 40).forEach((i) => { if (i < state.count && !isPicture(i)) word(i); });
  if (state.data.own || closeness() > 5) pictures.slice(0, 120).forEach(under);
  if (closeness() > 2.5 || state.count - state.data.pictures < 40)
    for (let i = state.data.pictures; i < state.count && many < WORDS && tried < TRIED; i++) if (!chosen.has(i)) word(i);
}
function placeTitles(g, w, h) {
  const levels = state.data.titles && state.data.titles[state.name];
  if (!levels || state.by === "kind" || dims()) return [];
  const big = closeness() < 1.8 && levels.big && levels.big.length, list = big ? levels.big : levels.fine || [];
  const tall = big ? 22 : 19, found = [];
  g.font = (big ? "600 14px" : "600 12px") + " system-ui, sans-serif";
  for (const [x0, y0, text] of list) {
    const wide = g.measureText(text).width + 14, y = state.view.y - state.view.scale * y0;
    const at = state.view.x + state.view.scale * x0, x = within(at, wide, w);
    if (at < 0 || y < 0 || at > w || y > h) continue;
    if (room(x - wide / 2, y - tall / 2, wide, tall)) found.push({ x, y, wide, tall, text, font: g.font });
  }
  return found;
}
function pill(g, t, ink, ground) {
  g.font = t.font; g.textBaseline = "middle"; g.textAlign = "center";
  g.globalAlpha = 0.9; g.fillStyle = ground; g.strokeStyle = ink; g.lineWidth = 1;
  g.beginPath(); g.roundRect(t.x - t.wide / 2, t.y - t.tall / 2, t.wide, t.tall, t.tall / 2); g.fill();
  g.globalAlpha = 0.45; g.stroke(); g.globalAlpha = 1;
  g.fillStyle = ink; g.fillText(t.text, t.x, t.y + 0.5);
}

// ---- what is marked ----
function ring(g, x, y, r, ink) {
  g.strokeStyle = ink; g.lineWidth = 2; g.beginPath(); g.arc(x, y, r, 0, 7); g.stroke();
}
function marks(g, ink) {
  if (state.hover >= 0 && state.hover < state.count) ring(g, px(state.hover), py(state.hover), 11, ink);
  const own = state.marks.own;
  if (own >= 0 && own < state.count) ring(g, px(own), py(own), 19, "#d62728");
  if (state.marks.query) cross(g, state.marks.query, ink);
  if (state.box) {
    g.strokeStyle = ink; g.lineWidth = 1; g.setLineDash([4, 3]);
    g.strokeRect(state.box.x, state.box.y, state.box.w, state.box.h); g.setLineDash([]);
  }
}
function cross(g, at, ink) {
  const x = state.view.x + state.view.scale * at[0], y = state.view.y - state.view.scale * at[1];
  if (guest.src && guest.complete && guest.naturalWidth && state.marks.thumb) {
    g.fillStyle = "#d62728"; g.fillRect(x - 25, y - 25, 50, 50);
    g.fillStyle = "#fff"; g.fillRect(x - 22, y - 22, 44, 44);
    const f = 44 / Math.max(guest.naturalWidth, guest.naturalHeight);
    const w = guest.naturalWidth * f, h = guest.naturalHeight * f;
    g.drawImage(guest, x - w / 2, y - h / 2, w, h);
  } else for (const [width, colour] of [[6, "#fff"], [3, "#d62728"]]) {
    g.strokeStyle = colour; g.lineWidth = width; g.beginPath();
    g.moveTo(x - 10, y); g.lineTo(x + 10, y); g.moveTo(x, y - 10); g.lineTo(x, y + 10); g.stroke();
  }
  const text = short(state.marks.label || "");
  g.font = "600 13px system-ui, sans-serif"; g.textBaseline = "middle"; g.textAlign = "center";
  const down = state.marks.thumb ? 36 : 20, wide = g.measureText(text).width + 14;
  pill(g, { x: within(x, wide, size().w), y: y + down, wide, tall: 20, text, font: g.font }, ink,
    getComputedStyle(element).getPropertyValue("--background-fill-primary").trim() || "#fff");
}
