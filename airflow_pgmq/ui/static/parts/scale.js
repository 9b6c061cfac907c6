// The vertical axis of a chart: from 0 to a round number in a few equal steps; all labels have the same unit.
import { language } from "../language.js";

const STEPS = 4;
// Smaller numbers fit beside the chart without a unit.
const LONG = 100_000;

const text = new Intl.NumberFormat(language, { maximumFractionDigits: 2 });
const short = new Intl.NumberFormat(language, { notation: "compact" });

// The units of the language, from the largest on, each with its number 1 in parts: 1B, 1M and 1K, or 1亿 and 1万.
const UNITS = [1e12, 1e11, 1e10, 1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3]
  .map((size) => [size, short.formatToParts(size)])
  .filter(([, parts]) => parts.find(({ type }) => type === "integer").value === "1" && parts.length > 1);

const inUnit = (number, parts) =>
  parts.map(({ type, value }) => (type === "integer" ? text.format(number) : value)).join("");

// `{top, ticks, labels}` for values up to `high`. Steps are whole numbers, as numbers of messages are.
export function scale(high) {
  const known = Number(high) || 0;
  const step = stepOf(known);
  const steps = Math.max(1, Math.ceil(known / step));
  const ticks = Array.from({ length: steps + 1 }, (_, number) => number * step);
  const top = ticks.at(-1);
  const [size, parts] = (top >= LONG && UNITS.find(([size]) => top >= size)) || [1, [{ type: "integer" }]];
  return { top, ticks, labels: ticks.map((tick) => (tick ? inUnit(tick / size, parts) : "0")) };
}

// The smallest of 1, 2, 5, 10, 20, 50 … that needs at most `STEPS` steps.
function stepOf(high) {
  for (let power = 1; ; power *= 10)
    for (const digit of [1, 2, 5]) if (digit * power * STEPS >= high) return digit * power;
}
