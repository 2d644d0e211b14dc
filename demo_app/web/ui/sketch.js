// A dialog to draw in: colours, three widths, undo. White paper, as the drawings of the training have it.

import { el, say } from "./dom.js";

const SIDE = 480, WIDTHS = [6, 16, 40];
const COLOURS = { black: "#111111", red: "#dc2626", orange: "#f59e0b", yellow: "#fde047", green: "#16a34a",
  blue: "#2563eb", purple: "#7c3aed", pink: "#f472b6", brown: "#92400e", grey: "#9ca3af", white: "#ffffff" };

// -> a PNG File, or null where the dialog was closed.
export async function sketch() {
  const canvas = el("canvas", { width: SIDE, height: SIDE, class: "paper", l: "paper", tabIndex: 0 });
  canvas.setAttribute("role", "img");
  const context = canvas.getContext("2d"), steps = [];
  let colour = COLOURS.black, width = WIDTHS[1], last = null;
  const clear = () => { context.fillStyle = "#fff"; context.fillRect(0, 0, SIDE, SIDE); };
  clear();
  const chosen = (group, button) =>
    [...group.children].forEach((one) => one.setAttribute("aria-pressed", one === button));
  const colours = el("div", { class: "row", role: "group", l: "colour" },
    ...Object.entries(COLOURS).map(([name, value]) => {
      const button = el("button", { type: "button", class: "swatch", l: `colour_${name}`,
        onclick: () => { colour = value; chosen(colours, button); } });
      button.style.background = value;
      return button;
    }));
  const widths = el("div", { class: "row", role: "group", l: "pen" }, ...WIDTHS.map((size, i) => {
    const button = el("button", { type: "button", class: "quiet", l: `pen_${i}`,
      onclick: () => { width = size; chosen(widths, button); } }, el("span", { class: `dot dot-${i}` }));
    return button;
  }));
  chosen(colours, colours.firstChild);
  chosen(widths, widths.children[1]);
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * SIDE / box.width, (event.clientY - box.top) * SIDE / box.height];
  };
  function line(to) {
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = width;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...to);
    context.stroke();
    last = to;
  }
  const keep = () => { steps.push(context.getImageData(0, 0, SIDE, SIDE)); if (steps.length > 30) steps.shift(); };
  let pen = null;  // one finger draws
  canvas.onpointerdown = (event) => {
    if (pen !== null || event.button) return;
    pen = event.pointerId;
    keep();
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    line(last);
  };
  canvas.onpointermove = (event) => {
    if (event.pointerId !== pen) return;
    const all = event.getCoalescedEvents?.() || [];  // what came since the last frame, where the browser keeps it
    for (const one of all.length ? all : [event]) line(place(one));
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => { if (event.pointerId === pen) pen = null; };
  const undo = () => { const before = steps.pop(); if (before) context.putImageData(before, 0, 0); };
  let taken = false;
  const dialog = el("dialog", { l: "draw" }, canvas, colours, el("div", { class: "row" }, widths,
    el("button", { t: "undo", type: "button", class: "quiet", onclick: undo }),
    el("button", { t: "clear", type: "button", class: "quiet", onclick: () => { keep(); clear(); } }),
    el("button", { t: "use_drawing", type: "button", class: "first",
      onclick: () => { taken = true; dialog.close(); } }),
    el("button", { t: "close", type: "button", class: "quiet", onclick: () => dialog.close() })));
  const asked = el("p", { role: "status", class: "minor" });
  dialog.append(asked);
  dialog.oncancel = (event) => {  // a drawing is not thrown away by one key
    if (!steps.length || asked.textContent) return;
    event.preventDefault();
    asked.textContent = say("drawing_kept");
  };
  document.body.append(dialog);
  dialog.showModal();
  await new Promise((resolve) => { dialog.onclose = resolve; });
  dialog.remove();
  if (!taken) return null;
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], say("drawing"), { type: "image/png" });
}
