// The last hour in one line of a table: arrivals above the middle, completions below.
import { h, s } from "../dom.js";
import { t } from "../language.js";

const STEP = 2;
const HALF = 11;

export function sparkline(arrivals, completions) {
  const minutes = Math.max(arrivals.length, completions.length);
  if (arrivals.every((value) => value === null)) return h("span", { class: "muted" }, t("no samples"));
  const most = Math.max(1, ...arrivals, ...completions);
  const bars = (values, up) =>
    values
      .map((value, minute) => {
        if (!value) return null;
        const height = Math.max(1, (HALF - 1) * (value / most));
        return `M${minute * STEP + 0.75} ${up ? HALF : HALF + 1}v${up ? -height : height}`;
      })
      .filter(Boolean)
      .join("");
  const gaps = arrivals.map((value, minute) =>
    value === null ? `M${minute * STEP} ${HALF + 0.5}h${STEP}` : "",
  );
  const label = describe(arrivals, completions);
  return s(
    "svg",
    {
      class: "sparkline",
      viewBox: `0 0 ${minutes * STEP} ${2 * HALF + 1}`,
      role: "img",
      "aria-label": label,
      preserveAspectRatio: "none",
    },
    s("title", {}, label),
    s("path", { class: "axis", d: `M0 ${HALF + 0.5}H${minutes * STEP}` }),
    s("path", { class: "gap", d: gaps.join("") }),
    s("path", { class: "arrivals", d: bars(arrivals, true) }),
    s("path", { class: "completions", d: bars(completions, false) }),
  );
}

const sum = (values) => Math.round(values.reduce((total, value) => total + (value ?? 0), 0));

export function describe(arrivals, completions) {
  const known = arrivals.filter((value) => value !== null).length;
  const text = t("Last hour: {arrived} arrived, {completed} completed", {
    arrived: sum(arrivals),
    completed: sum(completions),
  });
  if (known === arrivals.length) return text;
  return `${text} ${t("(samples of {known} of {count} minutes)", { known, count: arrivals.length })}`;
}
