// CLIP's tokenizer, as in clipmini/tokenizer.py: from a caption to the ids that the text tower reads.

import { END, FIRST_MERGE, START, chunks, mergeWord, pairKey, wordIds, words } from "./bpe.js";
import { Problem } from "./problem.js";

export class Tokenizer {
  // merges: the two ids of each merge, in the order of learning; contextLength: the longest caption in tokens, start
  // and end included; repair: read as OpenAI's code does (without ftfy, which only Python has).
  constructor(merges, contextLength, repair = false) {
    this.contextLength = contextLength;
    this.repair = repair;
    this.pairToId = new Map();
    for (let n = 0; n < merges.length / 2; n++)
      this.pairToId.set(pairKey(merges[2 * n], merges[2 * n + 1]), FIRST_MERGE + n);
    this.sotId = FIRST_MERGE + merges.length / 2;
    this.eosId = this.padId = this.sotId + 1;
  }

  // The ids of a text of any length, without start and end.
  encode(text) {
    if (!text.isWellFormed()) throw new Problem("half_character");
    const whole = this.repair ? text.normalize("NFC").replace(/[\u2018\u2019]/g, "'")
      .replace(/[\u201c\u201d]/g, '"') : text;
    return chunks(whole).flatMap((chunk) => words(chunk, this.repair).flatMap((word) =>
      word === START ? [this.sotId] : word === END ? [this.eosId] : mergeWord(wordIds(word), this.pairToId)));
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
