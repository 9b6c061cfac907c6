"""The page of the benchmarks shows what is kept of them, and the docs quote no other figures of theirs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import charts, document, kept_results
from benchmarks.findings import Bars, Curves

ROOT = Path(__file__).parents[1]

KEPT = kept_results.kept()
CHARTS = [
    finding for result in KEPT.values() for finding in result.findings if isinstance(finding, (Bars, Curves))
]
PAGES = [
    page
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    # Decisions say what was measured before they were made.
    if page != document.PAGE and page.parent.name != "decisions"
]
#: What only a benchmark can know.
MEASURED = re.compile(r"[\d][\d,.]*(?= (?:ms|times|messages a second|messages/s|connections)\b)")


def test_each_benchmark_is_on_the_page():
    assert set(KEPT) == {name for part in document.PARTS for name in part.names}


def test_the_page_shows_what_is_kept():
    """`python -m benchmarks.document` writes it, without measuring."""
    assert document.PAGE.read_text(encoding="utf-8") == document.page(KEPT)


def test_each_chart_shows_what_is_kept():
    drawn = {path.name: path.read_text(encoding="utf-8").split()[1] for path in charts.FOLDER.iterdir()}
    assert drawn == {
        f"{chart.name}-{theme}.svg": charts.digest(chart) for chart in CHARTS for theme in charts.THEMES
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_quoted_is_on_the_page(page):
    """In the parts of a page that name the benchmarks as their source."""
    text = page.read_text(encoding="utf-8")
    quoted = {
        number
        for part in re.split(r"^## ", text, flags=re.MULTILINE)
        if "why/benchmarks.md" in part
        for number in MEASURED.findall(part)
    }
    known = re.findall(r"[\d][\d,.]*\d|\d", document.PAGE.read_text(encoding="utf-8"))
    assert quoted - set(known) == set()
