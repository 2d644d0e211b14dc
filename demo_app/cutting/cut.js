// The canvas of cut-outs. gr.HTML runs this as one function, with element (the component), props (value, words), trigger,
// watch. A prompt is clicks [x, y, in it or not, which mask was chosen before], and a box; all in shares of the picture.
const MODES = ["add", "take", "box"], MOST = 20, STEP = 0.03;
const state = { data: null, mode: "add", choice: 0, cursor: [0.5, 0.5], drag: null, images: [], picture: new Image() };
const find = (selector) => element.querySelector(selector);
const parse = (text) => { try { return JSON.parse(text); } catch { return null; } };
const say = (key) => (parse(props.words) || {})[key] || "";
const canvas = () => find(".cm-cut-canvas");
const prompt = () => state.data ? state.data.prompt : { clicks: [], box: null };

function send(clicks, box) {
  trigger("prompt", { of: state.data.of, clicks: clicks.slice(-MOST), box });
}
function click(x, y, label) {
  if (!state.data || x < 0 || y < 0 || x > 1 || y > 1) return;
  const before = prompt().given ? prompt() : { clicks: [], box: null };
  send([...before.clicks, [x, y, label, state.choice]], before.box);
}
function undo() {
  const { clicks, box } = prompt();
  if (clicks.length) send(clicks.slice(0, -1), box);
  else send([], null);
}

const at = (e) => {
  const r = canvas().getBoundingClientRect();
  return [(e.clientX - r.left) / r.width, (e.clientY - r.top) / r.height];
};
function down(e) {
  if (!state.data || e.button > 0) return;
  const [x, y] = at(e);
  state.drag = { x, y, to: [x, y], far: false, touch: e.pointerType !== "mouse" };
  canvas().setPointerCapture(e.pointerId);
}
function move(e) {
  if (!state.drag) return;
  state.drag.to = at(e);
  const r = canvas().getBoundingClientRect();
  const [dx, dy] = [(state.drag.to[0] - state.drag.x) * r.width, (state.drag.to[1] - state.drag.y) * r.height];
  state.drag.far = state.drag.far || Math.hypot(dx, dy) > 8;
  draw();
}
function up(e) {
  const d = state.drag;
  state.drag = null;
  if (!d) return;
  if (d.far && (state.mode === "box" || !d.touch)) {
    const inside = (v) => Math.min(1, Math.max(0, v));
    const [x, y] = at(e).map(inside);
    send([], [Math.min(d.x, x), Math.min(d.y, y), Math.max(d.x, x), Math.max(d.y, y)]);
  } else if (!d.far && state.mode !== "box") click(d.x, d.y, state.mode === "take" || e.shiftKey ? 0 : 1);
  draw();
}
function key(e) {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const way = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[e.key];
  if (way) state.cursor = state.cursor.map((v, i) => Math.min(1, Math.max(0, v + way[i])));
  else if (e.key === "Enter" || e.key === "+") click(...state.cursor, state.mode === "take" && e.key === "Enter" ? 0 : 1);
  else if (e.key === "-") click(...state.cursor, 0);
  else if (e.key === "Backspace") undo();
  else if ("123".includes(e.key)) choose(+e.key - 1);
  else return;
  e.preventDefault();
  draw();
}

function outline(ctx, unit, x, y, w, h) {
  ctx.setLineDash([]); ctx.lineWidth = 4 * unit; ctx.strokeStyle = "white"; ctx.strokeRect(x, y, w, h);
  ctx.lineWidth = 2 * unit; ctx.strokeStyle = "#222"; ctx.setLineDash([6 * unit, 4 * unit]); ctx.strokeRect(x, y, w, h);
}
function draw() {
  const c = canvas(), data = state.data;
  if (!c || !data || !state.picture.complete) return;
  const k = Math.max(1, 640 / Math.max(data.w, data.h));  // a small picture is drawn larger, so that dots are round
  [c.width, c.height] = [Math.round(k * data.w), Math.round(k * data.h)];
  const ctx = c.getContext("2d"), mask = state.images[state.choice];
  ctx.scale(k, k);
  ctx.drawImage(state.picture, 0, 0, data.w, data.h);
  ctx.globalAlpha = 0.6;
  if (mask && mask.complete && mask.naturalWidth) ctx.drawImage(mask, 0, 0, data.w, data.h);
  ctx.globalAlpha = 1;
  const unit = Math.max(data.w, data.h) / 640;
  const box = state.drag && state.drag.far && (state.mode === "box" || !state.drag.touch)
    ? [state.drag.x, state.drag.y, ...state.drag.to] : prompt().box;
  if (box) outline(ctx, unit, box[0] * data.w, box[1] * data.h, (box[2] - box[0]) * data.w, (box[3] - box[1]) * data.h);
  ctx.setLineDash([]);
  for (const [x, y, label] of prompt().clicks) {
    ctx.beginPath(); ctx.arc(x * data.w, y * data.h, 9 * unit, 0, 7);
    ctx.fillStyle = label ? "#006644" : "#a31515"; ctx.fill();
    ctx.lineWidth = 2 * unit; ctx.strokeStyle = "white"; ctx.stroke();
    ctx.beginPath();
    ctx.moveTo((x * data.w) - 4 * unit, y * data.h); ctx.lineTo((x * data.w) + 4 * unit, y * data.h);
    if (label) { ctx.moveTo(x * data.w, (y * data.h) - 4 * unit); ctx.lineTo(x * data.w, (y * data.h) + 4 * unit); }
    ctx.stroke();
  }
  if (document.activeElement === c) {
    const [x, y] = [state.cursor[0] * data.w, state.cursor[1] * data.h];
    for (const [width, colour] of [[4 * unit, "white"], [2 * unit, "#222"]]) {
      ctx.lineWidth = width; ctx.strokeStyle = colour; ctx.beginPath();
      ctx.moveTo(x - 14 * unit, y); ctx.lineTo(x + 14 * unit, y); ctx.moveTo(x, y - 14 * unit); ctx.lineTo(x, y + 14 * unit);
      ctx.stroke();
    }
  }
}

function thumb(button, image) {
  const c = button.querySelector("canvas"), ctx = c.getContext("2d");
  [c.width, c.height] = [160, Math.max(20, Math.round(160 * state.data.h / state.data.w))];
  ctx.globalAlpha = 0.45; ctx.drawImage(state.picture, 0, 0, c.width, c.height);
  ctx.globalAlpha = 1; ctx.drawImage(image, 0, 0, c.width, c.height);
}
function choose(i) {
  if (!state.data || i >= state.data.masks.length) return;
  state.choice = i;
  find(".cm-cut-three").querySelectorAll("button").forEach((b, k) => b.setAttribute("aria-checked", k === i));
  draw();
}
function three() {
  const list = find(".cm-cut-three");
  list.replaceChildren(...state.data.masks.map((address, i) => {
    const button = document.createElement("button"), c = document.createElement("canvas"), image = state.images[i];
    button.type = "button"; button.setAttribute("role", "radio");
    c.setAttribute("aria-hidden", "true");
    const iou = state.data.iou[i];
    button.append(c, `${i + 1}: ${iou === null ? "" : iou.toFixed(2)}`);
    button.setAttribute("aria-label", `${say("mask")} ${i + 1}, ${say("iou")} ${iou === null ? "?" : iou.toFixed(2)}`);
    button.addEventListener("click", () => choose(i));
    image.onload = () => { thumb(button, image); draw(); };
    image.src = address;
    return button;
  }));
  choose(0);
}
function save() {
  const data = state.data, c = document.createElement("canvas"), ctx = c.getContext("2d"), link = document.createElement("a");
  [c.width, c.height] = [data.w, data.h];
  ctx.drawImage(state.images[state.choice], 0, 0, data.w, data.h);
  ctx.globalCompositeOperation = "source-in";
  ctx.drawImage(state.picture, 0, 0, data.w, data.h);
  link.href = c.toDataURL("image/png"); link.download = "cutout.png"; link.click();
}

function mode(name) {
  state.mode = name;
  canvas().dataset.mode = name;
  find(".cm-cut-modes").querySelectorAll("button").forEach(
    (b) => b.setAttribute("aria-checked", b.dataset.mode === name));
}
function speak() {
  canvas().setAttribute("aria-label", say("canvas"));
  find(".cm-cut-bar").setAttribute("aria-label", say("tools"));
  find(".cm-cut-modes").setAttribute("aria-label", say("modes"));
  find(".cm-cut-three").setAttribute("aria-label", say("three"));
  find(".cm-cut-undo").textContent = say("undo");
  find(".cm-cut-clear").textContent = say("clear");
  find(".cm-cut-save").textContent = say("save");
  find(".cm-cut-modes").replaceChildren(...MODES.map((name) => {
    const button = document.createElement("button");
    button.type = "button"; button.setAttribute("role", "radio"); button.dataset.mode = name;
    button.textContent = say(name);
    button.addEventListener("click", () => mode(name));
    return button;
  }));
  mode(state.mode);
}
function fresh() {
  start();
  const data = parse(props.value);
  find(".cm-cut-three").hidden = !data;
  for (const name of ["undo", "clear"]) find(`.cm-cut-${name}`).disabled = !(data && data.prompt.given);
  find(".cm-cut-save").disabled = !data;
  find(".cm-cut-said").textContent = data ? data.said : "";
  state.data = data;
  if (!data) return;
  state.images = data.masks.map(() => new Image());
  if (state.picture.src !== data.picture) {
    state.picture = new Image();
    state.picture.onload = () => { three(); draw(); };
    state.picture.src = data.picture;
  } else three();
}
function start() {
  const c = canvas();
  if (!c || c.dataset.ready) return;
  c.dataset.ready = "1";
  c.addEventListener("pointerdown", down);
  c.addEventListener("pointermove", move);
  c.addEventListener("pointerup", up);
  c.addEventListener("pointercancel", () => { state.drag = null; draw(); });
  c.addEventListener("contextmenu", (e) => { e.preventDefault(); click(...at(e), 0); });
  c.addEventListener("keydown", key);
  for (const kind of ["focus", "blur"]) c.addEventListener(kind, draw);
  find(".cm-cut-undo").addEventListener("click", undo);
  find(".cm-cut-clear").addEventListener("click", () => send([], null));
  find(".cm-cut-save").addEventListener("click", save);
  speak();
}
start();
watch("words", speak);
watch("value", fresh);
