// The page: a message in, its label and the score of every label out. The model and the runtime come from the scripts
// beside this one, and all text from elsewhere (messages, labels) is written as text, never as HTML.

"use strict";

const SHOWN = 200; // rows of many results
const WAIT = 250; // milliseconds after the last key
const PAUSE = 50; // milliseconds of work between two looks at what the user does
const TO_LENGTH = 300; // characters of a message in the table of results

const find = (id) => document.getElementById(id);

function make(name, text = "", className = "") {
  const element = document.createElement(name);
  element.textContent = text;
  element.className = className;
  return element;
}

// Return the bytes that a script holds: gzip in base64.
async function unpack(text) {
  const characters = atob(text);
  const packed = new Uint8Array(characters.length);
  for (let place = 0; place < packed.length; place++) packed[place] = characters.charCodeAt(place);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Messages to scores.
class Classifier {
  static async load({ settings, tokenizer, model, starter, binary }) {
    const script = new Blob([await unpack(starter)], { type: "text/javascript" });
    ort.env.wasm.numThreads = 1; // more would need headers that a file from a disk does not have
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(script) };
    ort.env.wasm.wasmBinary = await unpack(binary);
    const session = await ort.InferenceSession.create(await unpack(model), { executionProviders: ["wasm"] });
    const description = JSON.parse(new TextDecoder().decode(await unpack(tokenizer)));
    return new Classifier(settings, new Tokenizer(description), session);
  }

  constructor(settings, tokenizer, session) {
    this.settings = settings;
    this.tokenizer = tokenizer;
    this.session = session;
    this.last = Promise.resolve();
  }

  // Return the label of a message, its scores and its decision, and how long that took; one message after the other.
  classify(text) {
    const result = this.last.then(() => this.score(text));
    this.last = result.catch(() => {});
    return result;
  }

  async score(text) {
    const start = performance.now();
    const { labels, problem_type: kind, max_length: longest, pad_token_id: padding, point } = this.settings;
    const found = this.tokenizer.encode(text, longest + 1);
    const ids = found.slice(0, longest);
    const row = ids.length ? ids : [padding];
    const tensor = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
    const mask = row.map(() => (ids.length ? 1 : 0));
    const outputs = await this.session.run({ input_ids: tensor(row), attention_mask: tensor(mask) });
    const logits = Array.from(outputs.logits.data);
    const scores = toScores(logits, kind);
    const best = scores.indexOf(Math.max(...scores));
    return {
      text,
      best,
      scores,
      label: kind === "regression" ? "" : labels[best],
      decision: point ? decide(logits, labels.indexOf(point.positive), point.unsure) : "",
      tokens: ids.length,
      isCut: found.length > longest,
      milliseconds: performance.now() - start,
    };
  }
}

function toScores(logits, kind) {
  if (kind === "regression") return logits;
  if (kind === "multi_label_classification") return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

// Return what becomes of a message, by the lead of the positive label's logit over the next one's.
function decide(logits, positive, unsure) {
  const lead = logits[positive] - Math.max(...logits.filter((_, id) => id !== positive));
  if (lead >= 0) return "block";
  return unsure !== null && lead >= unsure ? "unsure" : "allow";
}

const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(2)} s`;
const percent = (score) => `${(100 * score).toFixed(1)} %`;

class Page {
  constructor() {
    this.turn = 0; // of the message that was asked about last
    this.columns = [];
    this.results = [];
    this.isStopped = false;
    find("message").addEventListener("input", () => this.askSoon());
    find("classify").addEventListener("click", () => this.ask());
    find("clear").addEventListener("click", () => this.clear());
    find("lines").addEventListener("input", () => this.forgetFile());
    find("file").addEventListener("change", () => this.openFile().catch((error) => this.fail("many-state", error)));
    find("classify-many").addEventListener("click", () => this.askAll());
    find("stop").addEventListener("click", () => (this.isStopped = true));
    find("download").addEventListener("click", () => this.download());
  }

  async start() {
    const start = performance.now();
    try {
      if (!globalThis.hfSpam?.model || !hfSpam.binary) throw new Error("page-model.js or page-runtime.js is missing.");
      if (!globalThis.DecompressionStream) throw new Error("This browser is too old: one from 2023 on is needed.");
      const classifier = await Classifier.load(hfSpam);
      await classifier.classify("a"); // the first one of all takes several times as long as the others
      this.classifier = classifier;
    } catch (error) {
      return this.fail("state", error);
    }
    const { name, labels, problem_type: kind, max_length: longest, runtime } = hfSpam.settings;
    globalThis.hfSpam = undefined; // the texts are as large as the model
    this.labels = labels;
    this.kind = kind;
    find("state").textContent = `Ready. Loading took ${seconds(performance.now() - start)}.`;
    find("about").textContent =
      `Model: ${name}. Labels: ${labels.join(", ")}. It reads at most ${longest} tokens of a message. ` +
      `Runs with ONNX Runtime Web ${runtime} (MIT license, see onnxruntime-LICENSE.txt).`;
    find("classify").disabled = false;
    find("classify-many").disabled = false;
    if (find("message").value) await this.ask();
  }

  fail(place, error) {
    console.error(error);
    find(place).textContent = `This did not work: ${error.message}`;
    find(place).classList.add("failed");
  }

  askSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), WAIT);
  }

  async ask() {
    clearTimeout(this.timer);
    const turn = ++this.turn;
    const text = find("message").value;
    find("result").hidden = !text || !this.classifier;
    if (find("result").hidden) return;
    try {
      const result = await this.classifier.classify(text);
      if (turn === this.turn) this.show(result);
    } catch (error) {
      this.fail("state", error);
    }
  }

  show({ best, scores, label, decision, tokens, isCut, milliseconds }) {
    find("label").textContent = label || scores[0].toFixed(3);
    find("decision").textContent = decision;
    find("decision").className = decision;
    find("decision").hidden = !decision;
    const rows = this.kind === "regression" ? [] : scores.map((score, id) => this.scoreRow(id, score, id === best));
    find("scores").tBodies[0].replaceChildren(...rows);
    const read = isCut ? `Only the first ${tokens} tokens were read` : `${tokens} ${tokens === 1 ? "token" : "tokens"}`;
    find("facts").textContent = `${read}; ${milliseconds.toFixed(0)} ms.`;
  }

  scoreRow(id, score, isBest) {
    const row = make("tr");
    const name = make("th", "", isBest ? "winner" : "");
    name.scope = "row";
    name.append(make("bdi", this.labels[id]));
    const meter = make("meter");
    meter.value = score;
    meter.setAttribute("aria-hidden", "true"); // the figure beside it says the same
    const cell = make("div", "", isBest ? "score winner" : "score");
    cell.append(meter, make("span", percent(score)));
    row.append(name, make("td"));
    row.lastChild.append(cell);
    return row;
  }

  clear() {
    find("message").value = "";
    this.ask();
    find("message").focus();
  }

  forgetFile() {
    find("file").value = "";
    find("column-choice").hidden = true;
    this.columns = [];
  }

  async openFile() {
    const [file] = find("file").files;
    find("many-state").classList.remove("failed");
    this.columns = file ? readTable(file.name, decode(new Uint8Array(await file.arrayBuffer()))) : [];
    find("column").replaceChildren(...this.columns.map((column, place) => new Option(column.name, place)));
    find("column-choice").hidden = this.columns.length < 2;
    find("many-state").textContent = file ? `${this.columns[0].texts.length} messages in ${file.name}.` : "";
  }

  async askAll() {
    const column = this.columns[find("column").selectedIndex];
    const texts = column ? column.texts : toLines(find("lines").value);
    find("many-state").classList.remove("failed");
    if (!texts.length) return (find("many-state").textContent = "There are no messages yet.");
    this.isStopped = false;
    this.results = [];
    for (const id of ["classify-many", "file", "lines"]) find(id).disabled = true;
    for (const id of ["stop", "progress"]) find(id).hidden = false;
    for (const id of ["download", "many-results"]) find(id).hidden = true;
    find("progress").max = texts.length;
    const start = performance.now();
    try {
      await this.classifyAll(texts);
      this.showAll(performance.now() - start, texts.length);
    } catch (error) {
      this.fail("many-state", error);
    }
    for (const id of ["classify-many", "file", "lines"]) find(id).disabled = false;
    for (const id of ["stop", "progress"]) find(id).hidden = true;
  }

  async classifyAll(texts) {
    const channel = new MessageChannel(); // timers are slow in a tab that is not in front
    let last = performance.now();
    for (const text of texts) {
      if (this.isStopped) return;
      this.results.push(await this.classifier.classify(text));
      if (performance.now() - last < PAUSE) continue;
      find("progress").value = this.results.length;
      find("many-state").textContent = `${this.results.length} of ${texts.length} …`;
      await new Promise((resolve) => {
        channel.port1.onmessage = resolve;
        channel.port2.postMessage(null);
      });
      last = performance.now();
    }
  }

  showAll(milliseconds, asked) {
    const counts = this.labels.map((label) => [label, this.results.filter((it) => it.label === label).length]);
    const counted = this.kind === "regression" ? "" : ` ${counts.map(([label, n]) => `${label}: ${n}`).join(", ")}.`;
    const done = this.results.length;
    find("many-state").textContent =
      `${done === asked ? done : `${done} of ${asked}`} messages in ${seconds(milliseconds)}, ` +
      `${(milliseconds / Math.max(1, done)).toFixed(1)} ms each.${counted}` +
      (done > SHOWN ? ` The first ${SHOWN} are shown; the download has all.` : "");
    const table = find("many-results").firstElementChild;
    const heads = ["Message", "Label", "Score"];
    table.tHead.rows[0].replaceChildren(...heads.map((text) => Object.assign(make("th", text), { scope: "col" })));
    table.tBodies[0].replaceChildren(...this.results.slice(0, SHOWN).map((result) => this.resultRow(result)));
    find("many-results").hidden = !done;
    find("download").hidden = !done;
  }

  resultRow({ text, label, scores, best, decision }) {
    const row = make("tr");
    const shown = text.length > TO_LENGTH ? `${text.slice(0, TO_LENGTH)} …` : text;
    const score = this.kind === "regression" ? scores[0].toFixed(3) : percent(scores[best]);
    const cells = [shown, label].map((content) => Object.assign(make("td", content), { dir: "auto" }));
    row.append(...cells, make("td", score, "figure"));
    if (decision) cells[1].append(" ", make("span", decision, `decision ${decision}`));
    return row;
  }

  download() {
    const isNumber = this.kind === "regression";
    const hasDecisions = this.results.some((it) => it.decision);
    const head = ["text", ...(isNumber ? [] : ["label"]), "score", ...(hasDecisions ? ["decision"] : [])];
    const names = isNumber ? [] : this.labels.map((label) => `score_${label}`);
    const rows = this.results.map(({ text, label, scores, best, decision }) => {
      const given = [text, ...(isNumber ? [] : [label]), scores[best].toFixed(6), ...(hasDecisions ? [decision] : [])];
      return [...given, ...(isNumber ? [] : scores.map((score) => score.toFixed(6)))];
    });
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([toCsv([[...head, ...names], ...rows])], { type: "text/csv" }));
    link.download = "classified.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
}

const page = new Page();
document.addEventListener("DOMContentLoaded", () => page.start()); // after all scripts
