// The page: language, loading, the picture that all rooms look at, and the rooms, each a file in rooms/.

import { LANGUAGES, el, loadTexts, megabytes, problemText, say, speak, spoken } from "./ui/dom.js";
import { ask, load } from "./ui/model.js";
import { onPaste, source } from "./ui/source.js";
import * as classify from "./rooms/classify.js";
import * as where from "./rooms/where.js";
import * as search from "./rooms/search.js";
import * as map from "./rooms/map.js";
import * as teach from "./rooms/teach.js";

const ROOMS = { classify, where, search, map, teach };
const find = (id) => document.getElementById(id);
const state = { config: null, picture: null, chosen: 0 };
const rooms = {};

// What a room may ask of the page.
const page = {
  config: () => state.config,
  picture: () => state.picture,
  // Waits for the model, and shows what goes wrong where `said` is; false where it did.
  async attempt(said, made) {
    if (!state.config) { said.textContent = say("load_first"); return false; }
    try {
      said.textContent = "";
      said.classList.remove("bad");
      await made();
      return true;
    } catch (problem) {
      said.textContent = problemText(problem);
      said.classList.add("bad");
      return false;
    }
  },
};

async function takePicture([file]) {
  const turn = ++state.chosen, image = find("preview"), said = find("picture-said");
  if (state.picture) URL.revokeObjectURL(state.picture.url);
  state.picture = { file, url: URL.createObjectURL(file), name: file.name || say("picture"), read: null };
  image.src = state.picture.url;
  image.alt = state.picture.name;
  image.hidden = false;
  said.textContent = state.config ? "" : say("load_first");
  if (!state.config) return;
  const picture = state.picture;
  if (await page.attempt(said, async () => { picture.read = await ask("picture", [file]); }) && turn === state.chosen)
    pictureRead();
  else if (turn === state.chosen) {
    image.hidden = true;
    for (const room of Object.values(rooms)) room.picture?.(null);
  }
}

function pictureRead() {
  const { read } = state.picture, seen = find("seen");
  find("picture-said").textContent = say("picture_size", { width: read.width, height: read.height });
  seen.width = read.seen.width;
  seen.height = read.seen.height;
  seen.getContext("2d").putImageData(read.seen, 0, 0);
  find("seen-figure").hidden = false;
  for (const room of Object.values(rooms)) room.picture?.(state.picture);
}

async function loadModel() {
  const button = find("load"), bar = find("load-progress"), said = find("load-said"), begin = performance.now();
  button.disabled = true;
  bar.hidden = false;
  try {
    const { model } = await (await fetch("sizes.json")).json();
    state.config = await load((bytes) => {
      bar.value = Math.min(1, bytes / model);
      said.textContent = say("loading", { done: megabytes(bytes), all: megabytes(model) });
    });
  } catch (problem) {
    said.textContent = problemText(problem);
    said.classList.add("bad");
    button.disabled = false;
    bar.hidden = true;
    return;
  }
  find("loading").classList.add("ready");
  said.classList.remove("bad");
  state.seconds = (performance.now() - begin) / 1000;
  tellReady();
  bar.hidden = button.hidden = true;
  navigator.serviceWorker?.ready.then((worker) => worker.active?.postMessage("keep"));
  for (const room of Object.values(rooms)) room.ready?.(state.config);
  if (state.picture) takePicture([state.picture.file]);
}

const tellReady = () => {
  if (state.config) find("load-said").textContent = say("ready", { name: state.config.name,
    millions: (state.config.parameters / 1e6).toFixed(1), seconds: state.seconds.toFixed(1) });
};

function tabs() {
  const list = find("tabs"), panels = find("panels"), names = Object.keys(ROOMS);
  const open = (name, focus) => {
    for (const other of names) {
      const tab = find(`tab-${other}`);
      tab.setAttribute("aria-selected", other === name);
      tab.tabIndex = other === name ? 0 : -1;
      find(`panel-${other}`).hidden = other !== name;
    }
    if (focus) find(`tab-${name}`).focus();
    history.replaceState(null, "", `#${name}`);
    rooms[name].shown?.();
  };
  for (const name of names) {
    list.append(el("button", { t: `tab_${name}`, id: `tab-${name}`, role: "tab", type: "button",
      "aria-controls": `panel-${name}`, onclick: () => open(name) }));
    panels.append(el("div", { id: `panel-${name}`, role: "tabpanel", class: "card",
      "aria-labelledby": `tab-${name}` }));
    rooms[name] = ROOMS[name].room(find(`panel-${name}`), page);
  }
  list.onkeydown = (event) => {
    const at = names.findIndex((name) => find(`tab-${name}`).getAttribute("aria-selected") === "true");
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    open(names[to % names.length], true);
  };
  const asked = location.hash.slice(1);
  open(names.includes(asked) ? asked : names[0]);
}

async function begin() {
  await loadTexts();
  find("source").append(el("div", { class: "shown" }, el("img", { id: "preview", hidden: true, alt: "" }),
    el("figure", { id: "seen-figure", hidden: true }, el("canvas", { id: "seen", role: "img", l: "seen" }),
      el("figcaption", { t: "seen" }))),
  el("p", { id: "picture-said", role: "status", class: "minor" }), source(takePicture, { samples: true }));
  tabs();
  onPaste(takePicture);
  find("load").onclick = loadModel;
  find("language").onclick = () => speak(LANGUAGES[(LANGUAGES.indexOf(spoken()) + 1) % LANGUAGES.length]);
  const { model } = await (await fetch("sizes.json")).json();
  addEventListener("language", () => {
    find("language").textContent = say("other_language");
    find("language").lang = spoken() === "en" ? "zh" : "en";
    find("load").textContent = say("load", { size: megabytes(model) });
    tellReady();
    for (const room of Object.values(rooms)) room.language?.();
  });
  speak(spoken());
  document.body.dataset.ready = "page";
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => {});
}

begin();
