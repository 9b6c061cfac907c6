"""Schedules of Celery beat become jobs with the same times and arguments, or are refused; nothing is run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core.importing import celery_beat
from airflow_pgmq.core.importing.imported import Imported
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.jobs import Every
from tests.unit.crons import runs

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def read(text: str, **more: Any) -> Imported:
    return celery_beat.read(text, queue_name="q", **more)


def entry(schedule: str, more: str = "") -> str:
    return f"beat_schedule = {{'a': {{'task': 't', 'schedule': {schedule}, {more}}}}}"


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


ENTRY = "{'task': 't', 'schedule': 60}"


@pytest.mark.parametrize(
    "text",
    [
        f"beat_schedule = {{'a': {ENTRY}}}",
        f"CELERY_BEAT_SCHEDULE = {{'a': {ENTRY}}}",
        f"app.conf.beat_schedule = {{'a': {ENTRY}}}",
        f"app.conf.beat_schedule: dict = {{'a': {ENTRY}}}",
        f"app.conf.update(beat_schedule={{'a': {ENTRY}}})",
        f"app.conf.update({{'beat_schedule': {{'a': {ENTRY}}}}})",
        f"app.conf.beat_schedule.update({{'a': {ENTRY}}})",
        f"app.conf.beat_schedule['a'] = {ENTRY}",
        f"class Config:\n    beat_schedule = {{'a': {ENTRY}}}",
        f"{{'a': {ENTRY}}}",
        "beat_schedule = {'a': dict(task='t', schedule=60)}",
    ],
)
def test_where_the_schedule_is(text: str) -> None:
    schedule = Every(timedelta(minutes=1))
    assert one(text) == PeriodicJob(name="a", schedule=schedule, queue_name="q", message={"task": "t"})


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("30", Every(timedelta(seconds=30))),
        ("30.0", Every(timedelta(seconds=30))),
        ("60 * 60 / 2", Every(timedelta(minutes=30))),
        ("timedelta(minutes=5)", Every(timedelta(minutes=5))),
        ("datetime.timedelta(1, 30)", Every(timedelta(days=1, seconds=30))),
    ],
)
def test_intervals(text: str, schedule: Every) -> None:
    found = read(entry(text))
    assert [job.schedule for job in found.jobs] == [schedule]
    assert "counted from midnight" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "cron", "day_match"),
    [
        ("crontab()", "* * * * *", None),
        ("crontab(minute=0, hour=7)", "0 7 * * *", None),
        ("crontab(0, 7)", "0 7 * * *", None),
        ("schedules.crontab(minute='*/15', hour='8-18/2, 22-2')", "*/15 8-18/2,22-2 * * *", None),
        ("crontab(minute=0, hour=[1, 5], day_of_week={0, 6})", "0 1,5 * * 0,6", None),
        ("crontab(0, 0, day_of_week='Monday,wed-FRIDAY')", "0 0 * * Mon,wed-FRI", None),
        ("crontab(0, 0, day_of_month='*/2', month_of_year='3')", "0 0 */2 3 *", None),
        ("crontab(0, 0, day_of_month=1, day_of_week=0)", "0 0 1 * 0", "both"),
    ],
)
def test_crons(text: str, cron: str, day_match: str | None) -> None:
    job = one(entry(text))
    assert (job.cron, job.day_match) == (cron, day_match)


def test_arguments() -> None:
    job = one(entry("60", "'args': (1, ('a', None)), 'kwargs': {'deep': {'x': [True]}, 't': '{{ y }}'}"))
    assert job.message == {
        "task": "t",
        "args": [1, ["a", None]],
        "kwargs": {"deep": {"x": [True]}, "t": "{{ params.text_1 }}"},
    }
    assert job.params == {"text_1": "{{ y }}"}


def test_options() -> None:
    found = read(entry("crontab()", "'options': {'expires': 15 * 60, 'queue': 'low'}, 'relative': True"))
    assert [job.ttl for job in found.jobs] == [timedelta(minutes=15)]
    assert found.notes == (
        "a: relative is left out: check whether it matters",
        "a: its option queue is left out: does it matter?",
    )


@pytest.mark.parametrize(
    ("setting", "zone"),
    [
        ("app.conf.timezone = 'Europe/Berlin'", "Europe/Berlin"),
        ("CELERY_TIMEZONE = 'Europe/Berlin'", "Europe/Berlin"),
        ("app.conf.update(timezone='Europe/Berlin')", "Europe/Berlin"),
        ("", "Asia/Tokyo"),
    ],
)
def test_the_time_zone(setting: str, zone: str) -> None:
    assert one(f"{entry('crontab()')}\n{setting}", timezone="Asia/Tokyo").timezone == zone


def test_a_time_zone_that_is_not_written_out() -> None:
    found = read(f"CELERY_TIMEZONE = TIME_ZONE\n{entry('crontab()')}")
    assert found.notes == ("line 1: the time zone is not written out: say which one it is",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (entry("solar('sunset', -37.81, 144.96)"), "solar"),
        (entry("EVERY_HOUR"), "line 1: a value is not written out"),
        (entry("crontab(hour=HOUR)"), "not written out"),
        (entry("crontab(nowfun=now)"), "nowfun of crontab is not read"),
        (entry("crontab(0, 7, 1)"), "differs between versions"),
        (entry("crontab(minute='60')"), "is no minute"),
        (entry("crontab(minute=True)"), "not written out"),
        (entry("crontab(minute='H')"), "cannot be read as minute"),
        (entry("timedelta(weeks=x)"), "not written out"),
        (entry("timedelta(fortnights=1)"), "no duration"),
        (entry("timedelta(days=10**9)"), "not written out"),
        (entry("timedelta(days=9999999999)"), "no duration"),
        (entry("1 / 0"), "not written out"),
        (entry("1e999"), "no number of seconds"),
        (entry("0.5"), "Every needs"),
        (entry("True"), "not written out"),
        (entry("other(60)"), "only seconds"),
        (entry("60", "'args': (now(),)"), "not written out"),
        (entry("60", "'args': (b'x',)"), "bytes"),
        (entry("60", "'options': {'expires': datetime(2026, 1, 1)}"), "not written out"),
        ("beat_schedule = {'a': {'task': 't'}}", "needs task and schedule"),
        ("beat_schedule = {'a': make()}", "needs task and schedule"),
        ("beat_schedule = {'a': x}", "not written out"),
        ("beat_schedule = {NAME: {'task': 't', 'schedule': 60}}", "not written out"),
        ("beat_schedule = {**others}", "not written out"),
        ("beat_schedule = load()", "not written out"),
        ("x = 1", "sets neither"),
        ("if", "no Python"),
        ("(" * 1000, "no Python"),
        ("a\x00", "no Python"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    assert why in refusal(text)


def test_nothing_is_run(tmp_path: Path) -> None:
    file = tmp_path / "made"
    found = read(f"open({str(file)!r}, 'w')\n" + entry("60", f"'args': (open({str(file)!r}, 'w'),)"))
    assert len(found.refused) == 1
    assert not file.exists()


# The same times as Celery itself, in which all fields must match.


def by_celery(schedule: crontab, days: int) -> Iterator[datetime]:
    for count in range(days * 24 * 60):
        at = START + timedelta(minutes=count)
        if (
            at.minute in schedule.minute
            and at.hour in schedule.hour
            and at.day in schedule.day_of_month
            and at.month in schedule.month_of_year
            and at.isoweekday() % 7 in schedule.day_of_week
        ):
            yield at


def term(low: int, high: int) -> st.SearchStrategy[str]:
    value, step = st.integers(low, high), st.integers(1, 9)
    return st.one_of(
        value.map(str),
        st.just("*"),
        st.builds("*/{}".format, step),
        st.builds("{}-{}".format, value, value),
        st.builds("{}-{}/{}".format, value, value, step),
    )


def some(low: int, high: int) -> st.SearchStrategy[str]:
    return st.lists(term(low, high), min_size=1, max_size=2).map(",".join)


@given(
    fields=st.fixed_dictionaries(
        {
            "minute": some(0, 59),
            "hour": some(0, 23),
            "day_of_month": some(1, 28),
            "month_of_year": some(1, 2),
            "day_of_week": some(0, 6),
        }
    )
)
@runs(60)
def test_slots_are_those_of_celery(fields: dict[str, str]) -> None:
    expected = list(by_celery(crontab(**fields), 20))
    found = read(entry(f"crontab({', '.join(f'{name}={text!r}' for name, text in fields.items())})"))
    if found.jobs:
        slots = found.jobs[0].slots.after(START - timedelta(seconds=1))
        assert list(takewhile(lambda slot: slot < START + timedelta(days=20), slots)) == expected
    else:
        assert "never matches a day" in found.refused[0].why
        assert expected == []


# Whatever is in the text.

CODE = st.lists(
    st.sampled_from(
        [
            "beat_schedule",
            "=",
            "{",
            "}",
            ":",
            ",",
            "(",
            ")",
            "'a'",
            "'task'",
            "'schedule'",
            "'options'",
            "crontab",
            "timedelta",
            "60",
            "*",
            "**",
            "x",
            ".",
            "[",
            "]",
            "\n",
        ]
    ),
    max_size=30,
).map(" ".join)


@given(text=st.text(max_size=60) | CODE)
@runs(300)
def test_nothing_raises(text: str) -> None:
    found = read(text)
    assert all(refused.why for refused in found.refused)
    assert bool(found.jobs or found.refused) or not text.strip() or "{ }" in text


SCHEDULES = st.sampled_from(["60", "crontab()", "crontab(minute=99)", "solar()", "x", "timedelta(1)", "'60'"])


@given(entries=st.dictionaries(st.text(max_size=8), SCHEDULES, max_size=4))
@runs(150)
def test_each_entry_is_a_job_or_refused(entries: dict[str, str]) -> None:
    inner = ", ".join(f"{name!a}: {{'task': 't', 'schedule': {text}}}" for name, text in entries.items())
    found = read(f"beat_schedule = {{{inner}}}")
    if entries:
        assert len(found.jobs) + len(found.refused) == len(entries)
    assert [job.problems() for job in found.jobs] == [[]] * len(found.jobs)
    assert len({job.name for job in found.jobs}) == len(found.jobs)
