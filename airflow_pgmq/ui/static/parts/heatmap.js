// The last slots of a job by day and hour: how many there were, and the worst state among them.
import { h } from "../dom.js";
import { dayText, full, local, zone } from "../format.js";
import { t } from "../language.js";
import { mark, numbersOf } from "./slots.js";

// From the worst on.
export const WORST = ["missed", "dead", "late", "duplicate", "waiting", "skipped", "sent"];
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

export const stateOf = ({ state, place }) => (place === "dead" ? "dead" : state);

// The days, newest first, each with its hours: {day, hours: [{missed: 1, sent: 11}, …]}.
export function byHour(slots) {
  const days = new Map();
  for (const each of slots) {
    const { day, hour } = local(each.slot);
    if (!days.has(day))
      days.set(
        day,
        HOURS.map(() => ({})),
      );
    const counts = days.get(day)[hour];
    counts[stateOf(each)] = (counts[stateOf(each)] ?? 0) + 1;
  }
  return [...days].sort(([a], [b]) => (a < b ? 1 : -1)).map(([day, hours]) => ({ day, hours }));
}

export function heatmap(slots) {
  const label = t("Slots by day and hour, in {zone}", { zone });
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h(
      "table",
      { class: "heatmap" },
      h("caption", { class: "visually-hidden" }, label),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, t("Day"))),
          HOURS.map((hour) => h("th", { scope: "col" }, String(hour).padStart(2, "0"))),
        ),
      ),
      h(
        "tbody",
        {},
        byHour(slots).map(({ day, hours }) =>
          h("tr", {}, h("th", { scope: "row" }, dayText(day)), hours.map(cell)),
        ),
      ),
    ),
  );
}

function cell(counts) {
  const worst = WORST.find((state) => counts[state]);
  if (!worst) return h("td", {});
  const said = numbersOf(WORST, (state) => counts[state]);
  const all = Object.values(counts).reduce((sum, each) => sum + each, 0);
  return h(
    "td",
    { class: `heat ${worst}`, title: said },
    mark(worst),
    h("span", { "aria-hidden": "true" }, full(all)),
    h("span", { class: "visually-hidden" }, said),
  );
}
