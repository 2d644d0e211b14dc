// The map of what is alike: drawings (discs, or thumbnails) and words (diamonds), and the film of a training.

import { el, later, say, tell } from "../ui/dom.js";
import { ask } from "../ui/model.js";
import { dot } from "../core/classify.js";

// Okabe and Ito's colours without black, with wine, and grey for the rest, as in the app.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442", "#882255", "#c9c9c9"];
const NEAR = 8, MOST_ZOOM = 40, THUMBS_FROM = 2.2, NAMES_FROM = 3;  // neighbours, times the whole map

// Places (x, y) of n points from whole numbers.
const spreadOut = (numbers, most) => Float32Array.from(numbers, (value) => value / most);

async function load() {
  const [said, bytes] = await Promise.all([fetch("map/map.json").then((a) => a.json()),
    fetch("map/places.bin").then((a) => a.arrayBuffer())]);
  const n = said.same ? 2 * said.pictures : said.names.length, whole = 4 * n;
  const names = said.same ? [...said.names, ...said.names] : said.names;
  const group = said.same ? [...said.group, ...said.group] : said.group;
  const frames = said.steps.map((_, i) => spreadOut(new Uint8Array(bytes, 2 * whole + i * 2 * n, 2 * n), 255));
  const image = new Image();
  image.src = "map/thumbnails.webp";
  await image.decode();
  const alike = spreadOut(new Uint16Array(bytes, 0, 2 * n), 65535);
  const gap = spreadOut(new Uint16Array(bytes, whole, 2 * n), 65535);
  const frame = { alike: bounds([alike]), gap: bounds([gap]), film: bounds(frames) };
  return { ...said, n, names, group, image, frames, alike, gap, frame };
}

// The box around all places: least x and y, width and height.
function bounds(all) {
  const low = [1, 1], high = [0, 0];
  for (const places of all) places.forEach((value, i) => {
    low[i & 1] = Math.min(low[i & 1], value);
    high[i & 1] = Math.max(high[i & 1], value);
  });
  return { low, wide: Math.max(1e-6, high[0] - low[0]), tall: Math.max(1e-6, high[1] - low[1]) };
}

export function room(panel, page) {
  const canvas = el("canvas", { class: "map", tabIndex: 0, l: "map_canvas" }), context = canvas.getContext("2d");
  canvas.setAttribute("role", "img");
  const said = el("p", { role: "status" }), near = el("ol", { class: "near" });
  const kind = el("select", { l: "map_kind" }), step = el("input", { type: "range", min: 0, value: 0, l: "map_step" });
  const moment = el("output"), play = el("button", { t: "map_play", type: "button", class: "quiet" });
  const film = el("div", { class: "row film", hidden: true }, play, step, moment);
  const words = el("input", { type: "search", p: "map_find", l: "map_find", spellcheck: false });
  const button = (key, text, onclick) => el("button", { l: key, type: "button", class: "quiet", onclick }, text);
  panel.append(el("p", { class: "minor", t: "map_about" }), el("div", { class: "row" }, kind, words,
    button("zoom_in", "+", () => zoom(1.5)), button("zoom_out", "−", () => zoom(1 / 1.5)),
    button("zoom_home", "⌂", home)), film, canvas, said, near);
  let data = null, places = null, view = { scale: 1, x: 0, y: 0 }, hover = -1, marked = [], star = null, texts = null;
  let animation = 0, playing = 0;

  const size = () => [canvas.clientWidth, canvas.clientHeight];
  let frame = null;  // of the places that are shown: measured when they are drawn
  function measure() {
    const [w, h] = size(), box = data.frame[kind.value],
      unit = view.scale * Math.min(w / box.wide, h / box.tall) * 0.92;
    frame = { unit, x: view.x + w / 2 - unit * (box.low[0] + box.wide / 2),
      y: view.y + h / 2 + unit * (box.low[1] + box.tall / 2) };
  }
  const px = (i) => frame.x + frame.unit * places[2 * i];
  const py = (i) => frame.y - frame.unit * places[2 * i + 1];
  function home() { view = { scale: 1, x: 0, y: 0 }; draw(); }
  function zoom(factor, [x, y] = size().map((n) => n / 2)) {
    const scale = Math.min(MOST_ZOOM, Math.max(0.8, view.scale * factor)), f = scale / view.scale, [w, h] = size();
    view = { scale, x: x - w / 2 - (x - w / 2 - view.x) * f, y: y - h / 2 - (y - h / 2 - view.y) * f };
    draw();
  }

  async function open() {
    if (data || !page.config().map) return;
    data = await load();
    kind.replaceChildren(...["alike", "gap", ...(data.steps.length ? ["film"] : [])]
      .map((name) => el("option", { value: name, t: `map_${name}` })));
    step.max = data.steps.length - 1;
    places = data.alike;
    draw();
    place();
  }

  // Points walk to their new places, or are there at once for who wants no motion.
  function walk(to) {
    cancelAnimationFrame(animation);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) { places = to; return draw(); }
    const from = places, begin = performance.now();
    const move = (now) => {
      const t = Math.min(1, (now - begin) / 500), s = t * t * (3 - 2 * t);
      places = t === 1 ? to : from.map((value, i) => value + s * (to[i] - value));
      draw();
      if (t < 1) animation = requestAnimationFrame(move);
    };
    animation = requestAnimationFrame(move);
  }
  function showStep() {
    moment.textContent = say("map_at_step", { n: data.steps[step.value] });
    step.setAttribute("aria-valuetext", moment.textContent);
    walk(data.frames[step.value]);
  }
  const stop = () => { clearInterval(playing); playing = 0; play.textContent = say("map_play"); };
  kind.onchange = () => {
    stop();
    film.hidden = kind.value !== "film";
    if (kind.value === "film") { step.value = 0; showStep(); } else walk(data[kind.value]);
  };
  step.oninput = () => { stop(); showStep(); };
  play.onclick = () => {
    if (playing) return stop();
    if (+step.value === data.steps.length - 1) step.value = -1;
    const next = () => {
      step.value = +step.value + 1;
      showStep();
      if (+step.value === data.steps.length - 1) stop();
    };
    playing = setInterval(next, 1000);
    play.textContent = say("map_stop");
    next();
  };

  function draw() {
    const [w, h] = size(), ratio = devicePixelRatio || 1;
    if (!data || !w) return;
    measure();
    [canvas.width, canvas.height] = [w * ratio, h * ratio];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    canvas.style.touchAction = view.scale > 1.01 ? "none" : "pan-y";  // else one finger scrolls the page
    const style = getComputedStyle(panel), ink = style.color, thumbs = view.scale >= THUMBS_FROM;
    const radius = Math.min(5, 1.6 + 0.7 * view.scale), side = Math.min(2 * data.side, 10 * Math.sqrt(view.scale));
    const bright = new Set(marked), dim = bright.size > 0;
    for (let i = data.n - 1; i >= 0; i--) {
      const x = px(i), y = py(i);
      if (x < -side || y < -side || x > w + side || y > h + side) continue;
      context.globalAlpha = dim && !bright.has(i) ? 0.25 : 1;
      context.fillStyle = context.strokeStyle = COLOURS[Math.min(data.group[i], COLOURS.length - 1)];
      if (i < data.pictures && thumbs) thumbnail(i, x, y, side);
      else if (i < data.pictures) { context.beginPath(); context.arc(x, y, radius, 0, 7); context.fill(); }
      else { context.lineWidth = 1; context.save(); context.translate(x, y); context.rotate(Math.PI / 4);
        context.strokeRect(-radius * 0.7, -radius * 0.7, radius * 1.4, radius * 1.4); context.restore(); }
    }
    context.globalAlpha = 1;
    if (view.scale >= NAMES_FROM && !dim) nameWords(radius, ink, w, h);
    for (const i of marked) label(i, ink, style.backgroundColor);
    if (hover >= 0) label(hover, ink, style.backgroundColor);
    if (star && kind.value !== "film") drawStar(ink);  // the film is of another model
  }
  // Words close up, where there is room for them.
  function nameWords(radius, ink, w, h) {
    const taken = [];
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = ink;
    for (let i = data.pictures; i < data.n; i++) {
      const x = px(i) + radius + 2, y = py(i), wide = context.measureText(data.names[i]).width;
      if (x < 0 || y < 8 || x + wide > w || y > h - 4) continue;
      if (taken.some(([left, top, right]) => Math.abs(top - y) < 14 && x < right + 4 && left < x + wide + 4)) continue;
      taken.push([x, y, x + wide]);
      context.fillText(data.names[i], x, y + 4);
    }
  }
  function thumbnail(i, x, y, side) {
    const s = data.side, column = i % data.columns, row = Math.floor(i / data.columns);
    context.drawImage(data.image, column * s, row * s, s, s, x - side / 2, y - side / 2, side, side);
  }
  function label(i, ink, ground) {
    const [w] = size(), x = px(i), y = py(i), text = data.names[i];
    context.font = "13px system-ui, sans-serif";
    const wide = context.measureText(text).width + 10, left = Math.max(2, Math.min(w - wide - 2, x + 8));
    if (i < data.pictures) thumbnail(i, x, y, 28);
    context.fillStyle = ground;
    context.globalAlpha = 0.9;
    context.fillRect(left, y - 10, wide, 20);
    context.globalAlpha = 1;
    context.fillStyle = ink;
    context.fillText(text, left + 5, y + 5);
  }
  function drawStar(ink) {
    const at = (axis) => star.reduce((sum, { i, weight }) => sum + weight * (axis ? py(i) : px(i)), 0);
    context.font = "bold 30px system-ui";
    context.textAlign = "center";
    context.strokeStyle = ink;
    context.lineWidth = 3;
    context.fillStyle = "#f0e442";
    context.strokeText("★", at(0), at(1) + 10);
    context.fillText("★", at(0), at(1) + 10);
    context.textAlign = "start";
  }

  // All names of the map, the nearest to a vector first.
  async function nearestNames(vector) {
    texts ||= await ask("texts", [data.names.slice(data.pictures), "{}"]);
    return texts.map((text, k) => ({ i: data.pictures + k, cosine: dot(text, vector) }))
      .sort((a, b) => b.cosine - a.cosine);
  }

  // The picture stands between the words that are nearest to it.
  async function place() {
    const picture = page.picture();
    if (!data || !picture?.read) {
      star = null;
      near.replaceChildren();
      return draw();
    }
    await page.attempt(said, async () => {
      tell(said, "map_reading");
      const rows = (await nearestNames(picture.read.vector)).slice(0, NEAR);
      const powers = rows.map(({ cosine }) => Math.exp(page.config().scale * (cosine - rows[0].cosine)));
      const sum = powers.reduce((a, b) => a + b, 0);
      star = rows.map(({ i }, k) => ({ i, weight: powers[k] / sum }));
      tell(said, "map_placed", { name: picture.name });
      near.replaceChildren(...rows.map(({ i, cosine }) => el("li", {}, data.names[i], el("span", { class: "minor" },
        ` ${say("cosine_is", { cosine: cosine.toFixed(3) })}`))));
    });
    draw();
  }

  function nearest(event) {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = -1, least = 15 * 15;
    for (let i = 0; i < data.n; i++) {
      const d = (px(i) - x) ** 2 + (py(i) - y) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }
  function mark(wanted, key = "map_found") {
    marked = wanted.slice(0, 12);
    tell(said, key, { names: [...new Set(marked.map((i) => data.names[i]))].join(", "), text: words.value.trim() });
    draw();
  }
  // Names that have the text, or else those that mean something near to it, in any language that the model reads.
  words.oninput = later(async () => {
    const text = words.value.trim().toLowerCase();
    if (!data) return;
    if (!text) { marked = []; return place(); }
    const found = data.names.flatMap((name, i) => name.toLowerCase().includes(text) ? [i] : []);
    if (found.length) return mark(found);
    await page.attempt(said, async () => {
      const [vector] = await ask("texts", [[words.value.trim()], "{}"]), rows = await nearestNames(vector);
      if (text === words.value.trim().toLowerCase()) mark(rows.slice(0, 5).map(({ i }) => i), "map_means");
    });
  });

  const fingers = new Map();
  canvas.onpointerdown = (event) => { fingers.set(event.pointerId, [event.clientX, event.clientY, 0]); };
  canvas.onpointermove = (event) => {
    if (!data) return;
    const before = fingers.get(event.pointerId);
    if (!before) { hover = nearest(event); return draw(); }
    const now = [event.clientX, event.clientY], moved = Math.hypot(now[0] - before[0], now[1] - before[1]);
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const closer = view.scale > 1.01;
    if (other) {
      const box = canvas.getBoundingClientRect(), far = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
      zoom(far(now) / far(before), [(now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top]);
    } else if (closer || event.pointerType === "mouse") {
      view = { ...view, x: view.x + now[0] - before[0], y: view.y + now[1] - before[1] };
      draw();
    }
    fingers.set(event.pointerId, [...now, before[2] + moved]);
  };
  canvas.onpointerup = (event) => {
    const held = fingers.get(event.pointerId);
    fingers.delete(event.pointerId);
    if (!data || !held || held[2] > 6) return;
    const i = nearest(event);
    if (i >= 0) mark(data.names.flatMap((name, k) => name === data.names[i] ? [k] : []));
    else { marked = []; draw(); }
  };
  canvas.onpointercancel = canvas.onpointerleave = (event) => { fingers.delete(event.pointerId); hover = -1; draw(); };
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && view.scale <= 1 && event.deltaY > 0) return;  // the page scrolls on
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), [event.offsetX, event.offsetY]);
  }, { passive: false });
  canvas.onkeydown = (event) => {
    const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    if (step) view = { ...view, x: view.x + step[0], y: view.y + step[1] };
    else if (event.key === "+" || event.key === "-") return zoom(event.key === "+" ? 1.5 : 1 / 1.5);
    else if (event.key === "Home") view = { scale: 1, x: 0, y: 0 };
    else return;
    event.preventDefault();
    draw();
  };
  new ResizeObserver(draw).observe(canvas);
  return {
    shown: () => page.attempt(said, async () => { await open(); draw(); }),
    ready: () => { if (!panel.hidden) open(); },
    picture: () => { if (data) place(); },
    language() {
      if (!data) return;
      moment.textContent = say("map_at_step", { n: data.steps[step.value] ?? 0 });
      if (star) place(); else draw();
    },
  };
}
