// Zero-shot classification, as in clipmini/tasks/classify.py: a classifier made of words, and its arithmetic.

import { Problem } from "./problem.js";
import { cleanLabels, cleanTemplates, fill, listed, shorten } from "./prompts.js";

const NEAR = 0.7;  // an everyday word whose text is at least this near to a label's does not compete with it

export const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
export function unit(vector) {
  const length = Math.sqrt(dot(vector, vector)) || 1;
  return vector.map((value) => value / length);
}
export const mean = (vectors) => vectors[0].map((_, i) => vectors.reduce((sum, v) => sum + v[i], 0) / vectors.length);

export function softmax(values) {
  const most = Math.max(...values), powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

// The prompts of each label: all templates, or those whose prompt fits the context.
function promptsOf(embedder, labels, templates) {
  return labels.map((label) => {
    const all = templates.map((template) => fill(template, label)), limit = embedder.tokenizer.contextLength;
    const fitting = all.filter((prompt) => embedder.tokenizer.count(prompt) <= limit);
    if (!fitting.length) {
      const count = Math.max(...all.map((prompt) => embedder.tokenizer.count(prompt)));
      throw new Problem("token_limit", { label: shorten(label), count, limit });
    }
    return fitting;
  });
}

// One unit vector for each label: the mean of its prompts' vectors, of unit length again.
export async function buildClassifier(embedder, labels, templates) {
  const prompts = promptsOf(embedder, labels, templates);
  const vectors = await embedder.embedTexts(prompts.flat());
  let start = 0;
  const texts = prompts.map(({ length }) => unit(mean(vectors.slice(start, start += length).map((v) => [...v]))));
  return { texts, prompts };
}

// Most of whose letters the tokenizer can only spell byte by byte: it learnt no merge for them.
function unseen(embedder, label) {
  const letters = label.match(/\p{L}/gu) || [], bytes = (text) => new TextEncoder().encode(text).length;
  const spelled = (c) => bytes(c) > 1 && embedder.tokenizer.encode(c).length >= bytes(c.toLowerCase());
  return 2 * letters.filter(spelled).length > letters.length;
}

// The words of a label that no caption had, in singular or plural; of Chinese, the characters.
function newWords(known, label) {
  const found = label.toLowerCase().replaceAll("’", "'").match(/\p{Script=Han}|[\p{L}\p{M}]+(?:'\p{L}+)?/gu) || [];
  const without = (word, end) => word.endsWith(end) ? word.slice(0, -end.length) : word;
  return [...new Set(found)].filter((word) => {
    const bare = without(word, "'s"), ies = without(bare, "ies") + "y";
    return ![word, bare, bare + "s", without(bare, "s"), without(bare, "es"), ies].some((one) => known.has(one));
  });
}

function notesOn(embedder, labels, prompts, templates) {
  const named = (kind, found, values = {}) =>
    found.length ? [{ kind, values: { labels: listed(found), ...values } }] : [];
  const plain = (label, i) => prompts[i].some((p) => !templates.some((t) => t.replace("{}", () => label) === p));
  return [
    ...named("unseen", labels.filter((label) => unseen(embedder, label)).map((label) => shorten(label))),
    ...named("new_words", embedder.config.words ? labels.flatMap((label) => newWords(embedder.known, label)) : []),
    ...named("fewer_templates", labels.filter((_, i) => prompts[i].length < templates.length).map((l) => shorten(l)),
      { count: templates.length, limit: embedder.tokenizer.contextLength }),
    ...named("one_article", labels.filter(plain).map((label) => shorten(label)))];
}

// labels, templates: as typed; noneOfThese: offer everyday words too, whose shares together are "none of these".
export async function makeClassifier(embedder, text, templateText, noneOfThese = false) {
  const { labels, notes } = cleanLabels(text), templates = cleanTemplates(templateText);
  const { texts, prompts } = await buildClassifier(embedder, labels, templates);
  const made = { labels, texts, prompts, others: null,
    notes: [...notes, ...notesOn(embedder, labels, prompts, templates)] };
  if (noneOfThese) {
    const words = embedder.config.everyday, { texts: usual } = await buildClassifier(embedder, words, templates);
    const middle = mean(usual), apart = (vector) => unit(vector.map((value, i) => value - middle[i]));
    const own = texts.map(apart), taken = new Set(labels.map((label) => label.toLowerCase()));
    made.others = usual.filter((vector, i) =>
      !taken.has(words[i]) && Math.max(...own.map((o) => dot(apart(vector), o))) <= NEAR);
    if (!made.others.length) made.notes.push({ kind: "no_words_left", values: {} });
  } else if (labels.length === 1) made.notes.push({ kind: "one_label", values: {} });
  return made;
}

// What a classifier says of one picture's unit vector. none: the probability of "none of these", or null.
export function classify(classifier, vector, scale) {
  const all = classifier.texts.concat(classifier.others || []), count = classifier.labels.length;
  const cosines = all.map((text) => dot(text, vector)), shares = softmax(cosines.map((cosine) => scale * cosine));
  const none = classifier.others ? shares.slice(count).reduce((a, b) => a + b, 0) : null;
  const [own, rivals] = [cosines.slice(0, count), cosines.slice(count)];
  return { cosines: own, rivals, probabilities: shares.slice(0, count), none };
}
