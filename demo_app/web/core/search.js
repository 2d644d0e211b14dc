// What is asked for in a search, as in clipmini/tasks/index.py: words and pictures, added and subtracted with weights.

import { dot, unit } from "./classify.js";
import { Problem } from "./problem.js";

// "2:red car + [a - b.png] - fruit" -> [{ weight: 2, text: "red car" }, ...]. A sign stands between blanks and outside
// of brackets; a plus between two letters needs none.
export function terms(line) {
  const words = [];
  let start = 0;
  for (const sign of line.matchAll(/(?<!\S)[+\-−＋－](?!\S)|(?<=[\p{L}_])[+＋](?=[\p{L}_])/gu)) {
    const before = line.slice(0, sign.index);
    if (before.split("[").length > before.split("]").length) continue;
    words.push(line.slice(start, sign.index), "+＋".includes(sign[0]) ? "+" : "-");
    start = sign.index + 1;
  }
  const found = [];
  let sign = 1, waiting = true;
  for (const word of [...words, line.slice(start)].map((part) => part.trim()).filter(Boolean)) {
    if (word === "+" || word === "-") {
      [sign, waiting] = [word === "+" ? 1 : -1, true];
      continue;
    }
    const weighed = word.match(/^(\d+(?:\.\d+)?)[:：](.+)$/s);
    found.push(weighed ? { weight: sign * weighed[1], text: weighed[2].trim() } : { weight: sign, text: word });
    [sign, waiting] = [1, false];
  }
  const weight = found.find((one) => !Number.isFinite(one.weight));
  if (weight) throw new Problem("weight", { text: weight.text });
  if (waiting || !found.length) throw new Problem("nothing_asked", { text: line });
  return found;
}

// The weighted sum of unit vectors, of unit length. asked: [{ weight, vector }].
export function query(asked) {
  const total = asked[0].vector.map((_, i) => asked.reduce((sum, { weight, vector }) => sum + weight * vector[i], 0));
  if (Math.sqrt(dot(total, total)) < 1e-6) throw new Problem("cancels_out");
  return unit(total);
}

// The numbers of all vectors, the nearest to the query first, with their cosines.
export function ranked(vector, vectors) {
  return vectors.map((other, row) => ({ row, cosine: dot(vector, other) })).sort((a, b) => b.cosine - a.cosine);
}
