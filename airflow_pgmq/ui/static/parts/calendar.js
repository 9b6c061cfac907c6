// The next days of a job as weeks: how many slots each day has, and what is left out, with the reason.
import { h } from "../dom.js";
import { count, dateText, weekdayText } from "../format.js";
import { t } from "../language.js";

// A week that begins on a Monday.
const WEEKDAYS = [1, 2, 3, 4, 5, 6, 7].map((day) => weekdayText(`2024-01-0${day}`));

export function calendar({ zone, days }) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": t("Next days") },
    h(
      "table",
      { class: "calendar" },
      h("caption", { class: "visually-hidden" }, t("Slots of the next {count} days, in {zone}", { count: days.length, zone })),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          WEEKDAYS.map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        weeks(days).map((week) => h("tr", {}, week.map(cell))),
      ),
    ),
  );
}

// Rows of seven days from Monday on; null where a row begins or ends without a day.
export function weeks(days) {
  const before = (new Date(`${days[0].day}T00:00:00Z`).getUTCDay() + 6) % 7;
  const cells = [...Array(before).fill(null), ...days];
  while (cells.length % 7) cells.push(null);
  return Array.from({ length: cells.length / 7 }, (_, week) => cells.slice(week * 7, week * 7 + 7));
}

function cell(day) {
  if (!day) return h("td", {});
  const reasons = Object.entries(day.left_out);
  const off = reasons.length || day.off;
  const number = day.slots === null ? "…" : count(day.slots);
  return h(
    "td",
    { class: day.slots || day.slots === null ? "some" : off ? "off" : "none", title: title(day) },
    h("span", { class: "date" }, dateText(day.day)),
    h("b", {}, h("span", { "aria-hidden": "true" }, number), h("span", { class: "visually-hidden" }, title(day))),
    reasons.length
      ? reasons.map(([reason, left]) =>
          h(
            "span",
            { class: "sub" },
            reason === "left out"
              ? t("{number} left out", { number: left })
              : t("{number} left out: {reason}", { number: left, reason }),
          ),
        )
      : day.off && h("span", { class: "sub" }, day.off),
  );
}

const title = ({ slots }) =>
  slots === null ? t("not counted: too many slots") : t("{count} slots", { count: slots });
