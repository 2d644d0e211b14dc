// Labels and templates, as in clipmini/tasks/prompts.py: what people type, checked and turned into prompts.

import { Problem } from "./problem.js";

export const MAX_LABELS = 1000, MAX_LABEL_LENGTH = 300, MAX_TEMPLATES = 100;

export const shorten = (text, length = 60) =>
  [...text].length <= length ? text : [...text].slice(0, length - 1).join("") + "…";
export const listed = (names) => [...new Set(names)].slice(0, 10).join(", ") + (new Set(names).size > 10 ? " …" : "");

// A template has exactly one {} and no other brace.
function checkTemplate(template) {
  const times = template.split("{}").length - 1, name = shorten(template);
  if (times !== 1) throw new Problem("template_places", { template: name, count: times });
  if (/[{}]/.test(template.replace("{}", ""))) throw new Problem("template_braces", { template: name });
  if ([...template].length > MAX_LABEL_LENGTH)
    throw new Problem("template_long", { template: name, limit: MAX_LABEL_LENGTH });
  return template;
}

// One template a line -> a checked list, each once.
export function cleanTemplates(text) {
  const found = [...new Set(text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/)
    .map((t) => t.trim()).filter(Boolean))];
  if (!found.length) throw new Problem("no_templates");
  if (found.length > MAX_TEMPLATES)
    throw new Problem("too_many_templates", { count: found.length, limit: MAX_TEMPLATES });
  return found.map((template) => checkTemplate(visible(template)));
}

const ARTICLE = /^(?:an?|the) (?=\S)/i;
const LAST_WORD = /\b(?:an?|the) (?=\{\})/gi;  // "a photo of a {}": the template's article goes
// "a photo of my {}", "a photo of a large {}": the label's goes
const EARLIER = /\b(?:one|my|your|this|that|no) \{\}|(?:^|of )(?:an?|the|one|my) [\p{L}\p{N}_\-]+ \{\}/iu;

// The label in its place; one that brings its own article makes no "an emoji of a a dog".
export function fill(template, label) {
  const own = label.match(ARTICLE);
  if (own && EARLIER.test(template)) return template.replace("{}", () => label.slice(own[0].length));
  return (own ? template.replace(LAST_WORD, "") : template).replace("{}", () => label);
}

// ---- what is typed and not seen --------------------------------------------------------------------------
// Written as strings, for the flag v, in which sets are subtracted, is an error in browsers that do not know it.
const VIRAMA = "\\u094d\\u09cd\\u0a4d\\u0acd\\u0b4d\\u0bcd\\u0c4d\\u0ccd\\u0d3b\\u0d3c\\u0d4d\\u0dca\\u0e3a\\u0eba" +
  "\\u0f84\\u1039\\u103a\\u1714\\u1715\\u1734\\u17d2\\u1a60\\u1b44\\u1baa\\u1bab\\u1bf2\\u1bf3\\u2d7f\\ua806\\ua82c" +
  "\\ua8c4\\ua953\\ua9c0\\uaaf6\\uabed";
const NATIVE = "[[\\p{L}\\p{M}\\p{N}\\u0640]--[\\p{Script=Latin}\\p{Script=Greek}\\p{Script=Cyrillic}\\p{Script=Han}" +
  "\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}\\p{Script=Inherited}]--[\\p{Script=Common}--[\\u0640]]]";
const KEPT = "\\u200c\\u200d\\u115f\\u1160\\u180b-\\u180f\\u2800\\p{Variation_Selector}\\u{e0020}-\\u{e007f}";
function patterns() {
  try {
    const junk = new RegExp("[[\\p{Cc}\\p{Cs}\\p{Cf}\\p{Default_Ignorable_Code_Point}]--[\\u200c\\u200d\\u115f\\u1160" +
      "\\u180b-\\u180f\\p{Variation_Selector}\\u0600-\\u0605\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u{110bd}\\u{110cd}]" +
      "--[\\u{e0020}-\\u{e007f}\\u{13430}-\\u{1345f}]]|(?<=[\\u200c\\u200d])[\\u200c\\u200d]", "gv");
    const spelled = new RegExp(`(?=[${KEPT}])(?:(` + [
      "(?<=\\p{ExtPict}[\\p{EMod}\\ufe0e\\ufe0f]{0,2})[\\u{e0020}-\\u{e007e}]{1,30}\\u{e007f}",  // a region's flag
      "(?<=\\p{ExtPict}[\\p{EMod}\\ufe0e\\ufe0f]{0,2}[\\u{e0020}-\\u{e007f}]{0,31})" +  // families
        "\\u200d(?=\\p{ExtPict})",
      `(?<=${NATIVE}\\p{M}{0,8})[\\u200c\\u200d](?=[\\p{L}\\p{M}\\p{N}])`,  // in a word: Persian, Hindi ...
      `(?<=[\\p{L}\\p{N}]\\p{M}{0,8})[\\u200c\\u200d](?=${NATIVE})`,
      `(?<=[${VIRAMA}])[\\u200c\\u200d]`,  // half letters end a word too
      "(?<=\\p{Emoji})[\\ufe0e\\ufe0f]",  // as text, in colour; keycaps
      "(?<=[[\\p{L}\\p{M}\\p{N}\\p{S}\\p{P}]--[\\p{ASCII}\\p{Script=Latin}\\p{Script=Greek}\\p{Script=Cyrillic}" +
        "\\p{Variation_Selector}]])\\p{Variation_Selector}",  // shapes of Chinese letters
      "(?<=\\p{Script=Mongolian}\\p{M}{0,8})[\\u180b-\\u180f]",
      "(?<=[\\u1100-\\u115e\\u1161-\\u11ff])[\\u115f\\u1160]", "[\\u115f\\u1160](?=[\\u1100-\\u115e\\u1161-\\u11ff])",
      "(?<=[\\u2801-\\u28ff])\\u2800(?=[\\u2801-\\u28ff])"].join("|") + ")|.)", "gv");
    return { junk, spelled };
  } catch {
    return { junk: /[\p{Cc}\p{Cs}\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069]/gu, spelled: /(.)/gu };
  }
}
const { junk, spelled } = patterns();
const blanks = (text) => text.split(/[\p{White_Space}\x1c-\x1f]+/u).filter(Boolean).join(" ").normalize("NFC");

// Composed, without control and invisible characters but those that emoji and words are spelled with; spaces of all
// kinds become one blank.
export function visible(text) {
  for (let before = null; text !== before;) {  // what is left may join anew
    before = text;
    text = blanks(text);
    text = text.replace(junk, "").replace(spelled, "$1").normalize("NFC");
  }
  return text;
}

// Labels as people type them -> { labels, notes }: each once, in the order given, and what was changed.
export function cleanLabels(text) {
  const parts = Array.isArray(text) ? text : text.split(/[,，、;；\r\n]/).filter((part) => part.trim());
  const found = new Map(), repeated = [], changed = [];
  let empty = 0;
  for (const part of parts) {
    const label = visible(part), key = label.toLowerCase().replaceAll("ß", "ss").replaceAll("ς", "σ");
    if (label !== blanks(part)) changed.push(shorten(label) || "…");
    const count = [...label].length;
    if (count > MAX_LABEL_LENGTH)
      throw new Problem("long_label", { label: shorten(label), count, limit: MAX_LABEL_LENGTH });
    if (!label) empty++;
    else if (found.has(key)) repeated.push(shorten(label));
    else found.set(key, label);
  }
  if (!found.size) throw new Problem("no_labels");
  if (found.size > MAX_LABELS) throw new Problem("too_many_labels", { count: found.size, limit: MAX_LABELS });
  const notes = [["merged", repeated], ["invisible", changed]].filter(([, names]) => names.length)
    .map(([kind, names]) => ({ kind, values: { count: names.length, labels: listed(names) } }));
  return { labels: [...found.values()],
    notes: empty ? [...notes, { kind: "empty", values: { count: empty } }] : notes };
}
