// Notices: nothing to show, problems, or a failed request.
import { coded, h, icon } from "../dom.js";
import { hostLink } from "../host.js";
import { t, told } from "../language.js";

export const empty = (title, ...text) =>
  h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, ...text));

const TITLES = {
  0: t("No answer"),
  401: t("You are signed out"),
  403: t("You may not see this"),
  404: t("Not found"),
  422: t("Invalid request"),
  503: t("Too busy right now"),
};
// The API's status when the queue database fails; other errors have nothing to do with the connection.
const BAD_GATEWAY = 502;

export function failure(error, connectionId, retry) {
  const isConnection = connectionId && error.status === BAD_GATEWAY;
  const title = isConnection
    ? t("Connection {name} failed", { name: connectionId })
    : (TITLES[error.status] ?? t("The page failed"));
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
        retry && h("button", { type: "button", onclick: retry }, t("Try again")),
        isConnection && hostLink("connections", {}, t("Airflow's connections")),
      ),
    ),
  );
}

export function problemList(problems, label = t("Problems")) {
  if (!problems?.length) return null;
  return h("ul", { class: "problems", "aria-label": label }, problems.map(problem));
}

export function problem({ severity, text, fix, said }) {
  return h(
    "li",
    { class: `problem ${severity}` },
    icon(severity === "error" ? "error" : "warning"),
    h(
      "span",
      {},
      h("span", { class: "visually-hidden" }, severity === "error" ? t("Error: ") : t("Warning: ")),
      coded(told(said?.text, text)),
      fix && h("span", { class: "fix" }, " ", coded(told(said?.fix, fix))),
    ),
  );
}

export const worst = (problems) =>
  problems?.find((each) => each.severity === "error") ?? problems?.[0] ?? null;
