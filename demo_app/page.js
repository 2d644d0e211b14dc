// What the page does without the server: which view has to answer, what is out of date, the address.
// Gradio calls these from its events; views answer when their stamp changes (see views.py).
window.cm = (() => {
  const WAIT = 350;  // milliseconds after the last key
  let order = [], open = "", last = 0, typed = 0, typing = false, ready = false, sets = {}, longest = 0;
  const asked = {}, stale = new Set();

  document.addEventListener("input", (e) => { typing = e.target.matches("textarea, input[type=text]"); }, true);
  document.addEventListener("change", () => { typing = false; }, true);
  const panel = (name) => document.getElementById("view-" + name);
  const grey = (name, on) => panel(name)?.classList.toggle("cm-stale", on);
  const pause = () => new Promise((go) => setTimeout(go, typing ? WAIT : 0));

  // templates: the text of each template set by its name; letters: how long a value in the address may be.
  function begin(names, templates, letters) {
    order = names; open = open || names[0]; sets = templates; longest = letters; ready = true;
  }

  const stamps = () => order.map((name) => asked[name] || 0);  // as they are now, not as they were before a pause

  // Something on the bench has changed: the open view answers now, the others when they are opened.
  async function ask(...before) {
    if (!ready) return before;
    order.forEach((name) => { stale.add(name); grey(name, true); });
    const mine = ++typed;
    await pause();
    return mine === typed ? answer() : stamps();  // or somebody typed on
  }
  function answer() {
    if (order.includes(open)) {
      stale.delete(open);
      grey(open, true);
      asked[open] = ++last;
    }
    return stamps();
  }
  // A view was opened.
  function show(name, ...before) {
    open = name;
    address({ view: name });
    if (!ready) return before;
    return asked[name] && !stale.has(name) ? stamps() : answer();
  }
  // One of a view's own inputs has changed.
  async function again(name, stamp) {
    if (!ready || name !== open) { stale.add(name); return stamp; }
    grey(name, true);
    const mine = ++typed;
    await pause();
    if (mine === typed) asked[name] = ++last;
    return asked[name] || 0;
  }
  // A view has answered; if it was asked again since, its answer is old.
  async function done(name) {
    await new Promise((go) => setTimeout(go, 0));  // until the answer is drawn
    if (Number(panel(name)?.querySelector("[data-stamp]")?.dataset.stamp) !== asked[name]) return;
    if (!stale.has(name)) grey(name, false);
    if (name !== open) return;
    const said = panel(name)?.querySelector(".cm-problem, .cm-first"), live = document.getElementById("announce");
    if (live && said) live.textContent = said.textContent;
  }

  // What others need to see the same: it stands in the address.
  function address(values) {
    if (!ready) return;
    const url = new URL(location.href);
    for (const [key, value] of Object.entries(values))
      value === "" || value === null || String(value).length > longest ? url.searchParams.delete(key) : url.searchParams.set(key, value);
    history.replaceState(history.state, "", url);
  }
  // first: what each of them is at first, which need not be said. A template set is said by its name.
  function remember(names, first, ...values) {
    const said = Object.fromEntries(names.map((name, i) => [name, values[i] === first[name] ? "" : values[i]]));
    for (const [name, value] of Object.entries(said)) if (typeof value === "boolean") said[name] = Number(value);
    const set = Object.keys(sets).find((name) => sets[name] === said.templates) || "";
    address({ ...said, set, templates: set ? "" : said.templates });
  }
  const opened = () => open;
  // A file that the server made goes where the browser puts downloads.
  function save(file) {
    if (!file || !file.url) return;
    const link = document.createElement("a");
    link.href = file.url; link.download = file.orig_name || "";
    document.body.append(link); link.click(); link.remove();
  }
  const copy = () => navigator.clipboard.writeText(location.href);

  // What figures are drawn for, as page.py's Bench says it.
  const look = () => (document.body.classList.contains("dark") ? "dark " : "") + (innerWidth <= 640 ? "narrow" : "");

  return { look, begin, ask, show, again, done, remember, copy, opened, save };
})();
