// From anybody's file to RGB, as in clipmini/picture_file.py. The browser decodes, turns as the camera says and
// converts colours; what it must not do is lay transparent parts on black, or resize.

import { isJpeg, jpegSegments, pngChunks } from "./containers.js";
import { leftToTurn, turned } from "./exif.js";
import { changesNothing, profileOf, transformOf } from "./icc.js";
import { openPng } from "./png.js";
import { Problem } from "./problem.js";

const MAX_PIXELS = 40_000_000, MAX_ASPECT = 20;

// Width and height as the file's header says them, before anything is decoded; null for other formats.
async function announced(blob) {
  const bytes = new DataView(await blob.slice(0, 65536).arrayBuffer());
  const n = bytes.byteLength, starts = (text, at = 0) =>
    n >= at + text.length && [...text].every((c, i) => bytes.getUint8(at + i) === c.charCodeAt(0));
  if (starts("\x89PNG") && n >= 24) return [bytes.getUint32(16), bytes.getUint32(20)];
  if (starts("GIF8") && n >= 10) return [bytes.getUint16(6, true), bytes.getUint16(8, true)];
  if (starts("BM") && n >= 26) return [bytes.getInt32(18, true), Math.abs(bytes.getInt32(22, true))];
  if (starts("RIFF") && starts("VP8X", 12) && n >= 30)
    return [24, 27].map((at) => 1 + bytes.getUint16(at, true) + (bytes.getUint8(at + 2) << 16));
  for (let at = 2; starts("\xff\xd8") && at + 9 < n && bytes.getUint8(at) === 0xff;) {
    const marker = bytes.getUint8(at + 1);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return [bytes.getUint16(at + 7), bytes.getUint16(at + 5)];
    at += 2 + bytes.getUint16(at + 2);
  }
  return null;
}

function checkSize([width, height]) {
  if (width * height > MAX_PIXELS) throw new Problem("too_large", { width, height, limit: MAX_PIXELS });
  if (Math.max(width, height) > MAX_ASPECT * Math.max(1, Math.min(width, height)))
    throw new Problem("too_long", { width, height, limit: MAX_ASPECT });
}

// Levels (RGBA) of a bitmap, of each pixel's own colour however transparent it is: a canvas would multiply the two.
function straightLevels(bitmap) {
  const { width, height } = bitmap, gl = new OffscreenCanvas(1, 1).getContext("webgl");
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D,
    gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) return null;
  const data = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  gl.getExtension("WEBGL_lose_context")?.loseContext();  // a browser has few of them
  return data;
}

// RGB of RGBA levels, transparent parts on white, with the rounding of Pillow's alpha_composite. An alpha that is zero
// everywhere over a picture is no alpha.
function onWhite(rgba, width, height) {
  const area = width * height, data = new Uint8ClampedArray(area * 3);
  const low = [255, 255, 255, 255], high = [0, 0, 0, 0];
  for (let i = 0; i < 4 * area; i++) {
    if (rgba[i] < low[i & 3]) low[i & 3] = rgba[i];
    if (rgba[i] > high[i & 3]) high[i & 3] = rgba[i];
  }
  const opaque = high[3] === 0 && [0, 1, 2].some((c) => high[c] - low[c] > 2);
  for (let i = 0; i < area; i++) {
    const a = opaque ? 255 : rgba[4 * i + 3];
    for (let c = 0; c < 3; c++) {
      const sum = 128 * (a * rgba[4 * i + c] + (255 - a) * 255 + 128);
      data[3 * i + c] = a ? ((sum >> 8) + sum) >> 15 : 255;
    }
  }
  return { data, width, height };
}

function seesThrough(rgba) {
  for (let i = 3; i < rgba.length; i += 4) if (rgba[i] < 255) return true;
  return false;
}

function levels(bitmap) {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

// Levels (RGBA) of a blob as the browser decodes it, and its size.
async function decoded(blob, options = {}) {
  const bitmap = await createImageBitmap(blob, options), { width, height } = bitmap;
  checkSize([width, height]);
  let data = levels(bitmap);
  bitmap.close();
  if (seesThrough(data)) {
    const straight = await createImageBitmap(blob, { ...options, premultiplyAlpha: "none" });
    data = straightLevels(straight) || data;
    straight.close();
  }
  return { data, width, height };
}

// Of a profile that only the browser can read: one that changes next to nothing, such as sRGB's own, is left out, for
// browsers differ by a level there.
async function inSrgb(blob, found, options) {
  const plain = await decoded(blob, { ...options, colorSpaceConversion: "none" });
  return plain.data.every((level, i) => Math.abs(level - found.data[i]) <= 3) ? plain : found;
}

// What a file's profile asks for: a function that changes levels, or null for nothing; undefined: the browser knows.
async function conversion(bytes) {
  const profile = await profileOf(bytes).catch(() => null);
  if (!profile) return null;
  const transform = transformOf(profile);
  if (!transform) return undefined;
  return isGrey(bytes) || changesNothing(transform) ? null : transform;
}

// Levels of grey know no profile of colours.
function isGrey(bytes) {
  const { IHDR: [head] = [] } = pngChunks(bytes);
  if (head) return head[9] === 0 || head[9] === 4;
  for (const { marker, content } of jpegSegments(bytes))
    if ([0xc0, 0xc1, 0xc2].includes(marker)) return content[5] === 1;
  return false;
}

// As the browser decodes it, which turns JPEG and PNG files itself, and no WebP.
async function byBrowser(blob, bytes, convert) {
  const turn = leftToTurn(bytes), options = turn === 1 ? {} : { imageOrientation: "none" };
  if (convert !== undefined) options.colorSpaceConversion = "none";  // there is no profile, or it is applied here
  const read = lacksEnd(bytes) ? withoutEnd(bytes, options) : decoded(blob, options);
  return turned(convert === undefined ? await inSrgb(blob, await read, options) : await read, turn);
}

// Whether a JPEG has no end behind its last scan.
function lacksEnd(bytes) {
  if (!isJpeg(bytes)) return false;
  for (let at = bytes.length - 2; at > 1; at--)
    if (bytes[at] === 0xff && (bytes[at + 1] === 0xd9 || bytes[at + 1] === 0xda)) return bytes[at + 1] === 0xda;
  return true;
}

// A JPEG whose end is missing, if no pixel depends on what is missing: whatever is put there changes nothing.
async function withoutEnd(bytes, options) {
  const [one, other] = await Promise.all([[], Array(512).fill(0x5a)].map((filling) =>
    decoded(new Blob([bytes, new Uint8Array([...filling, 0xff, 0xd9])], { type: "image/jpeg" }), options)));
  if (one.data.some((level, i) => level !== other.data[i])) throw new Error("it is cut short");
  return one;
}

// A picture { data (3 levels a pixel), width, height } of a Blob. Throws Problem for what is no picture, or too large.
// check(): may throw, once it is decoded.
export async function openImage(blob, check = () => {}) {
  if (!blob.size) throw new Problem("empty_file");
  const said = await announced(blob);
  if (said) checkSize(said);
  const bytes = new Uint8Array(await blob.arrayBuffer());
  try {
    const convert = await conversion(bytes), known = convert !== undefined;
    const own = known ? await openPng(bytes).catch(() => null) : null;  // damaged: the browser may know how to mend it
    const { data, width, height } = own || await byBrowser(blob, bytes, convert);
    convert?.(data);
    check();
    return onWhite(data, width, height);
  } catch (error) {
    if (error instanceof Problem) throw error;
    const mended = await openPng(bytes, true).catch(() => null);
    if (mended) return onWhite(mended.data, mended.width, mended.height);
    throw new Problem("no_picture_file", { type: blob.type || "?", why: error.message });
  }
}
