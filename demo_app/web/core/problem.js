// What went wrong, as a key of the page's texts and the values that it names; the page says it in its language.
export class Problem extends Error {
  constructor(kind, values = {}) {
    super(`${kind} ${JSON.stringify(values)}`);
    this.kind = kind;
    this.values = values;
  }
}
