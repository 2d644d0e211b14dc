// The model works here, beside the page, so that a picture of twelve megapixels never blocks it.
// A message { id, name, args } is answered by { id, told } again and again, and by { id, result } or { id, problem }.

import { buildClassifier, classify, makeClassifier } from "./core/classify.js";
import { Embedder } from "./core/embedder.js";
import { heatmap } from "./core/heatmap.js";
import { isBlank } from "./core/image.js";
import { openImage } from "./core/picture_file.js";
import { cleanLabels, cleanTemplates } from "./core/prompts.js";
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

async function opened(blob) {
  const picture = await openImage(blob), [vector] = await embedder.embedImages([picture]);
  return { picture, vector, blank: isBlank(picture), seen: shown(embedder.seen(picture)) };
}

const TASKS = {
  async load(told, base) {
    embedder = await Embedder.load(base, told);
    const { merges, words, everyday, ...config } = embedder.config;
    return config;
  },
  // One picture: its vector, whether it is blank, what the model sees of it.
  async picture(told, blob) {
    const { vector, blank, seen, picture: { width, height } } = await opened(blob);
    return { vector, blank, seen, width, height };
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
  async where(told, blob, phrases) {
    const { labels } = cleanLabels(phrases);
    const { texts } = await once(buildClassifier, labels, ["{}"]);
    const { texts: everyday } = await once(buildClassifier, embedder.config.everyday, ["{}"]);
    return { labels, ...await heatmap(embedder, await openImage(blob), texts, everyday, told) };
  },
  // Which of the vectors are nearest to what a line asks for; pictures: by their name in the line.
  async search(told, line, vectors, names) {
    const asked = [];
    for (const { weight, text } of terms(line)) {
      const row = names.indexOf(text.replace(/^\[(.*)\]$/s, "$1"));
      asked.push({ weight, vector: row >= 0 ? vectors[row] : (await embedder.embedTexts([text]))[0] });
    }
    return ranked(query(asked), vectors);
  },
};

onmessage = async ({ data: { id, name, args } }) => {
  try {
    postMessage({ id, result: await TASKS[name]((told) => postMessage({ id, told }), ...args) });
  } catch (error) {
    const problem = error.kind ? { kind: error.kind, values: error.values } : { kind: "unexpected",
      values: { why: String(error.message || error) } };
    postMessage({ id, problem });
  }
};
