// The map's canvas, part 1 of 5: what is known. gr.HTML runs all parts as one function, with element (the component),
// props (value, xy, marks, by, said, words), trigger, watch. Names come from people: they are only set as textContent.

// Okabe and Ito's colours without black, with wine, and grey for the rest. tests/test_map_colours.py measures how far
// apart they stay for people who see no red or green.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442", "#882255", "#c9c9c9"];
const REST = COLOURS.length - 1;
const state = { data: null, count: 0, xs: null, ys: null, order: null, by: "group", marks: { near: [] },
  hidden: new Set(), view: null, hover: -1, box: null, drag: null, thumbs: true, moving: 0, waiting: false };
const sprite = new Image();
const guest = new Image();  // a visitor's picture that is placed on the map
const find = (selector) => element.querySelector(selector);
const parse = (text) => { try { return JSON.parse(text); } catch { return null; } };
const words = () => state.words || {};
const say = (key, values) => Object.entries(values || {}).reduce(
  (text, [name, value]) => text.replaceAll("{" + name + "}", value), words()[key] || "");

// The number in the legend of each point.
function sort() {
  const few = state.data.groups.length <= COLOURS.length, kind = state.by === "kind";
  state.legend = Uint8Array.from(state.data.group, (group, i) =>
    kind ? +(i >= state.data.pictures) : few ? group : Math.min(group, REST));
}
const legendOf = (i) => state.legend[i];
const legendNames = () => {
  if (state.by === "kind") return [say("pictures"), say("texts")];
  const groups = state.data.groups;
  return groups.length <= COLOURS.length ? groups : [...groups.slice(0, REST), say("other_groups")];
};
const shown = (i) => !state.hidden.has(legendOf(i));
const isPicture = (i) => i < state.data.pictures;

function take(data) {
  state.data = data;
  state.count = data.names.length;
  state.wide = new Float32Array(state.count);  // of names as they are written, once that is known
  sort();
  // Who gets a thumbnail first: the same at every redraw, and of all groups.
  state.order = Uint32Array.from({ length: data.pictures }, (_, i) => i)
    .sort((a, b) => (a * 2654435761 >>> 0) - (b * 2654435761 >>> 0));
  if (data.sprite !== sprite.src) {
    sprite.onload = redraw;
    sprite.src = data.sprite;
    find(".cm-map").style.setProperty("--sprite", "url(" + data.sprite + ")");
  }
}
