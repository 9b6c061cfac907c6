// Notices: nothing to show, problems, or a failed request.
import { coded, h, icon } from "../dom.js";
import { hostLink } from "../host.js";

export const empty = (title, ...text) =>
  h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, ...text));

const TITLES = {
  0: "No answer",
  401: "You are signed out",
  403: "You may not see this",
  404: "Not found",
  422: "Invalid request",
  503: "Too busy right now",
};
// The API's status when the queue database fails; other errors have nothing to do with the connection.
const BAD_GATEWAY = 502;

export function failure(error, connectionId, retry) {
  const isConnection = connectionId && error.status === BAD_GATEWAY;
  const title = isConnection
    ? `Connection ${connectionId} failed`
    : (TITLES[error.status] ?? "The page failed");
  return h(
    "div",
    { class: "failure", role: "alert" },
    icon("error"),
    h(
      "div",
      {},
      h("h2", {}, title),
      h("p", { class: "detail" }, coded(error.message.replace(`Connection ${connectionId}: `, ""))),
      h(
        "p",
        { class: "actions" },
        retry && h("button", { type: "button", onclick: retry }, "Try again"),
        isConnection && hostLink("connections", {}, "Airflow's connections"),
      ),
    ),
  );
}

export function problemList(problems, label = "Problems") {
  if (!problems?.length) return null;
  return h("ul", { class: "problems", "aria-label": label }, problems.map(problem));
}

export function problem({ severity, text, fix }) {
  return h(
    "li",
    { class: `problem ${severity}` },
    icon(severity === "error" ? "error" : "warning"),
    h(
      "span",
      {},
      h("span", { class: "visually-hidden" }, severity === "error" ? "Error: " : "Warning: "),
      coded(text),
      fix && h("span", { class: "fix" }, " ", coded(fix)),
    ),
  );
}

export const worst = (problems) =>
  problems?.find((each) => each.severity === "error") ?? problems?.[0] ?? null;
