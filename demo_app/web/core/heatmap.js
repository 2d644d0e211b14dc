// Where in the picture? As windows in clipmini/tasks/heatmap/methods.py: some hundred overlapping windows of four sizes
// are embedded as if each were a picture, and vote for the disc in their middle.

import { dot, softmax } from "./classify.js";
import { levels, normalised, resize, roundHalf } from "./image.js";

const WINDOWS = [0.22, 0.28, 0.35, 0.44];  // sides of the windows, as shares of the picture's
const VIEW_SIDES = 4, LARGEST = 672;  // the picture is cut up at this many times the tower's size, and at most so large
export const CELLS = 56;  // of the map, along a side
const PRESENT = 1.8, WHOLE_LESS = 0.4, LEVEL = 0.35;  // see presence.py, where they were chosen

// The picture in the middle of a square of the mean colour: nothing is cropped away.
function squared(picture, side, colour) {
  const scale = side / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width, picture.height].map((n) => Math.max(1, Math.round(n * scale)));
  const small = resize(picture, width, height), data = new Uint8ClampedArray(side * side * 3);
  for (let i = 0; i < data.length; i++) data[i] = roundHalf(255 * colour[i % 3]);
  const left = (side - width) >> 1, top = (side - height) >> 1;
  for (let y = 0; y < height; y++)
    data.set(small.data.subarray(3 * y * width, 3 * (y + 1) * width), 3 * ((top + y) * side + left));
  return { picture: { data, width: side, height: side }, box: { left, top, width, height, side } };
}

// For each of `to` places of a smaller side: first level and weights of a triangle, which is bilinear without aliasing.
function triangles(from, to) {
  const scale = from / to, reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale, low = Math.max(0, Math.trunc(center - reach + 0.5));
    const high = Math.min(from, Math.trunc(center + reach + 0.5));
    const raw = Array.from({ length: high - low }, (_, k) => Math.max(0, 1 - Math.abs(low + k + 0.5 - center) / reach));
    const sum = raw.reduce((a, b) => a + b, 0);
    return { low, weights: raw.map((w) => w / sum) };
  });
}

// A window of pixels (3, whole, whole) at the tower's size; what lies over the border repeats its edge.
function window(pixels, whole, left, top, side, own, table) {
  const out = new Float32Array(3 * own * own), row = new Float32Array(own * side);
  const inside = (v) => Math.min(whole - 1, Math.max(0, v));
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < side; y++) {
      const base = c * whole * whole + inside(top + y) * whole;
      for (let x = 0; x < own; x++) {
        const { low, weights } = table[x];
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * pixels[base + inside(left + low + k)];
        row[y * own + x] = sum;
      }
    }
    for (let y = 0; y < own; y++) for (let x = 0; x < own; x++) {
      const { low, weights } = table[y];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * row[(low + k) * own + x];
      out[c * own * own + y * own + x] = sum;
    }
  }
  return out;
}

// All windows of a picture: { found: how each is cut, places: centre x, centre y and side in shares of the square }.
function windows(pixels, whole, own) {
  const found = [], places = [];
  for (const share of WINDOWS) {
    const side = roundHalf(whole * share), step = Math.max(1, roundHalf(side / 4)), border = Math.trunc(side / 3);
    const count = Math.floor((whole + 2 * border - side) / step) + 1, table = triangles(side, own);
    for (let i = 0; i < count; i++) for (let j = 0; j < count; j++) {
      const [x, y] = [j, i].map((n) => n * step - border);
      places.push([(x + side / 2) / whole, (y + side / 2) / whole, side / whole]);
      found.push(() => window(pixels, whole, x, y, side, own, table));
    }
  }
  return { found, places };
}

const above = (value, background) => {
  const middle = background.reduce((a, b) => a + b, 0) / background.length;
  const spread = Math.sqrt(background.reduce((a, b) => a + (b - middle) ** 2, 0) / background.length);
  return (value - middle) / Math.max(spread, 1e-6);
};

// How far each text stands above everyday words, on the whole picture and on its windows, in standard deviations.
function presence(texts, everyday, whole, vectors) {
  const best = (text) => {
    const cosines = vectors.map((vector) => dot(text, vector));
    return Math.max(...cosines) - LEVEL * cosines.reduce((a, b) => a + b, 0) / cosines.length;
  };
  const usual = everyday.map(best), usualWhole = everyday.map((word) => dot(word, whole));
  return texts.map((text) => Math.max(above(dot(text, whole), usualWhole) - WHOLE_LESS, above(best(text), usual)));
}

// texts, everyday: unit vectors. -> { maps: for each text CELLS x CELLS numbers from 0 to 1, box: where in the square
// the picture lies, present: for each text whether it is there }.
// told(share): how far it is; it may throw, and wait for others.
export async function heatmap(embedder, picture, texts, everyday, told) {
  const { vision } = embedder.config, own = vision.image_size,
    whole = Math.max(own, Math.min(VIEW_SIDES * own, LARGEST));
  const { picture: square, box } = squared(picture, whole, vision.mean);
  const { found, places } = windows(normalised(square, levels(vision)), whole, own), vectors = [];
  for (let start = 0; start < found.length; start += 32) {
    vectors.push(...await embedder.embedPixels(found.slice(start, start + 32).map((cut) => cut())));
    await told(Math.min(1, (start + 32) / found.length));
  }
  const powers = vectors.map((vector) => [...everyday, ...texts].reduce(  // less the scale, which no softmax sees
    (sum, text) => sum + Math.exp(embedder.scale * (dot(text, vector) - 1)), 0));
  const maps = texts.map((text) => stretched(spread(softmax(vectors.map(
    (vector, i) => embedder.scale * dot(text, vector) - Math.log(powers[i]))), places)));
  const [first] = await embedder.embedImages([picture]);
  const scores = presence(texts, everyday, first, vectors);
  return { maps, box, present: scores.map((score) => score >= PRESENT) };
}

// Each window's vote over the disc in its middle -> CELLS x CELLS.
function spread(votes, places) {
  const map = new Float32Array(CELLS * CELLS);
  places.forEach(([x, y, side], n) => {
    const bell = (middle) => Float32Array.from({ length: CELLS }, (_, i) =>
      Math.exp(-((((i + 0.5) / CELLS - middle) / (side / 2)) ** 2)));
    const across = bell(x), down = bell(y);
    for (let i = 0; i < CELLS; i++)
      for (let j = 0; j < CELLS; j++) map[i * CELLS + j] += votes[n] * down[i] * across[j];
  });
  return map;
}

function stretched(map) {
  const low = Math.min(...map), high = Math.max(...map);
  return map.map((value) => high - low > 1e-9 ? (value - low) / (high - low) : 0);
}
