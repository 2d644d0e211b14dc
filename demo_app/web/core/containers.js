// What files are made of: the chunks of PNG and of WebP, and the segments of a JPEG before its pixels.

export const isJpeg = (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8;
export const text = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));

// Name -> its chunks, in order.
export function pngChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), found = {};
  if (text(bytes, 0, 8) !== "\x89PNG\r\n\x1a\n") return found;
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    (found[text(bytes, at + 4, 4)] ||= []).push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  return found;
}

// The first chunk of this name in a WebP file, or null.
export function webpChunk(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (text(bytes, 0, 4) !== "RIFF" || text(bytes, 8, 4) !== "WEBP") return null;
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    if (text(bytes, at, 4) === name) return bytes.subarray(at + 8, at + 8 + length);
    at += 8 + length + (length & 1);
  }
  return null;
}

// { marker, content } of each segment of a JPEG, up to its first scan.
export function* jpegSegments(bytes) {
  for (let at = 2; isJpeg(bytes) && at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda;) {
    const length = (bytes[at + 2] << 8) + bytes[at + 3];
    yield { marker: bytes[at + 1], content: bytes.subarray(at + 4, at + 2 + length) };
    at += 2 + length;
  }
}

export async function inflated(parts) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
