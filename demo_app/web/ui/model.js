// The model, as the page asks it: each call is a message to the worker, and a promise of its answer.

let worker = null, calls = 0, loaded = null;
const waiting = new Map();

function start() {
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data: { id, told, result, problem } }) => {
    const call = waiting.get(id);
    if (!call) return;
    if (told !== undefined) return call.told(told);
    waiting.delete(id);
    if (problem) call.reject(problem); else call.resolve(result);
  };
  worker.onerror = (event) => {
    for (const call of waiting.values())
      call.reject({ kind: "unexpected", values: { why: event.message || "worker" } });
    waiting.clear();
  };
}

function call(name, args, told) {
  const id = ++calls;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, told });
    worker.postMessage({ id, name, args });
  });
}

// Loads once; told(bytes). A failed load can be tried again.
export function load(told) {
  if (!worker) start();
  loaded ||= call("load", [document.baseURI], told).catch((problem) => { loaded = null; throw problem; });
  return loaded;
}
export const isLoaded = () => loaded !== null;

// Waits for the model, which somebody must have asked for.
export async function ask(name, args, told = () => {}) {
  await loaded;
  return call(name, args, told);
}
