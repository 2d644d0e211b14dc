// CLIP's tokenizer, as in clipmini/tokenizer.py: from a caption to the ids that the text tower reads.

import { END, SINGLE, START, chunks, mergeWord, pairKey, wordIds, words } from "./bpe.js";
import { Problem } from "./problem.js";

export class Tokenizer {
  // merges: a pair of tokens a line, a blank between them, in the order of learning; contextLength: the longest caption
  // in tokens, start and end included; repair: read as OpenAI's code does (without ftfy, which only Python has).
  constructor(merges, contextLength, repair = false) {
    this.contextLength = contextLength;
    this.repair = repair;
    this.vocab = new Map(SINGLE.map((token, id) => [token, id]));
    this.pairToId = new Map();
    for (const [left, right] of merges.split("\n").map((pair) => pair.split(" "))) {
      const id = this.vocab.size;
      this.pairToId.set(pairKey(this.vocab.get(left), this.vocab.get(right)), id);
      this.vocab.set(left + right, id);
    }
    this.vocab.set(START, this.vocab.size).set(END, this.vocab.size);
    this.sotId = this.vocab.get(START);
    this.eosId = this.padId = this.vocab.get(END);
  }

  // The ids of a text of any length, without start and end.
  encode(text) {
    if (!text.isWellFormed()) throw new Problem("half_character");
    const whole = this.repair ? text.normalize("NFC").replace(/[\u2018\u2019]/g, "'")
      .replace(/[\u201c\u201d]/g, '"') : text;
    return chunks(whole).flatMap((chunk) => words(chunk, this.repair).flatMap((word) =>
      word === START || word === END ? [this.vocab.get(word)] : mergeWord(wordIds(word), this.pairToId)));
  }

  // Number of tokens of a caption, start and end included.
  count(text) {
    return this.encode(text).length + 2;
  }

  // The ids of each caption with start and end; too long a one is cut, and keeps its end.
  tokenLists(texts) {
    return texts.map((text) => {
      const ids = [this.sotId, ...this.encode(text), this.eosId];
      return ids.length > this.contextLength ? [...ids.slice(0, this.contextLength - 1), this.eosId] : ids;
    });
  }
}
