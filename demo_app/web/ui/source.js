// Where a picture comes from: a file, a drop, the clipboard, the camera, a drawing, or a sample.

import { el, say } from "./dom.js";
import { photograph } from "./camera.js";
import { sketch } from "./sketch.js";

let names = null;
async function sampleNames() {
  names ||= fetch("samples/samples.json").then((answer) => answer.json());
  return names;
}
// One dialog at a time.
const one = (made) => document.querySelector("dialog") ? null : made();
const pictureFiles = (list) => [...list].filter((file) => !file.type || file.type.startsWith("image/"));

// Buttons and a place for drops. take(files): File or Blob with a name; several: more than one at a time;
// samples: show them.
export function source(take, { several = false, samples = false, small = false } = {}) {
  const input = el("input", { type: "file", accept: "image/*", multiple: several, class: "hidden", tabIndex: -1,
    onchange: () => { take([...input.files]); input.value = ""; } });
  input.setAttribute("aria-hidden", "true");
  const button = (key, onclick) => el("button", { t: key, type: "button", class: "quiet", onclick });
  const box = el("div", { class: small ? "source small" : "source" }, el("div", { class: "row" },
    button(several ? "choose_files" : "choose_file", () => input.click()),
    button("camera", () => one(async () => {
      const shots = await photograph(several);
      if (shots.length) take(shots);
    })),
    button("draw", () => one(async () => {
      const drawn = await sketch();
      if (drawn) take([drawn]);
    }))), input);
  if (!small) box.append(el("p", { class: "minor", t: several ? "drop_several" : "drop_one" }));
  box.ondragover = (event) => { event.preventDefault(); box.classList.add("over"); };
  box.ondragleave = () => box.classList.remove("over");
  box.ondrop = (event) => {
    event.preventDefault();
    box.classList.remove("over");
    const files = [...event.dataTransfer.files];  // what is no picture is told
    if (files.length) take(several ? files : files.slice(0, 1));
  };
  if (samples) sampleNames().then((found) => box.append(el("div", { class: "row samples" }, ...found.map((name) => {
    const shown = name.replaceAll("_", " ");
    return el("button", { type: "button", class: "sample", title: shown, onclick: async () => {
      take([new File([await (await fetch(`samples/${name}.png`)).blob()], `${shown}.png`, { type: "image/png" })]);
    } }, el("img", { src: `samples/${name}.png`, alt: shown, width: 40, height: 40 }));
  }))));
  return box;
}

// A drop beside the boxes opens no file in place of the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());

// A paste anywhere, but where text is typed.
export function onPaste(take) {
  addEventListener("paste", (event) => {
    const files = pictureFiles(event.clipboardData?.files || []);
    if (!files.length) return;
    event.preventDefault();
    take([new File([files[0]], say("pasted"), { type: files[0].type })]);
  });
}
