// Asks /health every few seconds. Where the app has gone or was restarted it says so, and keeps what was typed.
(function (told) {
  const EVERY = 4000, PATIENCE = 3500, KEPT = "clipmini-typed";
  let failed = 0, state = "";

  function words() {
    const wanted = (document.documentElement.lang || navigator.language || "en").toLowerCase().slice(0, 2);
    return told.words[wanted] || told.words[(navigator.language || "").slice(0, 2)] || Object.values(told.words)[0];
  }

  function address() {
    const root = (window.gradio_config && window.gradio_config.root) || document.baseURI;
    return new URL("health", root.endsWith("/") ? root : root + "/");
  }

  function fields() {
    return [...document.querySelectorAll("[id] textarea, [id] input[type=text]")]
      .map((field) => [field.closest("[id]").id, field])
      .filter(([id, field]) => id && !id.startsWith("component-") && !field.disabled && !field.readOnly
        && field.getClientRects().length);
  }

  function keep() {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(fields().map(([id, field]) => [id, field.value])));
    } catch { /* a browser that stores nothing */ }
  }

  function giveBack() {
    let kept = null;
    try { kept = JSON.parse(sessionStorage.getItem(KEPT)); } catch { /* nothing was kept */ }
    if (!kept) return;
    const end = Date.now() + 15000, wanted = new Map(kept);
    const timer = setInterval(() => {
      // Before the first answer the page sets its fields by its address, which may be older.
      if (!document.querySelector(".cm-who, .cm-problem") && Date.now() < end) return;
      for (const [id, field] of fields()) {
        if (!wanted.has(id)) continue;
        if (field.value !== wanted.get(id)) {
          field.value = wanted.get(id);
          field.dispatchEvent(new Event("input", { bubbles: true }));
        }
        wanted.delete(id);
      }
      if (!wanted.size || Date.now() > end) {
        clearInterval(timer);
        sessionStorage.removeItem(KEPT);
      }
    }, 300);
  }

  function show(next) {
    if (next === state) return;
    state = next;
    let box = document.getElementById("clipmini-connection");
    if (!next) { if (box) box.remove(); return; }
    if (!box) {
      box = document.createElement("div");
      box.id = "clipmini-connection";
      box.setAttribute("role", "alert");
      box.style.cssText = "position:fixed;z-index:10000;left:0;right:0;bottom:0;padding:12px 16px;display:flex;gap:12px;"
        + "flex-wrap:wrap;align-items:center;justify-content:center;background:#22303c;color:#fff;"
        + "font:16px/1.4 system-ui,sans-serif;box-shadow:0 -2px 12px rgba(0,0,0,.35)";
      document.body.append(box);
    }
    const said = document.createElement("span");
    said.textContent = words()[next];
    box.replaceChildren(said);
    if (next === "back") {
      const button = document.createElement("button");
      button.textContent = words().reload;
      button.style.cssText = "font:inherit;font-weight:600;padding:8px 20px;min-height:44px;border:0;border-radius:8px;"
        + "background:#fff;color:#22303c;cursor:pointer";
      button.onclick = () => { keep(); location.reload(); };
      box.append(button);
    }
  }

  async function ask() {
    const stop = new AbortController(), timer = setTimeout(() => stop.abort(), PATIENCE);
    try {
      const answer = await fetch(address(), { signal: stop.signal, cache: "no-store" });
      const health = await answer.json();
      failed = 0;
      show(health.instance !== told.instance ? "back" : health.draining ? "away" : "");
    } catch (error) {
      failed += 1;
      // A busy app may be slow to answer once; one that is not there says so at once.
      if (failed > 1 || error.name !== "AbortError") show(state === "back" ? "back" : "away");
    } finally {
      clearTimeout(timer);
      setTimeout(ask, EVERY);
    }
  }

  giveBack();
  setTimeout(ask, EVERY);
})(TOLD);
