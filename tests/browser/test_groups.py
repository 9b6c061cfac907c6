"""Groups of a queue that is read in order."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect


@pytest.fixture
def hook(site):
    """A queue with a group that is stopped, and one that may be read; removed at the end."""
    hook = site.live.hook()
    hook.create_queue("bookings")
    hook.index_groups("bookings")
    hook.send_batch("bookings", [1, 2], group="customer-7")
    with pytest.raises(ValueError), hook.consume("bookings", ordered=True, on_dead="stop_group", max_reads=1):
        raise ValueError("no such account")
    hook.send("bookings", 3, group="customer-8")
    yield hook
    hook.drop_queue("bookings")


def test_a_stopped_group_is_seen_and_goes_on(visit, hook):
    visitor = visit()
    frame = visitor.open("queue/bookings")
    frame.locator("summary", has_text="Groups").click()
    row = visitor.row("customer-7")
    expect(row).to_contain_text("stopped since")
    expect(row).to_contain_text("no such account")
    expect(visitor.row("customer-8")).to_contain_text("ready")
    row.get_by_role("button", name="Go on without it: customer-7").click()
    expect(frame.get_by_role("dialog")).to_contain_text("becomes a dead letter")
    visitor.confirm("Go on without it")
    expect(row).to_contain_text("ready")
    assert hook.stopped_groups("bookings") == []


def test_a_queue_without_order_shows_no_groups(visit, site):
    frame = visit().open("queue/stock")
    expect(frame.get_by_role("heading", name="stock")).to_be_visible()
    expect(frame.locator("summary", has_text="Groups")).to_be_hidden()
