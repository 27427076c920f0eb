// The same as read.py, with JSON.parse.
"use strict";

const fs = require("fs");

const hex = (text) => Buffer.from(text, "utf8").toString("hex");

function number(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value === 0 ? 0 : value);
  return "#" + view.getBigUint64(0).toString(16).padStart(16, "0");
}

function neutral(value) {
  if (value === null) return "n";
  if (typeof value === "boolean") return value ? "t" : "f";
  if (typeof value === "number") return number(value);
  if (typeof value === "string") return "'" + hex(value);
  if (Array.isArray(value)) return "[" + value.map(neutral).join(",") + "]";
  const members = Object.keys(value).map((key) => hex(key) + ":" + neutral(value[key]));
  return "{" + members.sort().join(",") + "}";
}

const lines = fs.readFileSync(process.argv[2], "utf8").split("\n").filter((line) => line);
const read = lines.map((line) => {
  const { sent, came } = JSON.parse(line);
  return neutral(JSON.parse(sent).arguments) + " " + neutral(JSON.parse(came).params.arguments) + "\n";
});
process.stdout.write(read.join(""));
