// The vertical axis of a chart: from 0, in a few equal steps, to a round number; its labels are all of one kind.
const STEPS = 4;
const SHORT = [
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "K"],
];
// Below, numbers fit beside the chart as they are.
const LONG = 100_000;

const text = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

// `{top, ticks, labels}` for values up to `high`. Messages are whole, and so are the steps.
export function scale(high) {
  const known = Number(high) || 0;
  const step = stepOf(known);
  const steps = Math.max(1, Math.ceil(known / step));
  const ticks = Array.from({ length: steps + 1 }, (_, number) => number * step);
  const top = ticks.at(-1);
  const [size, letter] = (top >= LONG && SHORT.find(([size]) => top >= size)) || [1, ""];
  return { top, ticks, labels: ticks.map((tick) => (tick ? `${text.format(tick / size)}${letter}` : "0")) };
}

// The least of 1, 2, 5, 10, 20, 50 … that takes so few steps.
function stepOf(high) {
  for (let power = 1; ; power *= 10)
    for (const digit of [1, 2, 5]) if (digit * power * STEPS >= high) return digit * power;
}
