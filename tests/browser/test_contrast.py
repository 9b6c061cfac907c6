"""Text can be read in both themes: WCAG AA, 4.5 to 1, measured in the browser."""

from __future__ import annotations

from pathlib import Path

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="`make browser` installs it").expect

MEASURE = Path(__file__).with_name("contrast.js").read_text()
VIEWS = [
    "",
    "queue/orders",
    "queue/orders?tab=dead_letters",
    "jobs",
    "job/shop/stock_sync",
    "calendars",
    "sent?dag_id=shop_orders",
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", VIEWS)
def test_text_can_be_read(visit, path, theme):
    visitor = visit(theme=theme)
    frame = visitor.open(path)
    expect(frame.locator("tbody tr").first).to_be_visible()
    # A table that is hidden, as that of groups without order, has no rows.
    if "opener" in frame.locator("tbody:has(tr)").first.inner_html():
        frame.locator(".opener").first.click()
        expect(frame.locator(".message")).to_be_visible()
    assert visitor.page.frames[-1].evaluate(MEASURE) == []
