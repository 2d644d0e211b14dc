// The page: language, loading, the picture that all rooms look at, and the rooms, each a file in rooms/.

import { LANGUAGES, el, loadTexts, megabytes, say, speak, spoken, tell, tellProblem } from "./ui/dom.js";
import { ask, load } from "./ui/model.js";
import { onPaste, source } from "./ui/source.js";
import * as classify from "./rooms/classify.js";
import * as where from "./rooms/where.js";
import * as search from "./rooms/search.js";
import * as map from "./rooms/map.js";
import * as teach from "./rooms/teach.js";

const ROOMS = { classify, where, search, map, teach };
const find = (id) => document.getElementById(id);
const state = { config: null, picture: null, chosen: 0, open: "", size: 0 };
let modelIsLoaded = () => {};
const isLoaded = new Promise((resolve) => { modelIsLoaded = resolve; });
const rooms = {};

// What a room may ask of the page.
const page = {
  config: () => state.config,
  picture: () => state.picture,
  // Waits for the model, and shows what goes wrong where `said` is; false where it did.
  async attempt(said, made) {
    if (!state.config) tell(said, "load_first");
    try {
      await isLoaded;
      tell(said, "");
      await made();
      return true;
    } catch (problem) {
      if (problem.kind !== "replaced") tellProblem(said, problem);
      return false;
    }
  },
};

async function takePicture([file]) {
  const turn = ++state.chosen, image = find("preview"), said = find("picture-said"), before = state.picture;
  const picture = { file, url: URL.createObjectURL(file), name: file.name || say("picture"), read: null };
  state.picture = picture;
  if (before) setTimeout(() => URL.revokeObjectURL(before.url), 10_000);  // a room may still draw it
  image.src = picture.url;
  image.alt = picture.name;
  image.hidden = false;
  const slow = setTimeout(() => {
    if (!state.config || turn !== state.chosen) return;
    nothingRead();
    tell(said, "reading");
  }, 200);
  const worked = await page.attempt(said, async () => { picture.read = await ask("main", [file]); });
  clearTimeout(slow);
  if (turn !== state.chosen) return;
  image.hidden = !worked;
  if (worked) pictureRead(); else nothingRead();
}

// No answer stands beside a picture that it does not belong to.
function nothingRead() {
  find("seen-figure").hidden = true;
  for (const room of Object.values(rooms)) room.picture?.(null);
}

function pictureRead() {
  const { read } = state.picture, seen = find("seen");
  tell(find("picture-said"), "picture_size", { width: read.width, height: read.height });
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
    state.config = await load((bytes) => {
      bar.value = Math.min(1, bytes / state.size);
      tell(said, "loading", { done: megabytes(bytes), all: megabytes(state.size) });
    });
  } catch (problem) {
    tellProblem(said, problem);
    button.disabled = false;
    bar.hidden = true;
    return;
  }
  find("loading").classList.add("ready");
  tell(said, "ready", { name: state.config.name, millions: (state.config.parameters / 1e6).toFixed(1),
    seconds: ((performance.now() - begin) / 1000).toFixed(1) });
  bar.hidden = button.hidden = true;
  if (document.activeElement === document.body) find(`tab-${state.open}`).focus({ preventScroll: true });
  if (!state.config.map) withoutMap();
  navigator.serviceWorker?.ready.then((worker) => worker.active?.postMessage("keep"));
  for (const room of Object.values(rooms)) room.ready?.(state.config);
  modelIsLoaded();
}

// A model that came without a map has no room for it.
function withoutMap() {
  if (state.open === "map") find("tab-classify").click();
  find("tab-map").remove();
}

// Whether the large files are on this device already.
async function isKept() {
  if (!("caches" in window)) return false;
  const cache = await caches.open(`clipmini ${document.baseURI.split(/[?#]/)[0].replace(/[^/]*$/, "")}`);
  return (await cache.keys()).some(({ url }) => url.includes("/image.onnx"));
}

function tabs() {
  const list = find("tabs"), panels = find("panels"), names = Object.keys(ROOMS);
  const open = (name, focus) => {
    for (const other of names) {
      const tab = find(`tab-${other}`);
      tab?.setAttribute("aria-selected", other === name);
      if (tab) tab.tabIndex = other === name ? 0 : -1;
      find(`panel-${other}`).hidden = other !== name;
    }
    state.open = name;
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
    const here = names.filter((name) => find(`tab-${name}`)), at = here.indexOf(state.open);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + here.length, Home: 0, End: here.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    open(here[to % here.length], true);
  };
  const asked = location.hash.slice(1);
  open(names.includes(asked) ? asked : names[0]);
}

// A new build has taken over: the page opens anew, or says so where something would be lost.
function renewed(workers) {
  const before = workers.controller;
  workers.addEventListener("controllerchange", () => {
    if (!before) return;
    if (state.config || state.picture) tell(find("renewed"), "renewed"); else location.reload();
  });
  workers.register("sw.js", { updateViaCache: "none" }).then((found) => before && found.update()).catch(() => {});
}

async function begin() {
  find("starting").remove();
  await loadTexts();
  find("source").append(el("div", { class: "shown" }, el("img", { id: "preview", hidden: true, alt: "" }),
    el("figure", { id: "seen-figure", hidden: true }, el("canvas", { id: "seen", role: "img", l: "seen" }),
      el("figcaption", { t: "seen" }))),
  el("p", { id: "picture-said", role: "status", class: "minor" }), source(takePicture, { samples: true }));
  tabs();
  onPaste(takePicture);
  find("load").onclick = loadModel;
  find("language").onclick = () => speak(LANGUAGES[(LANGUAGES.indexOf(spoken()) + 1) % LANGUAGES.length]);
  state.size = (await (await fetch("sizes.json")).json()).model;
  const kept = await isKept().catch(() => false);
  addEventListener("language", () => {
    find("language").textContent = say("other_language");
    find("language").lang = spoken() === "en" ? "zh" : "en";
    find("load").textContent = say(kept ? "load_kept" : "load", { size: megabytes(state.size) });
    for (const room of Object.values(rooms)) room.language?.();
  });
  speak(spoken());
  document.body.dataset.ready = "page";
  if ("serviceWorker" in navigator) renewed(navigator.serviceWorker);
}

begin();
