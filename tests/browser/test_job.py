"""The view of one job, and the form for live jobs."""

from __future__ import annotations

import json
import re

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="`make browser` installs it").expect

NAMESPACE = "desk"


@pytest.fixture(scope="module", autouse=True)
def own_jobs(site):
    """A namespace for the live jobs of these tests, and a queue."""
    hook = site.live.hook()
    hook.create_queue("letters", notify=False)
    yield
    hook.remove_namespace(NAMESPACE)
    hook.drop_queue("letters")


@pytest.fixture
def live(site):
    """Make a live job, as others would."""
    from airflow_pgmq.jobs import PeriodicJob

    def put(name, **fields):
        job = PeriodicJob(**{"name": name, "cron": "0 6 * * *", "queue_name": "letters", **fields})
        return site.live.hook().put_job(NAMESPACE, job)

    return put


def definition(site, name):
    statement = "SELECT definition FROM airflow_pgmq.periodic_jobs WHERE namespace = %s AND name = %s"
    [(found,)] = site.ask(statement, NAMESPACE, name)
    return found


def part(frame, name):
    return frame.get_by_role("region", name=name).first


def test_the_list_leads_to_a_job_and_the_address_to_it(visit):
    visitor = visit()
    frame = visitor.open("jobs")
    frame.get_by_role("link", name="stock_sync", exact=True).click()
    expect(frame.get_by_role("heading", name="stock_sync")).to_be_visible()
    expect(visitor.page).to_have_url(re.compile(r"/plugin/pgmq/pgmq/ui/job/shop/stock_sync"))
    visitor.page.reload()
    expect(frame.get_by_role("heading", name="stock_sync")).to_be_visible()
    frame.get_by_role("link", name="Periodic jobs").last.click()
    expect(visitor.row("invoices").first).to_be_visible()


@pytest.mark.parametrize("user", ["admin", "viewer"])
def test_a_job_says_what_comes_and_what_became_of_its_slots(visit, user):
    visitor = visit(user)
    frame = visitor.open("job/shop/stock_sync")
    days = part(frame, "Next days").locator("td.some")
    expect(days.nth(1)).to_contain_text("288")
    hours = part(frame, "Last slots").locator("td.heat")
    expect(hours.filter(has_text="2 missed").or_(hours.filter(has_text="1 missed")).first).to_be_visible()
    expect(
        part(frame, "Last slots").get_by_role("table", name="From visible to acked, by day")
    ).to_contain_text(re.compile(r"288.*\d s"))
    rows = part(frame, "Slot by slot").get_by_role("row")
    expect(part(frame, "Slot by slot").get_by_role("cell", name="4 min").first).to_be_visible()
    before = rows.count()
    frame.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(before + 50)
    expect(frame.get_by_role("region", name="Definition")).to_contain_text("*/5 * * * *")
    assert frame.get_by_role("button", name="Skip").count() == (5 if user == "admin" else 0)


def test_percentiles_are_those_of_a_day(visit):
    visitor = visit()
    visitor.open("job/shop/stock_sync")
    slots = [{"slot": "2026-01-01T12:00:00Z", "state": "sent", "late": 0, "took": n} for n in range(1, 101)]
    slots.append({"slot": "2026-01-01T12:00:00Z", "state": "missed", "place": None})
    [day] = visitor.module("parts/daily.js", f"({{ byDay }}) => byDay({json.dumps(slots)})")
    counted = {"slots": 101, "missed": 1, "late": 0, "acked": 100}
    assert day == {"day": "2026-01-01", **counted, "p50": 50, "p95": 95, "max": 100}


def test_the_worst_state_of_an_hour_is_seen(visit):
    visitor = visit()
    visitor.open("job/shop/stock_sync")
    slots = [
        # In Berlin the next day, and the same hour.
        {"slot": "2026-01-01T23:10:00Z", "state": "sent", "place": "dead"},
        {"slot": "2026-01-01T23:20:00Z", "state": "late", "place": "archived"},
    ]
    [day] = visitor.module("parts/heatmap.js", f"({{ byHour }}) => byHour({json.dumps(slots)})")
    assert (day["day"], day["hours"][0]) == ("2026-01-02", {"dead": 1, "late": 1})
    said = visitor.module(
        "parts/heatmap.js", f"({{ heatmap }}) => heatmap({json.dumps(slots)}).querySelector('.heat').title"
    )
    assert said == "1 dead letter, 1 late"


def test_weeks_begin_on_monday(visit):
    visitor = visit()
    visitor.open("job/shop/stock_sync")
    days = [{"day": f"2026-01-0{n}"} for n in (1, 2, 3, 4, 5)]
    weeks = visitor.module("parts/calendar.js", f"({{ weeks }}) => weeks({json.dumps(days)})")
    assert [[day and day["day"][-1] for day in week] for week in weeks] == [
        [None, None, None, "1", "2", "3", "4"],
        ["5", *[None] * 6],
    ]


def test_a_slot_is_skipped(visit, site):
    visitor = visit()
    frame = visitor.open("job/shop/invoices")
    skip = frame.get_by_role("button", name="Skip")
    first = skip.first.get_attribute("aria-label")
    skip.first.click()
    visitor.confirm("Skip")
    expect(frame.get_by_text("invoices: slot skipped")).to_be_visible()
    expect(skip.first).not_to_have_attribute("aria-label", first)
    expect(part(frame, "Next days")).to_contain_text("1 left out: skipped by hand")
    assert site.ask("SELECT count(*) FROM airflow_pgmq.slots WHERE queue_name = ''") == [(1,)]
    site.live.execute_on_queues("DELETE FROM airflow_pgmq.slots WHERE queue_name = ''")


def test_a_job_is_paused_on_its_page(visit, site):
    visitor = visit()
    frame = visitor.open("job/shop/cache_warm")
    for before, after in (("Pause", "Resume"), ("Resume", "Pause")):
        frame.get_by_role("button", name=f"{before}: cache_warm").click()
        visitor.confirm(before)
        expect(frame.get_by_role("button", name=f"{after}: cache_warm")).to_be_visible()


def test_a_part_that_fails_leaves_the_others(visit, site):
    from tests.fixtures.factories import job, tick

    site.live.execute_on_queues("SELECT pgmq.create('passing')")
    own = job("passing", cron="* * * * *", queue_name="passing")
    tick(own, namespace="pass", look_ahead=0).run(site.live.hook().client)
    site.live.execute_on_queues(
        "INSERT INTO airflow_pgmq.slots SELECT 'pass', 'passing', now() - interval '1 h', 'passing', 0, 1,"
        " now(), now(), now() + interval '1 day'"
    )
    site.live.execute_on_queues("SELECT pgmq.drop_queue('passing')")
    frame = visit().open("job/pass/passing")
    expect(frame.get_by_role("list", name="Problems of passing")).to_contain_text(
        "The last slots: not everything could be looked at. Queue passing does not exist any more."
    )
    expect(part(frame, "Next days").locator("td.some").first).to_be_visible()
    site.live.hook().remove_namespace("pass")


def test_a_job_that_is_not_there_is_said_not_to_be(visit):
    visitor = visit()
    visitor.expected = ("/jobs/shop/none",)
    frame = visitor.open("job/shop/none")
    expect(frame.get_by_role("alert")).to_contain_text("No periodic job 'none'")


# Live jobs.


def test_a_live_job_is_added_while_its_times_are_shown(visit, site):
    visitor = visit()
    frame = visitor.open("jobs")
    frame.get_by_role("button", name="Add live job").click()
    dialog = frame.get_by_role("dialog")
    dialog.get_by_label("Namespace").fill(NAMESPACE)
    dialog.get_by_label("Name", exact=True).fill("reminders")
    schedule = dialog.get_by_label("Schedule")
    schedule.fill("0 25 * * *")
    expect(dialog.locator("#job-schedule-problem")).to_contain_text("0 25 * * *")
    expect(schedule).to_have_attribute("aria-invalid", "true")
    schedule.fill('{"every": "15m"}')
    expect(dialog.locator("#job-schedule-problem")).to_be_empty()
    expect(dialog.get_by_role("status").locator("time")).to_have_count(5)
    dialog.get_by_role("button", name="Add").click()
    expect(dialog.locator("#job-queue_name-problem")).to_contain_text("queue_name is missing")
    expect(dialog.get_by_label("Queue")).to_be_focused()
    dialog.get_by_label("Queue").fill("letters")
    dialog.get_by_label("Message").fill('{"day": "{{ ds }}"')
    expect(dialog.locator("#job-message-problem")).to_contain_text("This is not JSON")
    dialog.get_by_label("Message").fill('{"day": "{{ ds }}", "id": 12345678901234567890}')
    dialog.get_by_label("More fields").fill('{"tttl": "1h"}')
    expect(dialog.get_by_role("alert")).to_contain_text("did you mean ttl?")
    dialog.get_by_label("More fields").fill('{"ttl": "1h"}')
    dialog.get_by_role("button", name="Add").click()
    expect(frame.get_by_role("heading", name="reminders")).to_be_visible()
    found = definition(site, "reminders")
    assert (found["schedule"]["every"], found["ttl"]) == (900, 3600)
    assert found["message"] == {"day": "{{ ds }}", "id": 12345678901234567890}


def test_an_edit_keeps_what_is_hidden_and_what_is_not_in_the_form(visit, site, live):
    live("edited", message={"password": "hunter2", "to": "a"}, headers={"token": "t"}, overlap="skip")
    visitor = visit()
    frame = visitor.open(f"job/{NAMESPACE}/edited")
    expect(frame.get_by_role("region", name="Definition").first).to_contain_text('"password": "***"')
    frame.get_by_role("button", name="Edit…").click()
    dialog = frame.get_by_role("dialog")
    expect(dialog.get_by_label("Name", exact=True)).to_have_attribute("readonly", "")
    message = dialog.get_by_label("Message")
    message.fill(message.input_value().replace('"a"', '"b"'))
    dialog.get_by_role("button", name="Save").click()
    expect(frame.get_by_text("edited: now version 2")).to_be_visible()
    found = definition(site, "edited")
    assert found["message"] == {"password": "hunter2", "to": "b"}
    assert (found["headers"], found["overlap"]) == ({"token": "t"}, "skip")


def test_who_is_second_keeps_what_was_typed_and_may_load_the_newer_version(visit, site, live):
    live("raced")
    visitor = visit()
    visitor.expected = ("/jobs/desk/raced/put",)
    frame = visitor.open(f"job/{NAMESPACE}/raced")
    frame.get_by_role("button", name="Edit…").click()
    dialog = frame.get_by_role("dialog")
    schedule = dialog.get_by_label("Schedule")
    schedule.fill("0 7 * * *")
    live("raced", cron="0 8 * * *")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("is at version 2; when you looked it was version 1")
    expect(schedule).to_have_value("0 7 * * *")
    dialog.get_by_role("button", name="Load what is there now").click()
    expect(schedule).to_have_value("0 8 * * *")
    schedule.fill("0 9 * * *")
    dialog.get_by_role("button", name="Save").click()
    expect(frame.get_by_text("raced: now version 3")).to_be_visible()
    assert definition(site, "raced")["cron"] == "0 9 * * *"


def test_a_job_is_deleted_and_restored(visit, site, live):
    live("gone", cron="0 1 * * *")
    live("gone", cron="0 2 * * *")
    visitor = visit()
    frame = visitor.open(f"job/{NAMESPACE}/gone")
    frame.get_by_role("button", name="Restore version 1").click()
    visitor.confirm("Restore")
    expect(frame.get_by_text("gone: version 1 restored")).to_be_visible()
    assert definition(site, "gone")["cron"] == "0 1 * * *"
    expect(frame.locator(".heading")).to_contain_text("v3")
    frame.get_by_role("button", name="Delete").click()
    visitor.confirm("Delete")
    expect(frame.get_by_text("deleted", exact=True)).to_have_count(2)
    frame.get_by_role("button", name="Restore version 2").click()
    visitor.confirm("Restore")
    expect(frame.get_by_role("button", name="Edit…")).to_be_visible()
    assert definition(site, "gone")["cron"] == "0 2 * * *"


def test_a_form_is_used_by_keyboard_and_called_off(visit, site):
    visitor = visit()
    frame = visitor.open("jobs")
    add = frame.get_by_role("button", name="Add live job")
    add.focus()
    add.press("Enter")
    dialog = frame.get_by_role("dialog")
    expect(dialog.get_by_label("Namespace")).to_be_focused()
    for _ in range(12):
        visitor.page.keyboard.press("Tab")
        expect(dialog.locator(":focus")).to_have_count(1)
    visitor.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(add).to_be_focused()


def test_a_viewer_has_no_form(visit, live):
    live("looked_at")
    visitor = visit("viewer")
    frame = visitor.open("jobs")
    expect(visitor.row("invoices").first).to_be_visible()
    assert frame.get_by_role("button", name="Add live job").count() == 0
    frame = visitor.open(f"job/{NAMESPACE}/looked_at")
    expect(frame.get_by_role("region", name="Versions").first).to_be_visible()
    for name in ("Edit…", "Delete", "Restore", "Pause", "Run now", "Skip"):
        assert frame.get_by_role("button", name=name).count() == 0
