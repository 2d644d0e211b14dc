// From RGB to pixels, CLIP's way, as in clipmini/image.py. The resampling is that of Pillow, whose vectors these are
// compared with: its filters, its fixed-point weights and its rounding, so that not a bit differs.

const PRECISION = 22;  // bits of a weight behind the point: 32, less 8 of a level, less 2 for filters that overshoot
const FILTERS = {
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, (x) => {
    const a = -0.5, d = Math.abs(x);
    if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
  }],
};

// For each of `to` places: the first of the `from` levels that it is made of, how many, and their weights.
function weights(from, to, name) {
  const [reach, filter] = FILTERS[name], scale = from / to, stretch = Math.max(scale, 1), support = reach * stretch;
  const most = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to), count = new Int32Array(to), table = new Int32Array(to * most);
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * scale, low = Math.max(0, Math.trunc(center - support + 0.5));
    const high = Math.min(from, Math.trunc(center + support + 0.5)), raw = [];
    for (let x = low; x < high; x++) raw.push(filter((x - center + 0.5) * (1 / stretch)));
    const sum = raw.reduce((a, b) => a + b, 0);
    raw.forEach((w, k) => {
      const share = (sum !== 0 ? w / sum : w) * 2 ** PRECISION;
      table[i * most + k] = Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    first[i] = low;
    count[i] = high - low;
  }
  return { first, count, table, most };
}

// One direction of the resampling: `to` levels in place of `from` for each of `lines` lines. step, jump: from one level
// to the next, and from one line to the next, in source and target.
function pass(data, from, to, lines, name, step, jump, out, outStep, outJump) {
  const { first, count, table, most } = weights(from, to, name), half = 1 << (PRECISION - 1);
  for (let i = 0; i < to; i++) {
    const begin = first[i], n = count[i], w = i * most;
    for (let line = 0; line < lines; line++) {
      let at = line * jump + begin * step, r = half, g = half, b = half;
      for (let k = 0; k < n; k++, at += step) {
        const weight = table[w + k];
        r += data[at] * weight;
        g += data[at + 1] * weight;
        b += data[at + 2] * weight;
      }
      const target = line * outJump + i * outStep;  // a Uint8ClampedArray clips
      out[target] = r >> PRECISION;
      out[target + 1] = g >> PRECISION;
      out[target + 2] = b >> PRECISION;
    }
  }
}

// A picture { data (3 levels a pixel), width, height } at another size.
export function resize(picture, width, height, interpolation = "bicubic") {
  let { data, width: w, height: h } = picture;
  if (w !== width) {
    const out = new Uint8ClampedArray(width * h * 3);
    pass(data, w, width, h, interpolation, 3, 3 * w, out, 3, 3 * width);
    data = out;
    w = width;
  }
  if (h !== height) {
    const out = new Uint8ClampedArray(w * height * 3);
    pass(data, h, height, w, interpolation, 3 * w, 3, out, 3 * w, 3);
    data = out;
  }
  return { data, width, height };
}

export function crop(picture, left, top, width, height) {
  const data = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * picture.width + left) * 3;
    data.set(picture.data.subarray(from, from + width * 3), y * width * 3);
  }
  return { data, width, height };
}

export const roundHalf = (x) =>  // halves to the even number
  Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);

// Short side to the model's size, then the central square.
export function resizeAndCrop(picture, vision) {
  const size = vision.image_size, least = Math.min(picture.width, picture.height);
  const [width, height] = vision.resize_mode === "squash" ? [size, size]
    : [picture.width, picture.height].map((n) => Math.trunc(size * n / least));
  const halve = vision.crop === "floor" ? Math.floor : roundHalf;
  const resized = resize(picture, width, height, vision.interpolation);
  return crop(resized, halve((width - size) / 2), halve((height - size) / 2), size, size);
}

// What each of the 256 levels of each channel becomes, in float32 as Python has it.
export function levels({ mean, std }) {
  const f = Math.fround;
  return mean.map((m, c) => Float32Array.from({ length: 256 }, (_, v) => f(f(f(v / 255) - f(m)) / f(std[c]))));
}

// Pixels (3, S, S) float32 of a picture of the model's size.
export function normalised(picture, tables) {
  const area = picture.width * picture.height, pixels = new Float32Array(3 * area);
  for (let c = 0; c < 3; c++) for (let i = 0; i < area; i++) pixels[c * area + i] = tables[c][picture.data[3 * i + c]];
  return pixels;
}

// Whether a picture shows nothing: white, grey or black all over, to two levels of 255. All red is an answer.
export function isBlank({ data }) {
  const low = [255, 255, 255], high = [0, 0, 0];
  for (let i = 0; i < data.length; i++) {
    const c = i % 3;
    if (data[i] < low[c]) low[c] = data[i];
    if (data[i] > high[c]) high[c] = data[i];
  }
  return high.every((v, c) => v - low[c] <= 2) && Math.max(...high) - Math.min(...low) <= 4;
}
