// GPT-2's byte-level BPE: a text becomes the token ids that the tokenizers library gives.
//
// Everything that depends on a version of Unicode comes with the tokenizer, as ranges of characters that
// hf_spam/tokens/browser.py read off the tokenizers library. So a browser that knows newer characters, or fewer, gives
// the same ids.

"use strict";

const OTHER = 0;
const LETTER = 1;
const NUMBER = 2;
const SPACE = 3;
const CONTRACTION = /'(?:[sdmt]|ll|ve|re)/y;
const REMEMBERED = 20000; // words whose ids are kept
const LONGEST_REMEMBERED = 64; // characters

class Tokenizer {
  // `description` is what hf_spam/tokens/browser.py makes of a tokenizer.json.
  constructor(description) {
    const { vocabulary, merges, bytes } = description;
    this.size = Object.keys(vocabulary).length;
    this.idOfByte = bytes.map((token) => vocabulary[token]);
    this.mergeOf = new Map(); // of two ids: the rank of their merge, and the id that they become
    merges.forEach((merge, rank) => {
      const [first, second] = merge.split(" ");
      this.mergeOf.set(this.pair(vocabulary[first], vocabulary[second]), { rank, id: vocabulary[first + second] });
    });
    this.kinds = new Uint8Array(0x110000); // of each character
    for (const [kind, ranges] of [
      [LETTER, description.letters],
      [NUMBER, description.numbers],
      [SPACE, description.spaces],
    ]) {
      for (const [first, last] of ranges) this.kinds.fill(kind, first, last + 1);
    }
    this.prefixSpace = description.add_prefix_space;
    this.steps = description.normalizer.map(toStep);
    this.addedBefore = new AddedTokens(description.added.filter((token) => !token.normalized));
    this.addedAfter = new AddedTokens(description.added.filter((token) => token.normalized));
    this.words = new Map();
    this.encoder = new TextEncoder();
  }

  // Return the first `most` ids of a text.
  encode(text, most = Infinity) {
    const ids = [];
    for (const part of this.parts(text.replace(/\p{Surrogate}/gu, "\ufffd"))) {
      if (part.id !== undefined) ids.push(part.id);
      else for (const word of this.divide(part.text)) {
        for (const id of this.encodeWord(word)) ids.push(id);
        if (ids.length >= most) break;
      }
      if (ids.length >= most) return ids.slice(0, most);
    }
    return ids;
  }

  // Yield added tokens, and what lies between them, normalised.
  *parts(text) {
    for (const part of this.addedBefore.split(text)) {
      if (part.id !== undefined) yield part;
      else yield* this.addedAfter.split(this.steps.reduce((changed, step) => step(changed), part.text));
    }
  }

  // Yield the words of a text: a word takes the one space before it; of several spaces the last stays for it.
  *divide(text) {
    if (this.prefixSpace && text !== "" && !text.startsWith(" ")) text = ` ${text}`;
    const kindAt = (place) => this.kinds[text.codePointAt(place)];
    const widthAt = (place) => (text.codePointAt(place) > 0xffff ? 2 : 1);
    let start = 0;
    while (start < text.length) {
      CONTRACTION.lastIndex = start;
      let end = start;
      const first = start + (text[start] === " " && start + 1 < text.length ? 1 : 0);
      if (CONTRACTION.test(text)) {
        end = CONTRACTION.lastIndex;
      } else if (kindAt(first) !== SPACE) {
        const kind = kindAt(first);
        end = first;
        while (end < text.length && kindAt(end) === kind) end += widthAt(end);
      } else {
        while (end < text.length && kindAt(end) === SPACE) end += 1; // none of them is wider
        if (end < text.length && end - start > 1) end -= 1;
      }
      yield text.slice(start, end);
      start = end;
    }
  }

  encodeWord(word) {
    const known = this.words.get(word);
    if (known) return known;
    const ids = this.merge(Array.from(this.encoder.encode(word), (byte) => this.idOfByte[byte]));
    if (word.length <= LONGEST_REMEMBERED) {
      if (this.words.size >= REMEMBERED) this.words.clear();
      this.words.set(word, ids);
    }
    return ids;
  }

  // Merge neighbours, the lowest rank first and among equals the leftmost, until none is left. A word of n bytes takes
  // n log n steps: the merges that are possible wait in a heap.
  merge(ids) {
    const next = ids.map((_, place) => place + 1); // the place of the right neighbour
    const previous = ids.map((_, place) => place - 1);
    const heap = new Heap();
    const propose = (left) => {
      const right = next[left];
      if (left < 0 || right >= ids.length) return;
      const merge = this.mergeOf.get(this.pair(ids[left], ids[right]));
      if (merge) heap.push(merge.rank, left, merge.id);
    };
    for (let place = 0; place + 1 < ids.length; place++) propose(place);
    for (let top = heap.pop(); top; top = heap.pop()) {
      const { place: left, id } = top;
      const right = next[left];
      if (ids[left] === undefined || right >= ids.length) continue;
      if (this.mergeOf.get(this.pair(ids[left], ids[right]))?.id !== id) continue; // a neighbour has changed since
      ids[left] = id;
      ids[right] = undefined;
      next[left] = next[right];
      if (next[right] < ids.length) previous[next[right]] = left;
      propose(previous[left]);
      propose(left);
    }
    return ids.filter((id) => id !== undefined);
  }

  pair(first, second) {
    return first * this.size + second;
  }
}

// A binary heap of merges, by their ranks, then by their places.
class Heap {
  constructor() {
    this.items = [];
  }

  push(rank, place, id) {
    const items = this.items;
    const item = { rank, place, id };
    let at = items.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!Heap.before(item, items[above])) break;
      items[at] = items[above];
      at = above;
    }
    items[at] = item;
  }

  pop() {
    const items = this.items;
    const top = items[0];
    const item = items.pop();
    if (items.length === 0) return top;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= items.length) break;
      if (below + 1 < items.length && Heap.before(items[below + 1], items[below])) below += 1;
      if (!Heap.before(items[below], item)) break;
      items[at] = items[below];
      at = below;
    }
    items[at] = item;
    return top;
  }

  static before(one, other) {
    return one.rank !== other.rank ? one.rank < other.rank : one.place < other.place;
  }
}

// Tokens that somebody added: they are found before a text is divided. One without an id shadows others where it
// stands, and is text itself: the marker of the end of a text, which no message may forge.
class AddedTokens {
  constructor(tokens) {
    this.idOf = new Map(tokens.map((token) => [token.content, token.id]));
    const longestFirst = tokens.map((token) => token.content).sort((one, other) => other.length - one.length);
    const literal = (content) => content.replace(/[\\^$.*+?()[\]{}|]/gu, "\\$&");
    this.pattern = tokens.length ? new RegExp(longestFirst.map(literal).join("|"), "gu") : null;
  }

  // Yield `{id}` for each token and `{text}` for what lies between.
  *split(text) {
    let start = 0;
    for (const match of this.pattern ? text.matchAll(this.pattern) : []) {
      const id = this.idOf.get(match[0]);
      if (id === null) continue;
      if (match.index > start) yield { text: text.slice(start, match.index) };
      yield { id };
      start = match.index + match[0].length;
    }
    if (start < text.length) yield { text: text.slice(start) };
  }
}

// Return a step of a normaliser as a function of a text.
function toStep(step) {
  if (step.kind === "remove") {
    const pattern = new RegExp(toClass(step.ranges), "gu");
    return (text) => text.replace(pattern, "");
  }
  if (step.kind === "nfkc") {
    // What the library does not know takes no part in a normal form, and separates what does.
    const pattern = new RegExp(`${toClass(step.ranges)}+`, "gu");
    return (text) => text.replace(pattern, (run) => run.normalize("NFKC"));
  }
  if (step.kind === "letters") {
    const letterOf = new Map(Object.entries(step.letters));
    return (text) => Array.from(text, (character) => letterOf.get(character) ?? character).join("");
  }
  const pattern = new RegExp(step.pattern, "gu");
  return (text) => text.replace(pattern, step.by);
}

function toClass(ranges) {
  const hex = (character) => `\\u{${character.toString(16)}}`;
  return `[${ranges.map(([first, last]) => `${hex(first)}-${hex(last)}`).join("")}]`;
}

if (typeof module === "object") module.exports = { Tokenizer }; // for tests, in Node.js
