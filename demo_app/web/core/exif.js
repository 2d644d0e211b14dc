// How the camera was held, where browsers do not ask: in WebP files, and in those PNG files that png.js decodes.

import { jpegSegments, text, webpChunk } from "./containers.js";

const SHORT = 3, LONG = 4;

// Orientation, 1 to 8, of an EXIF block; 1 where it can't be read. kinds: of numbers that count.
export function orientationOf(bytes, kinds = [SHORT, LONG]) {
  const start = String.fromCharCode(...bytes.subarray(0, 6)) === "Exif\0\0" ? 6 : 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, bytes.byteLength - start);
  try {
    const order = view.getUint16(0), little = order === 0x4949;
    if ((!little && order !== 0x4d4d) || view.getUint16(2, little) !== 42) return 1;
    const first = view.getUint32(4, little), count = view.getUint16(first, little);
    for (let at = first + 2; at < first + 2 + 12 * count; at += 12) {
      if (view.getUint16(at, little) !== 0x0112) continue;
      const kind = view.getUint16(at + 2, little);
      const found = kind === SHORT ? view.getUint16(at + 8, little) : view.getUint32(at + 8, little);
      return kinds.includes(kind) && found >= 1 && found <= 8 ? found : 1;
    }
  } catch { /* it ends too early */ }
  return 1;
}

// What a browser leaves to be undone: in a WebP any turn, in a JPEG one that is written as a long number.
export function leftToTurn(bytes) {
  const webp = webpChunk(bytes, "EXIF");
  if (webp) return orientationOf(webp);
  for (const { marker, content } of jpegSegments(bytes))
    if (marker === 0xe1 && text(content, 0, 4) === "Exif") return orientationOf(content, [LONG]);
  return 1;
}

// A picture { data (RGBA), width, height } turned as its orientation says.
export function turned({ data, width, height }, orientation) {
  if (orientation === 1) return { data, width, height };
  const [right, down] = [width - 1, height - 1], across = orientation > 4;
  const source = [null, null, (x, y) => [right - x, y], (x, y) => [right - x, down - y], (x, y) => [x, down - y],
    (x, y) => [y, x], (x, y) => [y, down - x], (x, y) => [right - y, down - x], (x, y) => [right - y, x]][orientation];
  const [w, h] = across ? [height, width] : [width, height], out = new Uint32Array(w * h);
  const pixels = new Uint32Array(data.buffer, data.byteOffset, width * height);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
    const [from, line] = source(x, y);
    out[y * w + x] = pixels[line * width + from];
  }
  return { data: new Uint8ClampedArray(out.buffer), width: w, height: h };
}
