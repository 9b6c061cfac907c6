// JSON as coloured text: every piece is a text node.
import { append, h } from "../dom.js";

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const COLOURED = 200_000;

export function json(value, label) {
  const text = JSON.stringify(value, null, 2) ?? "null";
  const block = h("pre", { class: "json", tabindex: "0", role: "region", "aria-label": label });
  if (text.length > COLOURED) return append(block, [text]);
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const [token, string, colon] = match;
    block.append(text.slice(end, match.index));
    if (string) {
      block.append(h("span", { class: colon ? "key" : "string" }, string), colon ?? "");
    } else {
      block.append(h("span", { class: "literal" }, token));
    }
    end = match.index + token.length;
  }
  block.append(text.slice(end));
  return block;
}
