// A text that may be long: its beginning, and all of it after a click.
import { h } from "../dom.js";
import { t } from "../language.js";

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
      h("span", { class: "more" }, t("Show all")),
      h("span", { class: "less" }, t("Show less")),
    ),
    h("div", { class: "whole" }, text),
  );
}
