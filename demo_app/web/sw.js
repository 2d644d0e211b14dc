// Keeps all files of this build, so that the page works without a connection after the first visit. The list is written
// when the page is built: path -> the beginning of its SHA-256. The large ones are kept when they are first loaded. A
// file with another sum belongs to another build: it is neither kept nor given, for two builds must not mix. A new
// build fetches what changed and takes over; the page then says so, or opens anew.
const FILES = /* FILES */ {};
const NAME = "clipmini " + self.registration.scope, LARGE = /\.(wasm|onnx|onnx\.data)$/;

const pathOf = (url) => url.href.startsWith(self.registration.scope)
  ? decodeURIComponent(url.href.slice(self.registration.scope.length).split(/[?#]/)[0]) || "index.html" : null;
const keyOf = (path) => new URL(`${path}?${FILES[path]}`, self.registration.scope).href;

async function sumOf(answer) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await answer.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The file from the cache, or from its host, and then it is kept.
async function get(path) {
  const cache = await caches.open(NAME), key = keyOf(path), kept = await cache.match(key);
  if (kept) return kept;
  const answer = await fetch(new URL(path, self.registration.scope), { cache: "no-cache" });
  if (!answer.ok) return answer;
  if (!(await sumOf(answer.clone())).startsWith(FILES[path])) {
    self.registration.update();
    return new Response(null, { status: 409 });
  }
  await cache.put(key, answer.clone()).catch(() => {});  // no room: it works, but not without a connection
  return answer;
}

self.addEventListener("install", (event) => event.waitUntil((async () => {
  const small = await Promise.all(Object.keys(FILES).filter((path) => !LARGE.test(path)).map(get));
  if (!small.every((answer) => answer.ok)) throw new Error("a file is missing, or of another build: try again later");
  await self.skipWaiting();
})()));

self.addEventListener("activate", (event) => event.waitUntil((async () => {
  const cache = await caches.open(NAME), wanted = new Set(Object.keys(FILES).map(keyOf));
  for (const request of await cache.keys()) if (!wanted.has(request.url)) await cache.delete(request);
  await self.clients.claim();
})()));

self.addEventListener("fetch", (event) => {
  const path = event.request.method === "GET" ? pathOf(new URL(event.request.url)) : null;
  if (path !== null && path in FILES) event.respondWith(get(path));
});

// The page has loaded the model before this worker was there: keep it too.
self.addEventListener("message", (event) => event.waitUntil(Promise.all(Object.keys(FILES).map(get))));
