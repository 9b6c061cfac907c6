"""The pictures of the documentation: every view in both themes, wide and narrow."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from tests.browser import stock

expect = pytest.importorskip("playwright.sync_api", reason="`make browser` installs it").expect
Image = pytest.importorskip("PIL.Image", reason="`make browser` installs it")

PICTURES = Path(__file__).parents[2] / "docs" / "img"
VIEWS = {
    "queues": ("", {}),
    "queue": ("queue/orders", {"range": "day"}),
    "message": ("queue/orders", {"by": "dedup_key", "q": "order/4711"}),
    "jobs": ("jobs", {}),
    "job": ("job/shop/stock_sync", {}),
    "sent": ("sent", {"dag_id": "shop_orders"}),
}


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", VIEWS)
def test_pictures(visit, site, name, theme, width):
    stock.fall_behind(site.live.queues)
    visitor = visit(width=width, theme=theme)
    path, query = VIEWS[name]
    frame = visitor.open(path, connection_id="pgmq_default", **query)
    expect(frame.locator("tbody tr").first).to_be_visible()
    if name in ("queue", "message"):
        expect(frame.locator(".chart canvas").first).to_be_visible()
    if name == "message":
        frame.locator(".opener").first.click()
        frame.locator(".message").scroll_into_view_if_needed()
    assert visitor.page.frames[-1].evaluate("document.documentElement.classList.contains('dark')") == (
        theme == "dark"
    )
    picture = Image.open(BytesIO(visitor.page.screenshot(animations="disabled")))
    # A third of the size, without a visible difference.
    picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(
        PICTURES / f"{name}-{theme}-{width}.png", optimize=True
    )
