// A line chart over time by uPlot, in the page's colours, with the same numbers as a table below it.
import { h, replace } from "../dom.js";
import { clockAndDay, count, instant, listed, zone } from "../format.js";
import { t } from "../language.js";
import { scale } from "./scale.js";
import uPlot from "../vendor/uplot/uPlot.esm.js";

const HEIGHT = 180;
const ROWS = 60;

// The texts of an axis: days, or the clock with the day below the first tick of each.
function times(instants, step) {
  let before = null;
  return instants.map((at) => {
    const [clock, day] = clockAndDay(at);
    if (step >= 86_400) return day;
    const text = day === before ? clock : `${clock}\n${day}`;
    before = day;
    return text;
  });
}

// `series`: {field, label, colour: a CSS variable, fill}. Unknown values are gaps.
export class Chart {
  constructor({ title, series }) {
    Object.assign(this, { title, series, history: [] });
    this.canvas = h("div", { class: "canvas", role: "img" });
    this.rows = h("div", {
      class: "scroll",
      tabindex: "0",
      role: "region",
      "aria-label": t("{title} as a table", { title }),
    });
    this.more = h(
      "details",
      { class: "as-table", ontoggle: () => this.#fillTable() },
      h("summary", {}, t("As a table")),
      this.rows,
    );
    this.legend = h(
      "p",
      { class: "legend" },
      series.map(({ field, label }) =>
        h("span", {}, h("i", { class: `line ${field}` }), label, " ", h("b", { "data-field": field })),
      ),
    );
    this.element = h(
      "figure",
      { class: "chart" },
      h("figcaption", {}, title, this.legend),
      this.canvas,
      this.more,
    );
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
    window.addEventListener("themechange", () => this.#draw());
  }

  show(history) {
    this.history = history;
    this.canvas.setAttribute("aria-label", this.#describe());
    if (this.plot) this.plot.setData(this.#data());
    else this.#draw();
    this.#legend(null);
    this.#fillTable();
  }

  #data() {
    return [
      this.history.map(({ at }) => new Date(at) / 1000),
      ...this.series.map(({ field }) => this.history.map((point) => point[field])),
    ];
  }

  #draw() {
    this.plot?.destroy();
    this.plot = null;
    if (!this.history.length || !this.canvas.clientWidth) return;
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--muted"),
      font: `11px ${colour("--font") || "sans-serif"}`,
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { show: false },
    };
    this.plot = new uPlot(
      {
        width: this.canvas.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
        cursor: { sync: { key: "pgmq" }, points: { size: 5 }, drag: { x: false, y: false } },
        hooks: { setCursor: [(plot) => this.#legend(plot.cursor.idx)] },
        scales: { y: { range: (_, low, high) => [0, scale(high).top] } },
        axes: [
          { ...axis, space: 70, size: 40, values: (_, instants, axis, space, step) => times(instants, step) },
          {
            ...axis,
            size: 48,
            splits: (_, axis, low, high) => scale(high).ticks,
            values: (_, ticks) => scale(ticks.at(-1)).labels,
          },
        ],
        series: [
          {},
          ...this.series.map(({ colour: name, fill }) => ({
            stroke: colour(name),
            width: 1.5,
            fill: fill ? `${colour(name)}22` : undefined,
            points: { show: false },
            spanGaps: false,
          })),
        ],
      },
      this.#data(),
      this.canvas,
    );
  }

  #resize() {
    if (!this.plot) this.#draw();
    else if (this.canvas.clientWidth) this.plot.setSize({ width: this.canvas.clientWidth, height: HEIGHT });
  }

  // Show the values under the pointer, else the latest ones.
  #legend(index) {
    const point = this.history[index ?? this.history.length - 1];
    for (const cell of this.legend.querySelectorAll("b"))
      cell.textContent = point ? count(point[cell.dataset.field]) : "";
    this.legend.title = point ? instant(point.at) : "";
  }

  #describe() {
    const last = this.history.at(-1);
    if (!last) return t("{title}: nothing sampled yet", { title: this.title });
    const parts = this.series.map(({ field, label }) => {
      const values = this.history.map((point) => point[field]).filter((value) => value !== null);
      return values.length
        ? t("{label} between {low} and {high}", {
            label,
            low: count(Math.min(...values)),
            high: count(Math.max(...values)),
          })
        : t("{label} unknown", { label });
    });
    return t("{title}, {begin} to {end}: {values}", {
      title: this.title,
      begin: instant(this.history[0].at),
      end: instant(last.at),
      values: listed(parts),
    });
  }

  #fillTable() {
    if (!this.more.open) return;
    const step = Math.max(1, Math.ceil(this.history.length / ROWS));
    const points = this.history.filter((_, index) => index % step === 0).reverse();
    replace(
      this.rows,
      h(
        "table",
        { class: "plain" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, t("Time")),
            this.series.map(({ label }) => h("th", { scope: "col", class: "numeric" }, label)),
          ),
        ),
        h(
          "tbody",
          {},
          points.map((point) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, instant(point.at)),
              this.series.map(({ field }) => h("td", { class: "numeric" }, count(point[field]))),
            ),
          ),
        ),
      ),
    );
  }
}
