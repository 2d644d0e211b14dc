// The model: two towers in ONNX Runtime, its tokenizer and its preprocessing, as in clipmini/embedder.py.

import * as ort from "../ort/ort.wasm.min.mjs";
import { levels, normalised, resizeAndCrop } from "./image.js";
import { Problem } from "./problem.js";
import { Tokenizer } from "./tokenizer.js";

const AT_A_TIME = 32, WASM = "ort/ort-wasm-simd-threaded";

async function fetched(url) {
  const file = url.pathname.split("/").pop();
  const answer = await fetch(url, { cache: "no-cache" }).catch(() => { throw new Problem("offline", { file }); });
  if (answer.status === 409) throw new Problem("renewed");  // see sw.js
  if (!answer.ok) throw new Problem("not_fetched", { file, status: answer.status });
  return answer;
}

// The bytes of a file. told(bytes): how many more have come.
async function read(url, told) {
  const answer = await fetched(url), reader = answer.body.getReader(), parts = [];
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    told(part.value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

export class Embedder {
  // base: URL of the site's folder; told(bytes so far).
  static async load(base, told = () => {}) {
    let bytes = 0;
    const at = (path) => new URL(path, base), get = (path) => read(at(path), (more) => told(bytes += more));
    const [config, merges, runtime, image, text] = await Promise.all([
      fetched(at("model/model.json")).then((answer) => answer.json()),
      fetched(at("model/merges.bin")).then((answer) => answer.arrayBuffer()),
      ...[`${WASM}.wasm`, "model/image.onnx", "model/text.onnx"].map(get)]);
    ort.env.wasm.wasmBinary = runtime;
    ort.env.wasm.wasmPaths = { mjs: at(`${WASM}.mjs`).href };
    ort.env.wasm.numThreads = 1;  // more of them want headers that static hosts do not send
    const options = { executionProviders: ["wasm"] };
    return new Embedder(config, merges, await ort.InferenceSession.create(image, options),
      await ort.InferenceSession.create(text, options));
  }

  constructor(config, merges, image, text) {
    Object.assign(this, { config, image, text, scale: config.scale, bias: config.bias, width: config.embed_dim });
    const pairs = config.vocab_size <= 65_536 ? new Uint16Array(merges) : new Uint32Array(merges);
    this.tokenizer = new Tokenizer(pairs, config.context_length, config.repair);
    this.tables = levels(config.vision);
    this.known = new Set((config.words || "").split(" "));  // of the captions that it learnt from
  }

  // What the tower sees of a picture: { data, width, height } of the model's size.
  seen(picture) {
    return resizeAndCrop(picture, this.config.vision);
  }

  // Unit vectors (Float32Array each) of pictures { data, width, height }. told(share): how far it is.
  embedImages(pictures, told) {
    return this.embedPixels(pictures.map((picture) => normalised(this.seen(picture), this.tables)), told);
  }

  // The same of pixels (3, S, S) float32.
  async embedPixels(pixels, told = () => {}) {
    const size = this.config.vision.image_size, vectors = [];
    for (let start = 0; start < pixels.length; start += AT_A_TIME) {
      const some = pixels.slice(start, start + AT_A_TIME), joined = new Float32Array(some.length * 3 * size * size);
      some.forEach((one, i) => joined.set(one, i * one.length));
      const fed = { pixels: new ort.Tensor("float32", joined, [some.length, 3, size, size]) };
      vectors.push(...this.rows((await this.image.run(fed)).vectors.data));
      told(Math.min(1, (start + AT_A_TIME) / pixels.length));
    }
    return vectors;
  }

  // Unit vectors of texts; too long ones are cut.
  async embedTexts(texts) {
    const vectors = [];
    for (let start = 0; start < texts.length; start += 4 * AT_A_TIME) {
      const lists = this.tokenizer.tokenLists(texts.slice(start, start + 4 * AT_A_TIME));
      const longest = Math.max(...lists.map((ids) => ids.length));
      const ids = lists.flatMap((list) => [...list, ...Array(longest - list.length).fill(this.tokenizer.padId)]);
      const fed = { ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [lists.length, longest]) };
      vectors.push(...this.rows((await this.text.run(fed)).vectors.data));
    }
    return vectors;
  }

  rows(data) {
    return Array.from({ length: data.length / this.width }, (_, i) => data.slice(i * this.width, (i + 1) * this.width));
  }
}
