// A text that may be long: its beginning, and all of it after a click.
import { h } from "../dom.js";

const MOST = 160;

export function long(text) {
  if (text.length <= MOST) return text;
  return h(
    "details",
    { class: "long" },
    h(
      "summary",
      {},
      h("span", { class: "beginning" }, `${text.slice(0, MOST).trimEnd()}… `),
      h("span", { class: "more" }, "Show all"),
      h("span", { class: "less" }, "Show less"),
    ),
    h("div", { class: "whole" }, text),
  );
}
