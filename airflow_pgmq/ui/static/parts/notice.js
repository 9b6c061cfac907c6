// What stands where there is nothing to show, something is wrong, or the connection fails.
import { h, icon } from "../dom.js";
import { hostLink } from "../host.js";

export const empty = (title, ...text) =>
  h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, ...text));

export function failure(error, connectionId, retry) {
  const mayNot = error.status === 403;
  const title = mayNot
    ? "You may not see this"
    : connectionId
      ? `Connection ${connectionId} failed`
      : "This failed";
  return h(
    "div",
    { class: "failure", role: "alert" },
    icon("error"),
    h(
      "div",
      {},
      h("h2", {}, title),
      h("p", { class: "detail" }, error.message.replace(`Connection ${connectionId}: `, "")),
      h(
        "p",
        { class: "actions" },
        retry && h("button", { type: "button", onclick: retry }, "Try again"),
        connectionId && !mayNot && hostLink("connections", {}, "Airflow's connections"),
      ),
    ),
  );
}

export function problemList(problems, label = "Problems") {
  if (!problems?.length) return null;
  return h("ul", { class: "problems", "aria-label": label }, problems.map(problem));
}

export function problem({ severity, text, mend }) {
  return h(
    "li",
    { class: `problem ${severity}` },
    icon(severity === "error" ? "error" : "warning"),
    h(
      "span",
      {},
      h("span", { class: "visually-hidden" }, severity === "error" ? "Error: " : "Warning: "),
      text,
      mend && h("span", { class: "mend" }, " ", mend),
    ),
  );
}

export const worst = (problems) =>
  problems?.find((each) => each.severity === "error") ?? problems?.[0] ?? null;
