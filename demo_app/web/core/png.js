// PNG files whose levels a browser would not give as they are: with transparency, which a canvas multiplies into the
// colours, of 16 bits, which browsers round differently, and with a gamma, which Python leaves alone. Others, and
// animations, are left to the browser.

import { inflated, pngChunks } from "./containers.js";
import { orientationOf, turned } from "./exif.js";

const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4],  // Adam7
  [1, 0, 2, 2], [0, 1, 1, 2]];

// Undo the filters of `height` lines of `wide` bytes, in place; step: bytes of a pixel.
function unfilter(data, start, height, wide, step) {
  for (let y = 0, at = start; y < height; y++, at += wide + 1) {
    const filter = data[at];
    for (let i = 1; i <= wide; i++) {
      const left = i > step ? data[at + i - step] : 0, up = y ? data[at + i - wide - 1] : 0;
      const corner = y && i > step ? data[at + i - step - wide - 1] : 0;
      if (filter === 1) data[at + i] += left;
      else if (filter === 2) data[at + i] += up;
      else if (filter === 3) data[at + i] += (left + up) >> 1;
      else if (filter === 4) {
        const p = left + up - corner, a = Math.abs(p - left), b = Math.abs(p - up), c = Math.abs(p - corner);
        data[at + i] += a <= b && a <= c ? left : b <= c ? up : corner;
      }
    }
  }
}

// Reads pixel x of the line that begins at raw[at]: put(r, g, b, a) is given its levels.
function reader({ depth, colour, palette, key }, raw) {
  const channels = CHANNELS[colour], most = depth < 8 ? 255 / ((1 << depth) - 1) : 1, top = (1 << depth) - 1;
  const sample = depth === 16 ? (at, i) => (raw[at + 2 * i] << 8) + raw[at + 2 * i + 1]
    : depth === 8 ? (at, i) => raw[at + i]
      : (at, i) => (raw[at + (i * depth >> 3)] >> (8 - depth - (i * depth & 7))) & top;
  const level = depth === 16 ? (v) => v >> 8 : (v) => v * most;
  const keys = key && colour !== 3 ? [0, 1, 2].map((c) => (key[2 * c] << 8) + key[2 * c + 1]) : null;
  return (at, x, put) => {
    const first = sample(at, x * channels);
    if (colour === 3) return put(palette[3 * first], palette[3 * first + 1], palette[3 * first + 2],
      key?.[first] ?? 255);
    const grey = level(first);
    if (colour === 0) return put(grey, grey, grey, keys && first === keys[0] ? 0 : 255);
    if (colour === 4) return put(grey, grey, grey, level(sample(at, 2 * x + 1)));
    const g = level(sample(at, x * channels + 1)), b = level(sample(at, x * channels + 2));
    if (colour === 6) return put(grey, g, b, level(sample(at, 4 * x + 3)));
    return put(grey, g, b, keys && grey === level(keys[0]) && g === level(keys[1]) && b === level(keys[2]) ? 0 : 255);
  };
}

// { data (RGBA), width, height } of a file, or null where the browser should decode it. all: also one without
// transparency, such as a damaged one that the browser refused.
export async function openPng(bytes, all = false) {
  const { IHDR: [head] = [], PLTE: [palette] = [], tRNS: [key] = [], IDAT, ...others } = pngChunks(bytes);
  if (!head || head.length < 13 || !IDAT) return null;
  const view = new DataView(head.buffer, head.byteOffset), [width, height] = [view.getUint32(0), view.getUint32(4)];
  const kind = { depth: head[8], colour: head[9], palette, key }, channels = CHANNELS[kind.colour];
  if (!channels || (kind.colour === 3 && !palette)) return null;
  const own = (names) => names.some((name) => name in others), gamma = own(["gAMA", "cHRM"]) && !own(["sRGB"]);
  const ordinary = kind.colour < 4 && !key && kind.depth < 16 && !gamma;
  if (!all && (ordinary || own(["acTL", "cICP"]))) return null;
  const raw = await inflated(IDAT), data = new Uint8ClampedArray(4 * width * height), read = reader(kind, raw);
  const bits = kind.depth * channels;
  let at = 0;
  for (const [x0, y0, dx, dy] of head[12] ? PASSES : [[0, 0, 1, 1]]) {
    const w = Math.ceil((width - x0) / dx), h = Math.ceil((height - y0) / dy), wide = Math.ceil(w * bits / 8);
    if (w <= 0 || h <= 0) continue;
    if (at + h * (wide + 1) > raw.length) return null;
    unfilter(raw, at, h, wide, Math.max(1, bits >> 3));
    for (let y = 0; y < h; y++, at += wide + 1) {
      let to = 4 * ((y0 + y * dy) * width + x0);
      const put = (r, g, b, a) => { data[to] = r; data[to + 1] = g; data[to + 2] = b; data[to + 3] = a; };
      for (let x = 0; x < w; x++, to += 4 * dx) read(at + 1, x, put);
    }
  }
  return turned({ data, width, height }, others.eXIf ? orientationOf(others.eXIf[0]) : 1);
}
