// The last slots of a periodic job as a strip, oldest first; each state has its own shape and colour.
import { h, s } from "../dom.js";
import { instant, listed } from "../format.js";
import { t } from "../language.js";

export const STATES = ["sent", "late", "missed", "duplicate", "waiting", "skipped"];
const SHAPES = {
  dead: "M3.5 4l3 10h-6z",
  sent: "M1 3h5v12h-5z",
  late: "M1 9h5v6h-5zM1 5h5v2h-5z",
  missed: "M1 5l5 8M6 5l-5 8",
  duplicate: "M1 3h5v5h-5zM1 10h5v5h-5z",
  skipped: "M1 8h5v2h-5z",
  waiting: "M1.5 3.5h4v11h-4z",
};

export function slotStrip(slots) {
  // The API returns the slots of at most 500 jobs.
  if (slots === null) return h("span", { class: "muted" }, t("not shown (more than 500 jobs)"));
  if (!slots.length) return h("span", { class: "muted" }, t("no slots yet"));
  return h(
    "span",
    { class: "slots" },
    s(
      "svg",
      {
        viewBox: `0 0 ${slots.length * 7} 18`,
        width: slots.length * 7,
        height: 18,
        role: "img",
        "aria-label": describe(slots),
      },
      slots.map(({ slot, state }, index) =>
        s(
          "g",
          { class: state, transform: `translate(${index * 7} 0)` },
          s("title", {}, `${instant(slot)}: ${WORDS[state] ?? state}`),
          s("rect", { class: "area", width: 7, height: 18 }),
          s("path", { d: SHAPES[state] }),
        ),
      ),
    ),
  );
}

export const WORDS = {
  dead: t("dead letter"),
  sent: t("sent"),
  late: t("late"),
  missed: t("missed"),
  duplicate: t("duplicate"),
  skipped: t("skipped"),
  waiting: t("waiting"),
};

// Such as "27 sent, 2 late"; `numberOf` says how many there are of a state.
export const numbersOf = (states, numberOf) =>
  listed(
    states
      .filter(numberOf)
      .map((state) => t("{number} {state}", { number: numberOf(state), state: WORDS[state] ?? state })),
  );

// The mark of one state, beside a text that names it.
export const mark = (state) =>
  h(
    "span",
    { class: "slots" },
    s(
      "svg",
      { viewBox: "0 0 7 18", width: 7, height: 18, "aria-hidden": "true" },
      s("g", { class: state }, s("path", { d: SHAPES[state] })),
    ),
  );

export function describe(slots) {
  const states = numbersOf(STATES, (state) => slots.filter((each) => each.state === state).length);
  return t("Last {count} slots: {states}", { count: slots.length, states });
}

export const legend = (states = STATES) =>
  h(
    "p",
    { class: "legend" },
    states.map((state) => h("span", {}, mark(state), WORDS[state] ?? state)),
  );
