"""What Airflow stores and shows of a task's jobs."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_pgmq.core.job_list import MOST_LISTED, JobList
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.jobs import Every, RRule

GOOD = PeriodicJob(name="report", cron="0 7 * * *", queue_name="mail", message={"kind": "daily"})
BERLIN, AHEAD = ZoneInfo("Europe/Berlin"), timezone(timedelta(hours=1))
OTHER = replace(GOOD, name="other", queue_name="bills")
CHANGED: dict[str, Any] = {
    "name": "renamed",
    "cron": "0 8 * * *",
    "queue_name": "post",
    "message": {"kind": "weekly"},
    "timezone": "Europe/Berlin",
    "seconds": "first",
    "headers": {"a": 1},
    "version": 1,
    "ttl": timedelta(hours=1),
    "expect_within": timedelta(hours=2),
    "pause_on_dead_letter": True,
    "catch_up": "none",
    "catch_up_max_age": timedelta(hours=1),
    "catch_up_limit": 1,
    "overlap": "skip",
    "jitter": timedelta(seconds=1),
    "start": datetime(2026, 1, 1),
    "end": datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    "group": "g",
    "schedule": Every(timedelta(hours=1)),
    "day_match": "both",
    "exclude": ["weekends"],
    "business_day": "next",
    "params": {"a": 1},
}


def many(count: int, **values: Any) -> list[PeriodicJob]:
    return [replace(GOOD, name=f"job-{number:05}", **values) for number in range(count)]


@pytest.mark.parametrize("name", [each.name for each in fields(PeriodicJob)])
def test_each_field_of_each_job_counts(name: str):
    no_cron = {"cron": None} if name == "schedule" else {}
    changed = JobList([replace(GOOD, **{name: CHANGED[name]}, **no_cron), OTHER])
    assert changed.digest != JobList([GOOD, OTHER]).digest
    assert changed.text(4096) != JobList([GOOD, OTHER]).text(4096)
    assert changed.digest in changed.text(4096)


def test_schedules_beyond_cron_are_written_as_they_are_meant():
    jobs = [
        replace(GOOD, exclude=["weekends"], business_day="next", message="{{ ds }}"),
        replace(GOOD, name="rule", cron=None, schedule=RRule("FREQ=DAILY"), message={}),
        replace(GOOD, name="every", cron=None, schedule=Every(timedelta(hours=6)), message={}),
    ]
    assert JobList(jobs).text(4096).splitlines()[2:] == [
        "  every: every 6:00:00",
        """  report: 0 7 * * * | "{{ ds }}" | business_day=next | exclude=['weekends']""",
        "  rule: FREQ=DAILY",
    ]


def test_neither_the_order_of_jobs_nor_that_of_keys_counts():
    one = JobList([replace(GOOD, message={"a": 1, "b": [2, 3]}, headers={"c": 1, "d": 2}), OTHER])
    two = JobList([OTHER, replace(GOOD, message={"b": (2, 3), "a": 1}, headers={"d": 2, "c": 1})])
    assert (one.digest, one.serialize()) == (two.digest, two.serialize())


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"seconds": None}, {"seconds": "last"}),
        ({"headers": None}, {"headers": {}}),
        (
            {"start": datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))},
            {"start": datetime.fromisoformat("2026-01-01T00:00+01:00")},
        ),
    ],
    ids=lambda values: next(iter(values)),
)
def test_what_a_deploy_takes_for_the_same_is_the_same(one: dict[str, Any], two: dict[str, Any]):
    one, two = JobList([replace(GOOD, **one)]), JobList([replace(GOOD, **two)])
    assert (one.digest, one.serialize()) == (two.digest, two.serialize())


def test_a_few_jobs_are_shown_with_all_that_is_not_by_default():
    job = replace(
        GOOD,
        cron=" 0 7  * * * ",
        timezone="Europe/Berlin",
        headers={"b": 1, "a": 2},
        ttl=timedelta(minutes=90),
        overlap="skip",
        start=datetime(2026, 1, 1),
    )
    jobs = JobList([job, replace(GOOD, name="nightly", message={}), OTHER])
    assert jobs.serialize().splitlines() == [
        f"3 periodic jobs, digest {jobs.digest}",
        "queue bills",
        '  other: 0 7 * * * | {"kind":"daily"}',
        "queue mail",
        "  nightly: 0 7 * * *",
        '  report: 0 7 * * * Europe/Berlin | {"kind":"daily"} | overlap=skip | ttl=1:30:00'
        ' | start=2026-01-01T00:00:00 | headers={"a":2,"b":1}',
    ]


def test_documentation_is_a_list_of_code_in_which_no_character_has_a_meaning():
    ticks = replace(GOOD, name="ticks", message="``*a*`\u2028")
    jobs = JobList([ticks, OTHER])
    assert jobs.markdown().split("\n") == [
        f"2 periodic jobs, digest {jobs.digest}",
        "",
        "- `queue bills`",
        '  - `other: 0 7 * * * | {"kind":"daily"}`',
        "- `queue mail`",
        '  - ``` ticks: 0 7 * * * | "``*a*`\u2028" ```',
    ]


def test_no_jobs_and_one_job():
    assert JobList([]).serialize().startswith("0 periodic jobs, digest ")
    assert JobList([GOOD]).serialize().startswith("1 periodic job, digest ")


def test_secrets_and_the_ends_of_long_messages_are_not_shown():
    message = {"Password": "x" * 2000, "deep": [{"token": 1}], "text": "täglich " * 100}
    shown = JobList([replace(GOOD, message=message)], hidden={"password", "token"}).serialize()
    assert '{"Password":"***","deep":[{"token":"***"}],"text":"täglich ' in shown
    assert shown.endswith("…")
    assert len(shown) < 300


def test_a_message_that_is_too_long_to_be_looked_through_is_measured():
    shown = JobList([replace(GOOD, message=["x" * 30_000])], hidden={"password"}).serialize()
    assert shown.endswith("report: 0 7 * * * | 30,004 characters of JSON")


def test_there_is_less_of_each_job_where_there_is_less_room():
    jobs = JobList(many(MOST_LISTED))
    everything = jobs.text(10_000)
    assert everything.count("daily") == MOST_LISTED
    schedules = jobs.text(len(everything) - 1)
    assert (schedules.count("daily"), schedules.count(": 0 7 * * *")) == (0, MOST_LISTED)
    names = jobs.text(len(schedules) - 1)
    assert (names.count("0 7"), names.count("job-")) == (0, MOST_LISTED)
    counted = jobs.text(len(names) - 1)
    assert counted.splitlines()[1:] == ["queue mail: 100 jobs"]


def test_more_jobs_are_counted_even_where_there_is_room():
    jobs = JobList([*many(MOST_LISTED), OTHER])
    assert jobs.text(10**6).splitlines() == [
        f"101 periodic jobs, digest {jobs.digest}",
        "queue mail: 100 jobs",
        "queue bills: 1 job",
    ]


@pytest.mark.parametrize("longest", [0, 80, 100, 150, 500, 4096])
def test_queues_that_there_is_no_room_for_are_counted(longest: int):
    jobs = JobList([replace(GOOD, name=f"j{n}", queue_name=f"queue_{n:04}") for n in range(1000)])
    head, *queues, last = jobs.text(longest).splitlines()
    assert head == f"1,000 periodic jobs, digest {jobs.digest}"
    assert queues == [f"queue queue_{n:04}: 1 job" for n in range(len(queues))]
    assert last == f"and {1000 - len(queues):,} more queues"
    assert len(jobs.text(longest)) <= max(longest, 82)


def test_it_is_a_sequence_of_the_jobs_as_they_were_given():
    jobs = JobList(iter([GOOD, OTHER]))
    assert list(jobs) == [GOOD, OTHER]
    assert (jobs[0], jobs[-1:], len(jobs), OTHER in jobs) == (GOOD, [OTHER], 2, True)
    assert repr(jobs) == f"<2 periodic jobs, digest {jobs.digest}>"
