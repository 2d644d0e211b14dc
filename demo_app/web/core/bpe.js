// Byte-pair encoding, as in clipmini/bpe.py: from a text to words, from words to bytes, and merges that are applied.

export const START = "<|startoftext|>", END = "<|endoftext|>";
// Ids below 512: a byte inside a word (0-255), a byte that ends a word (256-511).
const BYTES = 256;
export const FIRST_MERGE = 512;

// The bytes that Latin-1 prints come first: the order of CLIP's ids.
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
const printable = [...range(0x21, 0x7f), ...range(0xa1, 0xad), ...range(0xae, 0x100)];
const BYTE_TO_ID = new Uint8Array(BYTES);
[...printable, ...range(0, BYTES).filter((byte) => !printable.includes(byte))].forEach((byte, id) => {
  BYTE_TO_ID[byte] = id;
});

// Contractions, runs of letters, single digits, runs of anything else. White space only separates; JavaScript's own \s
// takes a byte order mark for it, and does not know U+0085.
const PATTERN = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|\\p{L}+|\\p{N}|" +
  "[^\\p{White_Space}\\p{L}\\p{N}]+";
const WORDS = new RegExp(PATTERN, "gu"), OPENAI_WORDS = new RegExp(PATTERN, "giu");
const SPECIAL = /(<\|startoftext\|>|<\|endoftext\|>)/;
export const chunks = (text) => text.match(/\P{White_Space}+/gu) || [];
const isSpecial = (word) => word === START || word === END;

// Composed accents and lower case. A sigma at a word's end stays an ordinary one, as in transformers.
const normalise = (text) => chunks(text.normalize("NFC")).join(" ").replaceAll("Σ", "σ").toLowerCase();

function splitWords(text) {
  const words = text.match(WORDS) || [];
  if (!text.includes("<|")) return words;
  return words.flatMap((word) => isSpecial(word) ? word.match(/\p{L}+|\P{L}+/gu) : [word]);
}

// The words of a chunk, special tokens among them. repair: as OpenAI's code cuts a text, in any case.
export function words(chunk, repair) {
  if (repair) return chunk.toLowerCase().match(OPENAI_WORDS) || [];
  return chunk.split(SPECIAL).flatMap((part) => isSpecial(part) ? [part] : splitWords(normalise(part)));
}

const utf8 = new TextEncoder();
export function wordIds(word) {
  const ids = Array.from(utf8.encode(word), (byte) => BYTE_TO_ID[byte]);
  ids[ids.length - 1] += BYTES;
  return ids;
}

export const pairKey = (left, right) => left * 2 ** 24 + right;

// The earliest learnt merge that fits, until none fits. Ids of merges rise in the order of learning, so that the id of
// the merged pair is its rank as well.
export function mergeWord(ids, pairToId) {
  const rank = (i) => i >= 0 && i + 1 < ids.length ? pairToId.get(pairKey(ids[i], ids[i + 1])) ?? Infinity : Infinity;
  const ranks = ids.slice(1).map((_, i) => rank(i));
  for (;;) {
    let at = -1, best = Infinity;
    for (let i = 0; i < ranks.length; i++) if (ranks[i] < best) { best = ranks[i]; at = i; }
    if (at < 0) return ids;
    ids.splice(at, 2, best);
    ranks.splice(at, 1);
    if (at > 0) ranks[at - 1] = rank(at - 1);
    if (at < ranks.length) ranks[at] = rank(at);
  }
}
