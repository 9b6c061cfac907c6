"""The view of calendars, and its form."""

from __future__ import annotations

from datetime import date

import pytest
from playwright.sync_api import expect

from airflow_pgmq.jobs import Calendar, PeriodicJob


@pytest.fixture(autouse=True)
def hook(site):
    """A calendar that a job uses; removed at the end."""
    hook = site.live.hook()
    hook.put_calendar("bank", {date(2099, 12, 25): "Christmas, at last", date(2099, 12, 26): ""})
    hook.put_job(
        "desk",
        PeriodicJob(name="closed", cron="0 6 * * *", queue_name="stock", exclude=[Calendar("bank")]),
    )
    yield hook
    hook.remove_namespace("desk")
    for name in {each.name for each in hook.list_calendars()} & {"bank", "summer"}:
        hook.delete_calendar(name)


def test_a_calendar_is_added_seen_changed_and_deleted(visit, hook):
    visitor = visit()
    frame = visitor.open("calendars")
    frame.get_by_role("button", name="Add calendar").click()
    dialog = frame.get_by_role("dialog")
    expect(dialog.get_by_label("Name")).to_be_focused()
    dialog.get_by_label("Name").fill("summer")
    dialog.get_by_label("Days off").fill("2099-07-01 Heat, and #1\n2099-07-02")
    dialog.get_by_role("button", name="Add").click()
    expect(frame.get_by_text("summer: 2 days")).to_be_visible()
    row = visitor.row("summer")
    expect(row).to_contain_text("2099-07-01 Heat, and #1")

    row.get_by_role("button", name="Days of summer").click()
    expect(frame.get_by_role("listitem").filter(has_text="2099-07-02")).to_be_visible()
    row.get_by_role("button", name="Edit summer").click()
    expect(dialog.get_by_label("Name")).to_have_attribute("readonly", "")
    days = dialog.get_by_label("Days off")
    expect(days).to_have_value("2099-07-01 Heat, and #1\n2099-07-02\n")
    days.fill("2099-07-02 Rain")
    dialog.get_by_role("button", name="Save").click()
    expect(frame.get_by_text("summer: 1 day")).to_be_visible()
    assert hook.get_calendar("summer").days == {date(2099, 7, 2): "Rain"}

    row.get_by_role("button", name="Delete summer").click()
    expect(dialog).to_contain_text("No job uses it.")
    visitor.confirm("Delete")
    expect(row).to_have_count(0)


def test_jobs_that_use_it_are_named_and_wait_when_it_is_gone(visit):
    visitor = visit()
    frame = visitor.open("calendars")
    row = visitor.row("bank")
    expect(row.get_by_role("link", name="desk/closed")).to_be_visible()
    expect(row).to_contain_text("2099-12-25 Christmas, at last")
    row.get_by_role("button", name="Delete bank").click()
    expect(frame.get_by_role("dialog")).to_contain_text("1 job uses it and will wait")
    visitor.confirm("Delete")
    expect(row).to_contain_text("There is no such calendar, so 1 job waits for it.")
    row.get_by_role("button", name="Add bank").click()
    dialog = frame.get_by_role("dialog")
    expect(dialog.get_by_label("Name")).to_have_value("bank")
    dialog.get_by_role("button", name="Add").click()
    expect(row).not_to_contain_text("There is no such calendar")


def test_mistakes_and_other_editors_lose_nothing(visit, hook):
    visitor = visit()
    visitor.expected = ("/calendars/bank/put",)
    frame = visitor.open("calendars")
    frame.get_by_role("button", name="Edit bank").click()
    dialog = frame.get_by_role("dialog")
    days = dialog.get_by_label("Days off")
    days.fill("2099-12-24\nChristmas")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Line 2 does not begin with a date")
    days.fill("2099-12-24")
    hook.put_calendar("bank", [date(2099, 1, 1)])
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("has changed since you looked")
    expect(days).to_have_value("2099-12-24")
    dialog.get_by_role("button", name="Load what is there now").click()
    expect(days).to_have_value("2099-01-01\n")
    days.fill("2099-12-24")
    dialog.get_by_role("button", name="Save").click()
    expect(frame.get_by_text("bank: 1 day")).to_be_visible()
    assert list(hook.get_calendar("bank").days) == [date(2099, 12, 24)]


def test_one_that_somebody_has_deleted_is_said_to_be_gone(visit, hook):
    visitor = visit()
    visitor.expected = ("/calendars/bank",)
    frame = visitor.open("calendars")
    buttons = [visitor.row("bank").get_by_role("button", name=f"{verb} bank") for verb in ("Edit", "Delete")]
    expect(buttons[0]).to_be_visible()
    hook.delete_calendar("bank")
    for each in buttons:
        each.click()
        expect(frame.get_by_text("bank: There is no calendar 'bank'").first).to_be_visible()
        assert frame.get_by_role("dialog").count() == 0


def test_a_viewer_sees_days_without_reasons_or_buttons(visit):
    visitor = visit("viewer")
    frame = visitor.open("calendars")
    row = visitor.row("bank")
    expect(row).to_contain_text("2099-12-25")
    assert "Christmas" not in row.inner_text()
    for name in ("Edit", "Delete", "Add calendar"):
        assert frame.get_by_role("button", name=name).count() == 0
    row.get_by_role("button", name="Days of bank").click()
    expect(frame.get_by_role("listitem").filter(has_text="2099-12-26")).to_be_visible()
