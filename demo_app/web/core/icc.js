// Colours of a profile as sRGB, with the arithmetic that LittleCMS has for profiles of three curves and a matrix: those
// of cameras and screens. Each browser rounds in its own way. Other kinds of profiles are left to the browser.

import { inflated, jpegSegments, pngChunks, text, webpChunk } from "./containers.js";

const ONE = 1 << 14;  // of LittleCMS's fixed-point numbers
// sRGB's own primaries as it builds them, seen in the light of profiles (D50): rows X, Y, Z.
const SRGB = inverse(adapted([0.3127, 0.329], [[0.64, 0.33], [0.3, 0.6], [0.15, 0.06]]));
const f = Math.fround, rounded = (x) => Math.floor(x + 0.5);

function times(a, b) {
  return a.map((row) => b[0].map((_, j) => row.reduce((sum, value, k) => sum + value * b[k][j], 0)));
}
function inverse([[a, b, c], [d, e, g], [h, i, j]]) {
  const A = e * j - g * i, B = g * h - d * j, C = d * i - e * h, det = a * A + b * B + c * C;
  return [[A, c * i - b * j, b * g - c * e], [B, a * j - c * h, c * d - a * g], [C, b * h - a * i, a * e - b * d]]
    .map((row) => row.map((value) => value / det));
}
function adapted([x, y], primaries) {
  const xyz = [0, 1, 2].map((k) => primaries.map(([px, py]) => [px, py, 1 - px - py][k]));
  const white = [x / y, 1, (1 - x - y) / y], column = (v) => v.map((value) => [value]), flat = (m) => m.map(([v]) => v);
  const sums = flat(times(inverse(xyz), column(white)));
  const cone = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];
  const from = flat(times(cone, column(white))), to = flat(times(cone, column([0.9642, 1, 0.8249])));
  const scaled = cone.map((row, i) => row.map((value) => value * to[i] / from[i]));
  return times(times(inverse(cone), scaled), xyz.map((row) => row.map((value, i) => value * sums[i])));
}

// The profile in a file, or null: JPEG has it in parts, PNG packed.
export async function profileOf(bytes) {
  const webp = webpChunk(bytes, "ICCP"), { iCCP: [packed] = [] } = pngChunks(bytes);
  if (webp) return webp;
  if (packed) return inflated([packed.subarray(packed.indexOf(0) + 2)]);
  const parts = [...jpegSegments(bytes)]
    .filter(({ marker, content }) => marker === 0xe2 && text(content, 0, 11) === "ICC_PROFILE")
    .map(({ content }) => content).sort((a, b) => a[12] - b[12]);
  return parts.length ? new Uint8Array(await new Blob(parts.map((part) => part.subarray(14))).arrayBuffer()) : null;
}

// A curve of a tag, from 0..1 to 0..1, or null.
function curveOf(view, at) {
  const kind = view.getUint32(at), fixed = (i) => view.getInt32(at + 12 + 4 * i) / 65536;
  if (kind === 0x63757276) {  // curv
    const n = view.getUint32(at + 8);
    if (n === 0) return (x) => x;
    if (n === 1) return (x) => x ** (view.getUint16(at + 12) / 256);
    return (x) => {  // LittleCMS's 16-bit interpolation
      const value = Math.min(65535, rounded(x * 65535)), far = (n - 1) * value;
      const place = far + Math.floor((far + 0x7fff) / 0xffff), cell = Math.floor(place / 65536), rest = place % 65536;
      const low = view.getUint16(at + 12 + 2 * cell), high = view.getUint16(at + 12 + 2 * Math.min(n - 1, cell + 1));
      return (value === 65535 ? view.getUint16(at + 10 + 2 * n) : low + ((high - low) * rest + 0x8000 >> 16)) / 65535;
    };
  }
  if (kind !== 0x70617261) return null;  // para
  const type = view.getUint16(at + 8), count = [1, 3, 4, 5, 7][type];
  const [g, a, b, c, d, e, h] = Array.from({ length: count }, (_, i) => fixed(i));
  return [(x) => x ** g, (x) => x >= -b / a ? (a * x + b) ** g : 0, (x) => x >= -b / a ? (a * x + b) ** g + c : c,
    (x) => x >= d ? (a * x + b) ** g : c * x, (x) => x >= d ? (a * x + b) ** g + e : c * x + h][type];
}

// sRGB's curve backwards, as LittleCMS inverts its five numbers.
function back(y) {
  const [g, a, b, c, d] = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045];
  return y >= (a * d + b) ** g ? (y ** (1 / g) - b) / a : y / c;
}

// What changes levels (RGBA, in place) from a profile's colours to sRGB; null where the profile is of another kind.
export function transformOf(profile) {
  const view = new DataView(profile.buffer, profile.byteOffset, profile.byteLength), tags = {};
  const name = (at) => text(profile, at, 4);
  try {
    if (name(16) !== "RGB " || name(20) !== "XYZ " || name(36) !== "acsp") return null;
    for (let i = 0; i < view.getUint32(128); i++) tags[name(132 + 12 * i)] = view.getUint32(136 + 12 * i);
    if (tags.A2B0 || !["rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC"].every((tag) => tags[tag])) return null;
    const colorants = [0, 1, 2].map((k) => ["rXYZ", "gXYZ", "bXYZ"].map((tag) =>
      view.getInt32(tags[tag] + 8 + 4 * k) / 65536));
    const matrix = times(SRGB, colorants).map((row) => row.map((value) => rounded(value * ONE)));
    const first = ["rTRC", "gTRC", "bTRC"].map((tag) => curveOf(view, tags[tag]))
      .map((curve) => Int32Array.from({ length: 256 }, (_, i) => rounded(f(curve(f(i / 255))) * ONE)));
    const last = Uint8Array.from({ length: ONE + 1 }, (_, i) => {
      const word = rounded(Math.min(1, Math.max(0, f(back(f(i / ONE))))) * 65535);
      return Math.floor((word * 65281 + 8388608) / 2 ** 24);
    });
    return (data) => {
      for (let i = 0; i < data.length; i += 4) {
        const r = first[0][data[i]], g = first[1][data[i + 1]], b = first[2][data[i + 2]];
        for (let c = 0; c < 3; c++) {
          const [x, y, z] = matrix[c], sum = (x * r + y * g + z * b + ONE / 2) >> 14;
          data[i + c] = last[Math.min(ONE, Math.max(0, sum))];
        }
      }
    };
  } catch {
    return null;  // damaged: the browser decides
  }
}

// Whether a transform leaves what it is given as it is, to three levels: a profile that says what is assumed anyhow.
export function changesNothing(transform) {
  const steps = Array.from({ length: 18 }, (_, i) => 15 * i), cube = [];
  for (const r of steps) for (const g of steps) for (const b of steps) cube.push(r, g, b, 255);
  const changed = Uint8ClampedArray.from(cube);
  transform(changed);
  return changed.every((level, i) => Math.abs(level - cube[i]) <= 3);
}
