// Many messages: a file's bytes to rows, rows to messages, and results to CSV.

"use strict";

const USUAL_NAMES = ["text", "message", "messages", "sms", "content", "body", "email", "v2"];

// Return the text of a file: UTF-8, UTF-16 by its mark, else Windows-1252.
function decode(bytes) {
  const mark = bytes[0] * 256 + bytes[1];
  if (mark === 0xfffe) return new TextDecoder("utf-16le").decode(bytes);
  if (mark === 0xfeff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

// Return the lines of a text that are not blank.
function toLines(text) {
  return text.split(/\r\n|\r|\n/).filter((line) => line.trim() !== "");
}

// Return the rows of CSV, each a list of its fields; rows without any text are left out.
function parseRows(text, delimiter) {
  const rows = [];
  let row = [];
  let at = 0;
  while (at < text.length) {
    let field = "";
    if (text[at] === '"') {
      at += 1;
      for (;;) {
        const quote = text.indexOf('"', at);
        if (quote < 0) throw new Error(`A quote that opens in row ${rows.length + 1} is never closed.`);
        field += text.slice(at, quote);
        at = quote + 1;
        if (text[at] !== '"') break;
        field += '"';
        at += 1;
      }
    }
    let end = at;
    while (end < text.length && text[end] !== delimiter && text[end] !== "\n" && text[end] !== "\r") end += 1;
    row.push(field + text.slice(at, end));
    at = end + 1;
    if (text[end] === delimiter && at < text.length) continue;
    if (text[end] === delimiter) row.push("");
    if (text[end] === "\r" && text[at] === "\n") at += 1;
    if (row.some((it) => it !== "")) rows.push(row);
    row = [];
  }
  return rows;
}

// Return the columns of a file, each with its name and its messages, the likeliest first. Only `.csv` and `.tsv` files
// have more than one.
function readTable(name, text) {
  const kind = /\.(csv|tsv)$/i.exec(name)?.[1].toLowerCase();
  if (!kind) return [{ name: "lines", texts: toLines(text) }];
  const head = text.slice(0, text.search(/[\r\n]|$/));
  const delimiter = kind === "tsv" ? "\t" : [",", ";", "\t", "|"].find((it) => head.includes(it)) ?? ",";
  const rows = parseRows(text, delimiter);
  if (rows.length === 0) return [{ name: "lines", texts: [] }];
  const width = Math.max(...rows.map((row) => row.length));
  const isUsual = (field) => USUAL_NAMES.includes(field.trim().toLowerCase());
  const hasHeader = rows[0].some(isUsual);
  const names = hasHeader ? rows[0] : [];
  const body = hasHeader ? rows.slice(1) : rows;
  const columns = Array.from({ length: width }, (_, column) => {
    const texts = body.map((row) => row[column] ?? "");
    return {
      name: names[column] || `column ${column + 1}`,
      texts,
      usual: isUsual(names[column] ?? "") ? 1 : 0,
      size: texts.reduce((sum, it) => sum + it.length, 0),
    };
  });
  return columns.sort((one, other) => other.usual - one.usual || other.size - one.size);
}

// Return rows as CSV that spreadsheets read: with a mark of its encoding, and lines that end as they expect.
function toCsv(rows) {
  const quoted = (value) => (/[",\r\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return `\ufeff${rows.map((row) => `${row.map((value) => quoted(String(value))).join(",")}\r\n`).join("")}`;
}

if (typeof module === "object") module.exports = { decode, toLines, parseRows, readTable, toCsv }; // for tests
