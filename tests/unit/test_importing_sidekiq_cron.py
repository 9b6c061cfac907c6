"""Schedules of sidekiq-cron become jobs with the same times and arguments, or are refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core.importing import sidekiq_cron
from airflow_pgmq.core.importing.imported import Imported
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.jobs import Every
from tests.unit.crons import runs


def read(text: str, **more: Any) -> Imported:
    return sidekiq_cron.read(dedent(text), queue_name="q", **more)


def entry(cron: str, more: str = "") -> str:
    return f"a:\n  cron: '{cron}'\n  class: A\n{more}"


def one(text: str, **more: Any) -> PeriodicJob:
    found = read(text, **more)
    assert found.refused == ()
    (job,) = found.jobs
    assert job.problems() == []
    return job


def refusal(text: str) -> str:
    found = read(text)
    assert found.jobs == ()
    (refused,) = found.refused
    return refused.why


def test_a_mapping_and_a_list() -> None:
    mapping = read(
        """
        nightly report:
          cron: "0 3 * * *"
          class: ReportWorker
          queue: low
          args: [7, {deep: [true, null]}]
        other: {cron: "@daily", klass: Other}
        """
    )
    listed = read(
        """
        - {name: nightly report, cron: "0 3 * * *", class: ReportWorker, queue: low,
           args: [7, {deep: [true, null]}]}
        - {name: other, cron: "@daily", class: Other}
        """
    )
    assert mapping == listed
    message = {"class": "ReportWorker", "args": [7, {"deep": [True, None]}], "queue": "low"}
    assert list(mapping.jobs) == [
        PeriodicJob(name="nightly-report", cron="0 3 * * *", queue_name="q", message=message),
        PeriodicJob(name="other", cron="@daily", queue_name="q", message={"class": "Other", "args": []}),
    ]
    assert mapping.notes == ()


@pytest.mark.parametrize(
    ("cron", "fields"),
    [
        ("*/5 * * * *", {"cron": "*/5 * * * *"}),
        ("0 9 * * 1-5 Europe/Berlin", {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}),
        ("30 0 9 * * mon", {"cron": "30 0 9 * * mon", "seconds": "first"}),
        ("*/10 * * * * * UTC", {"cron": "*/10 * * * * *", "seconds": "first", "timezone": "UTC"}),
        ("0 0 L * *", {"cron": "0 0 L * *"}),
        ("0 0 * * fri#2,sat#1", {"cron": "0 0 * * fri#2,sat#1"}),
        ("0 0 * * Mon", {"cron": "0 0 * * Mon"}),
        ("@hourly", {"cron": "@hourly"}),
        ("every 15 minutes", {"schedule": Every(timedelta(minutes=15))}),
        ("every hour", {"schedule": Every(timedelta(hours=1))}),
        ("every 2 days", {"schedule": Every(timedelta(days=2))}),
    ],
)
def test_schedules(cron: str, fields: dict[str, Any]) -> None:
    job = PeriodicJob(name="a", queue_name="q", message={"class": "A", "args": []}, **fields)
    assert one(entry(cron)) == job


def test_seconds_are_first() -> None:
    slots = one(entry("30 0 9 * * *")).slots.after(datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert next(slots) == datetime(2026, 1, 1, 9, 0, 30, tzinfo=timezone.utc)


def test_the_zone_is_that_of_the_processes() -> None:
    assert one(entry("0 9 * * *"), timezone="Asia/Tokyo").timezone == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("[1, a]", [1, "a"]),
        ("{a: 1}", [{"a": 1}]),
        ("5", [5]),
        ("word", ["word"]),
        ("'[1, 2]'", [1, 2]),
        ("'{{ x }}'", ["{{ params.text_1 }}"]),
    ],
)
def test_arguments(args: str, expected: list[Any]) -> None:
    assert one(entry("@daily", f"  args: {args}\n")).message["args"] == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (entry("every day at noon"), "is not read here"),
        (entry("every 0 minutes"), "Every needs"),
        (entry("0 9 * * mon%2"), "modulo"),
        (entry("0 9 * * *", "  status: disabled\n"), "status is disabled"),
        (entry("<%= CRON %>"), "ERB"),
        (entry("0 9 * * *", "  args: ['<%= 1 %>']\n"), "ERB"),
        (entry("0 9 * * * Mars/Base"), "unknown time zone"),
        (entry("0 9 -2 * *"), "cannot be read as day of month"),
        (entry("5/20 9 * * *"), "a step after a single minute"),
        (entry("@reboot"), "is no time"),
        (entry("0 9 * * *", "  args: [yes]\n"), "can be read in two ways"),
        ("a: {class: A}", "needs cron and class"),
        ("a: 5", "no mapping"),
        ("a: {cron: '@daily', class: A, args: [{'{{ k }}': 1}]}", "looks like a template"),
        ("a: {cron: '@daily', class: A, args: &x [1]}", "names for parts"),
        ("a: {cron: '@daily', class: A, args: !ruby/object:X {}}", "types (!name)"),
        ("a:\n  <<: *base\n  cron: '@daily'\n  class: A\n", "<< is not read here"),
        ("text", "must be a mapping"),
        ("<% if x %>\na: {cron: '@daily'}", "ERB, which is not run"),
        ("a: [", "a quote or bracket is missing"),
        ("&x a: {cron: '@daily', class: A}", "names for parts"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    assert why in refusal(text)


def test_two_jobs_of_one_name_are_not_lost() -> None:
    found = read(f"{entry('@daily')}{entry('@hourly')}")
    assert found.jobs == ()
    assert "a second time" in found.refused[0].why


def test_what_is_left_out_is_noted() -> None:
    found = read(entry("every 7 minutes", "  date_as_argument: true\n  description: x\n"))
    counted, left_out = found.notes
    assert "in equal steps from midnight" in counted
    assert left_out.startswith("a: date_as_argument is left out")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
CRONS = st.text("*/,-0123456789 #L%every minutshod@", max_size=20) | st.just("0 9 * * *")
ENTRIES = VALUES | st.fixed_dictionaries(
    {"cron": CRONS, "class": st.text(max_size=5)},
    optional={"args": VALUES, "queue": VALUES, "status": VALUES},
)


@given(entries=st.dictionaries(st.text(max_size=8), ENTRIES, max_size=3))
@runs(150)
def test_each_entry_is_a_job_or_refused(entries: dict[str, Any]) -> None:
    found = read(yaml.safe_dump(entries))
    assert [job.problems() for job in found.jobs] == [[]] * len(found.jobs)
    # What cannot be read at all is one refusal for the file.
    if "the file" not in {refused.source for refused in found.refused}:
        assert len(found.jobs) + len(found.refused) == len(entries)


@given(text=st.text(max_size=60) | st.text("ab:-[]{}'\"!&*<%>\n #?|", max_size=60))
@runs(300)
def test_nothing_raises(text: str) -> None:
    found = sidekiq_cron.read(text, queue_name="q")
    assert all(refused.why for refused in found.refused)
