"""Draws charts as SVG, one for each theme of the website."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter

from benchmarks.findings import Bars, Curves

FOLDER = Path(__file__).parents[1] / "docs" / "img" / "charts"

#: Ours, others, what is required, text, lines.
THEMES = {
    "light": ("#0b63ce", "#a8b1bd", "#b42318", "#1f2328", "#d8dee4"),
    "dark": ("#6cb0ff", "#68727e", "#ff8f80", "#e6e9ee", "#3b434d"),
}
#: The same chart is the same file: no ids by chance, no date. Text stays text.
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
STYLE = {"svg.hashsalt": "airflow_pgmq", "svg.fonttype": "none", "font.size": 11}
WIDTH = 8.0


def write(chart: Bars | Curves) -> None:
    """Write both pictures of a chart."""
    FOLDER.mkdir(exist_ok=True)
    for file, text in pictures(chart):
        (FOLDER / file).write_text(text, encoding="utf-8")


def pictures(chart: Bars | Curves) -> Iterator[tuple[str, str]]:
    """The name and text of the file for each theme; its first line tells which values it shows."""
    shown = f"<!-- {digest(chart)} -->"
    for theme, colours in THEMES.items():
        with mpl.rc_context(STYLE):
            canvas = _bars(chart, colours) if isinstance(chart, Bars) else _curves(chart, colours)
            file = StringIO()
            canvas.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
        drawn = file.getvalue()
        lines = [line.rstrip() for line in drawn[drawn.index("<svg") :].splitlines()]
        yield f"{chart.name}-{theme}.svg", "\n".join([shown, *lines, ""])


def digest(chart: Bars | Curves) -> str:
    """Which values a picture shows."""
    return hashlib.sha256(json.dumps(asdict(chart)).encode()).hexdigest()


def _bars(chart: Bars, colours: tuple[str, ...]) -> Canvas:
    ours, others, required, text, _ = colours
    canvas, axes = _axes(0.75 + 0.42 * len(chart.values), colours)
    names = list(chart.values)
    shades = [ours if name in chart.ours else others for name in names]
    axes.barh(names, list(chart.values.values()), color=shades, height=0.62)
    widest = max([*chart.values.values(), *chart.limits.values()])
    for at, (name, value) in enumerate(chart.values.items()):
        limit = chart.limits.get(name, 0)
        # The number stands behind the bar, and behind the mark where that is close.
        behind = limit if value <= limit < value + widest / 7 else value
        place = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(number(value), (behind, at), color=text, **place)
        if limit:
            axes.plot([limit, limit], [at - 0.42, at + 0.42], color=required, linewidth=2)
    axes.invert_yaxis()
    if chart.is_log:
        axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_visible(False)
    axes.tick_params(length=0)
    more = "; red: required" if chart.limits else ""
    _title(canvas, f"{chart.title} ({chart.unit}{more})", text)
    return canvas


def _curves(chart: Curves, colours: tuple[str, ...]) -> Canvas:
    ours, others, _, text, lines = colours
    canvas, axes = _axes(3.6, colours)
    places = range(len(chart.sizes))
    for name, values in chart.values.items():
        shade = ours if name in chart.ours else others
        axes.plot(places, values, color=shade, marker="o", linewidth=2)
        axes.annotate(
            name, (places[-1], values[-1]), (8, 0), textcoords="offset points", color=text, va="center"
        )
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                number(value), (place, value), (0, 8), textcoords="offset points", color=text, ha="center"
            )
    # Sizes are ten times as large each time, or twice: equal steps show both.
    axes.set_xticks(list(places), [f"{size:,}" for size in chart.sizes])
    axes.set_xlabel(chart.grows, color=text)
    axes.margins(y=0.25)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.grid(axis="y", color=lines, linewidth=0.8)
    _title(canvas, f"{chart.title} ({chart.unit})", text)
    return canvas


def _title(canvas: Canvas, title: str, colour: str) -> None:
    canvas.suptitle(title, color=colour, fontsize=12, x=0.01, ha="left")


def _axes(height: float, colours: tuple[str, ...]) -> tuple[Canvas, Any]:
    text = colours[3]
    canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
    axes = canvas.add_subplot()
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=text)
    axes.set_axisbelow(True)
    return canvas, axes


def number(value: float) -> str:
    """With as many digits as say something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
