// The vertical axis of a chart: from 0 to a round number in a few equal steps; all labels have the same unit.
const STEPS = 4;
const SHORT = [
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "K"],
];
// Smaller numbers fit beside the chart without a unit.
const LONG = 100_000;

const text = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

// `{top, ticks, labels}` for values up to `high`. Steps are whole numbers, as numbers of messages are.
export function scale(high) {
  const known = Number(high) || 0;
  const step = stepOf(known);
  const steps = Math.max(1, Math.ceil(known / step));
  const ticks = Array.from({ length: steps + 1 }, (_, number) => number * step);
  const top = ticks.at(-1);
  const [size, letter] = (top >= LONG && SHORT.find(([size]) => top >= size)) || [1, ""];
  return { top, ticks, labels: ticks.map((tick) => (tick ? `${text.format(tick / size)}${letter}` : "0")) };
}

// The smallest of 1, 2, 5, 10, 20, 50 … that needs at most `STEPS` steps.
function stepOf(high) {
  for (let power = 1; ; power *= 10)
    for (const digit of [1, 2, 5]) if (digit * power * STEPS >= high) return digit * power;
}
