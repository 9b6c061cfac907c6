// How long the slots of each day took, from visible to acked: median, 95th percentile and longest.
import { h } from "../dom.js";
import { age, dayText, full, local } from "../format.js";
import { t } from "../language.js";

// Of ascending values, the smallest that at least this share of them does not exceed.
export const percentile = (values, share) =>
  values.length ? values[Math.max(0, Math.ceil(values.length * share) - 1)] : null;

// One row for each day, newest first.
export function byDay(slots) {
  const days = new Map();
  for (const each of slots) {
    const { day } = local(each.slot);
    days.set(day, [...(days.get(day) ?? []), each]);
  }
  return [...days]
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .map(([day, own]) => {
      const took = own.map((each) => each.took).filter((value) => value !== null && value !== undefined);
      took.sort((a, b) => a - b);
      return {
        day,
        slots: own.length,
        missed: own.filter(({ state }) => state === "missed").length,
        late: Math.max(0, ...own.map(({ late }) => late ?? 0)),
        acked: took.length,
        p50: percentile(took, 0.5),
        p95: percentile(took, 0.95),
        max: took.at(-1) ?? null,
      };
    });
}

const HEADS = [t("Day"), t("Slots"), t("Missed"), t("Sent late by"), t("Acked"), "p50", "p95", t("Max")];

export function daily(slots) {
  const row = (each) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, dayText(each.day)),
      [
        full(each.slots),
        full(each.missed),
        each.late ? age(each.late) : "–",
        full(each.acked),
        age(each.p50),
        age(each.p95),
        age(each.max),
      ].map((text) => h("td", { class: "numeric" }, text)),
    );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": t("By day") },
    h(
      "table",
      { class: "plain" },
      h("caption", { class: "visually-hidden" }, t("From visible to acked, by day")),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          HEADS.map((text, index) => h("th", { scope: "col", class: index ? "numeric" : null }, text)),
        ),
      ),
      h("tbody", {}, byDay(slots).map(row)),
    ),
  );
}
