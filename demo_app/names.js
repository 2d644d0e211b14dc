// Gradio's own buttons by their names: some are not translated, some are a key, and its thumbnails are only counted.
(function (told) {
  const wanted = (document.documentElement.lang || navigator.language || "en").toLowerCase().slice(0, 2);
  const words = told[wanted] || told[(navigator.language || "").slice(0, 2)] || Object.values(told)[0];
  const marked = Object.keys(words).map((name) => `[aria-label=${JSON.stringify(name)}],[title=${JSON.stringify(name)}]`);
  const uploads = "button[aria-label='common.upload']:has(button)";

  function name() {
    // The button that adds files is drawn around another one; a screen reader then finds neither.
    for (const outer of document.querySelectorAll(uploads)) {
      outer.setAttribute("role", "group"); outer.tabIndex = -1; outer.removeAttribute("aria-haspopup");
    }
    for (const one of document.querySelectorAll(marked.join())) {
      for (const attribute of ["aria-label", "title"]) {
        const better = words[one.getAttribute(attribute)];
        if (better) one.setAttribute(attribute, better);
      }
    }
    for (const one of document.querySelectorAll("button[aria-label^='Thumbnail ']")) {
      const title = one.textContent.trim() || one.querySelector("img")?.alt;
      if (title) one.setAttribute("aria-label", title);
    }
  }
  new MutationObserver(name).observe(document.documentElement,
    { childList: true, subtree: true, attributes: true, attributeFilter: ["aria-label", "title"] });
})(TOLD);
