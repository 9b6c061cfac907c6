// The definition of a job as documents have it, and the versions of a live one.
import { asText, h } from "../dom.js";
import { ago, exact, instant } from "../format.js";
import { t } from "../language.js";
import { json } from "./json.js";

// What may be large, or have any form.
const CONTENT = ["message", "headers", "params"];

export function definition(found) {
  const fields = Object.entries(found).filter(([name]) => !CONTENT.includes(name));
  const content = Object.entries(found).filter(([name]) => CONTENT.includes(name));
  return [
    h(
      "dl",
      { class: "facts fields" },
      fields.map(([name, value]) =>
        h("div", {}, h("dt", {}, name), h("dd", {}, h("code", {}, asText(value ?? "–")))),
      ),
    ),
    h(
      "div",
      { class: "content" },
      content.map(([name, value]) => h("section", {}, h("h3", {}, name), json(value, name))),
    ),
  ];
}

// `restore(version)` makes a button; null: the user may not.
export function versions(found, restore) {
  const row = (each, index) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, `v${each.version}`),
      h(
        "td",
        {},
        h("time", { datetime: each.changed_at, title: exact(each.changed_at) }, instant(each.changed_at)),
        " ",
        h("span", { class: "muted" }, ago(each.changed_at)),
      ),
      h("td", {}, each.changed_by ?? h("span", { class: "muted" }, "–")),
      h("td", {}, what(each)),
      restore && h("td", {}, index && each.definition ? restore(each) : null),
    );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": t("Versions") },
    h(
      "table",
      { class: "plain versions" },
      h("caption", { class: "visually-hidden" }, t("Versions, the newest first")),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          [t("Version"), t("When"), t("By"), t("What"), ...(restore ? [""] : [])].map((text) =>
            h("th", { scope: "col" }, text || h("span", { class: "visually-hidden" }, t("Action"))),
          ),
        ),
      ),
      h("tbody", {}, found.map(row)),
    ),
  );
}

function what({ deleted, definition: found, problem, version }) {
  if (deleted) return t("deleted");
  if (!found) return problem ?? t("put");
  return h(
    "details",
    {},
    h(
      "summary",
      { "aria-label": t("Definition of version {version}", { version: String(version) }) },
      found.schedule ? asText(found.schedule) : t("put"),
    ),
    json(found, t("Version {version}", { version: String(version) })),
  );
}
