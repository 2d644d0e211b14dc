// The model, as the page asks it: each call is a message to the worker, and a promise of its answer.

let worker = null, calls = 0, loading = null;
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
  worker.onerror = () => {  // its files could not be fetched, or memory ran out: the next load begins anew
    worker.terminate();
    worker = loading = null;
    for (const call of waiting.values()) call.reject({ kind: "worker", values: {} });
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
  loading ||= call("load", [document.baseURI], told).catch((problem) => { loading = null; throw problem; });
  return loading;
}

// Asks the loaded model; who comes earlier waits in page.attempt. A later question about the main picture, or where
// something is, takes the place of an earlier one, which then fails with the kind "replaced".
export async function ask(name, args, told = () => {}) {
  if (!worker) throw { kind: "worker", values: {} };
  return call(name, args, told);
}
