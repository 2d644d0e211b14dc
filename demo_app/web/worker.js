// The model works here, beside the page, so that a picture of twelve megapixels never blocks it.
// A message { id, name, args } is answered by { id, told } again and again, and by { id, result } or { id, problem }.

import { buildClassifier, classify, makeClassifier } from "./core/classify.js";
import { Embedder } from "./core/embedder.js";
import { heatmap } from "./core/heatmap.js";
import { isBlank } from "./core/image.js";
import { openImage } from "./core/picture_file.js";
import { cleanLabels, cleanTemplates } from "./core/prompts.js";
import { Problem } from "./core/problem.js";
import { query, ranked, terms } from "./core/search.js";

let embedder = null;
const kept = new Map();  // what was made of words: asked again for every picture

async function once(made, ...args) {
  const key = JSON.stringify([made.name, ...args]);
  if (!kept.has(key)) {
    if (kept.size > 20) kept.clear();
    kept.set(key, await made(embedder, ...args));
  }
  return kept.get(key);
}

// A picture as the model sees it, for the page to show.
function shown({ data, width, height }) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([...data.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  return image;
}

// Tasks of which only the last one counts: an earlier one ends where it looks next.
const last = {};
const pause = () => new Promise((resolve) => { setTimeout(resolve); });  // others get their turn
function replaced(name, id) {
  if (last[name] !== id) throw new Problem("replaced");
}

async function opened(blob, check = () => {}) {
  const picture = await openImage(blob, check), [vector] = await embedder.embedImages([picture]);
  return { picture, vector, blank: isBlank(picture), seen: shown(embedder.seen(picture)) };
}

const TASKS = {
  async load(told, base) {
    embedder = await Embedder.load(base, told);
    const { words, everyday, ...config } = embedder.config;
    return config;
  },
  // One picture: its vector, whether it is blank, what the model sees of it.
  async picture(told, blob, check) {
    const { vector, blank, seen, picture: { width, height } } = await opened(blob, check);
    return { vector, blank, seen, width, height };
  },
  // The same of the picture that all rooms look at.
  async main(told, blob, check) {
    return TASKS.picture(told, blob, check);
  },
  async classify(told, vector, labels, templates, noneOfThese) {
    const made = await once(makeClassifier, labels, templates, noneOfThese);
    const { others, texts, ...said } = made;
    return { ...said, ...classify(made, vector, embedder.scale) };
  },
  // Unit vectors of texts, one a label, by all templates.
  async texts(told, labels, templates) {
    return (await buildClassifier(embedder, labels, cleanTemplates(templates))).texts;
  },
  async where(told, blob, phrases, check) {
    const { labels } = cleanLabels(phrases);
    const { texts } = await once(buildClassifier, labels, ["{}"]);
    const { texts: everyday } = await once(buildClassifier, embedder.config.everyday, ["{}"]);
    return { labels, ...await heatmap(embedder, await openImage(blob, check), texts, everyday,
      async (share) => { told(share); await pause(); check(); }) };
  },
  // Which of the vectors are nearest to what a line asks for; pictures: by their name in the line.
  async search(told, line, vectors, names) {
    const asked = [];
    for (const { weight, text } of terms(line)) {
      const row = names.indexOf(text.replace(/^\[(.*)\]$/s, "$1"));
      if (row < 0 && /^\[.*\]$/s.test(text)) throw new Problem("no_such_picture", { name: text.slice(1, -1) });
      asked.push({ weight, vector: row >= 0 ? vectors[row] : (await embedder.embedTexts([text]))[0] });
    }
    return ranked(query(asked), vectors);
  },
};

onmessage = async ({ data: { id, name, args } }) => {
  last[name] = id;
  const check = () => { if (name === "main" || name === "where") replaced(name, id); };
  try {
    await pause();
    check();
    postMessage({ id, result: await TASKS[name]((told) => postMessage({ id, told }), ...args, check) });
  } catch (error) {
    const problem = error.kind ? { kind: error.kind, values: error.values } : { kind: "unexpected",
      values: { why: String(error.message || error) } };
    postMessage({ id, problem });
  }
};
