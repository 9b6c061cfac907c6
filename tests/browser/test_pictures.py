"""The pictures of the documentation: every view in both themes, wide and narrow; two also in Chinese."""

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
#: Name, language and theme; English is not part of a file's name.
PICTURED = [(name, "en", theme) for name in VIEWS for theme in ("light", "dark")]
PICTURED += [(name, "zh-CN", "light") for name in ("queues", "jobs")]


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize(("name", "language", "theme"), PICTURED)
def test_pictures(visit, site, name, language, theme, width):
    stock.fall_behind(site.live.queues)
    visitor = visit(width=width, theme=theme, language=language)
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
    file = f"{name}-{theme}-{width}.png" if language == "en" else f"{name}-{language}-{theme}-{width}.png"
    picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(PICTURES / file, optimize=True)


def test_tour():
    """One moving picture of them, for the README."""
    views = [
        Image.open(PICTURES / f"{name}-light-1280.png").convert("RGB") for name in VIEWS if name != "sent"
    ]
    first, *rest = views
    first.save(PICTURES / "tour.webp", save_all=True, append_images=rest, duration=2500, loop=0, quality=80)
