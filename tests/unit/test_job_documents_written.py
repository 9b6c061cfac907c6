"""Jobs as YAML, Python and mappings are the same jobs when they are read back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_pgmq.core.job_documents import (
    as_mapping,
    dump,
    durations,
    from_mapping,
    parse,
    python,
    scalars,
    yaml_values,
)
from airflow_pgmq.core.job_documents.fields import FIELDS
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.errors import InvalidJobs, InvalidMessage
from airflow_pgmq.jobs import At, Blackout, Calendar, Cron, Every, Holidays, RRule
from tests.unit import generated_jobs
from tests.unit.generated_jobs import TRAPS, job_lists

generous = settings(max_examples=100, suppress_health_check=list(HealthCheck))

JOBS = [
    PeriodicJob(
        name="report",
        schedule="0 6 * * 1-5",
        queue_name="mail",
        timezone="Europe/Berlin",
        message={"kind": "daily", "subject": "it's", "lines": [1, 2.5, None, True], "text": "a\nb\n"},
        exclude=[
            date(2026, 12, 24),
            "weekends",
            Calendar("plant"),
            Holidays("DE", "BY"),
            Blackout(datetime(2026, 8, 1), datetime(2026, 8, 15, 12, 30)),
        ],
        business_day="next",
        ttl=timedelta(minutes=90),
        start=datetime(2026, 1, 1, tzinfo=timezone.utc),
    ),
    PeriodicJob(
        name="quartz", schedule=Cron("0 0 6 * * 1-5", seconds="first"), queue_name="mail", overlap="skip"
    ),
    PeriodicJob(
        name="often",
        schedule=Every(timedelta(weeks=2), datetime(2026, 1, 5, 9)),
        queue_name="mail",
        message=[],
    ),
    PeriodicJob(name="once", schedule=At(datetime(2026, 7, 1, 9)), queue_name="mail", message=None),
    PeriodicJob(name="friday", schedule=RRule("FREQ=MONTHLY;BYDAY=-1FR"), queue_name="mail"),
]

AS_YAML = """\
- name: report
  schedule: 0 6 * * 1-5
  timezone: Europe/Berlin
  exclude:
    - '2026-12-24'
    - weekends
    - calendar: plant
    - holidays: DE
      subdivision: BY
    - start: '2026-08-01T00:00:00'
      end: '2026-08-15T12:30:00'
  business_day: next
  start: '2026-01-01T00:00:00+00:00'
  queue_name: mail
  message:
    kind: daily
    subject: it's
    lines:
      - 1
      - 2.5
      - null
      - true
    text: |
      a
      b
  ttl: 1h30m

- name: quartz
  schedule:
    cron: 0 0 6 * * 1-5
    seconds: first
  queue_name: mail
  overlap: skip

- name: often
  schedule:
    every: 14d
    anchor: '2026-01-05T09:00:00'
  queue_name: mail
  message: []

- name: once
  schedule:
    at: '2026-07-01T09:00:00'
  queue_name: mail
  message: null

- name: friday
  schedule:
    rrule: FREQ=MONTHLY;BYDAY=-1FR
  queue_name: mail
"""

AS_PYTHON = """\
from datetime import date, datetime, timedelta, timezone

from airflow_pgmq.jobs import (
    At,
    Blackout,
    Calendar,
    Cron,
    Every,
    Holidays,
    PeriodicJob,
    RRule,
)

JOBS = [
    PeriodicJob(
        name="report",
        schedule="0 6 * * 1-5",
        timezone="Europe/Berlin",
        exclude=[
            date(2026, 12, 24),
            "weekends",
            Calendar("plant"),
            Holidays("DE", "BY"),
            Blackout(datetime(2026, 8, 1), datetime(2026, 8, 15, 12, 30)),
        ],
        business_day="next",
        start=datetime(2026, 1, 1, tzinfo=timezone.utc),
        queue_name="mail",
        message={
            "kind": "daily",
            "subject": "it's",
            "lines": [1, 2.5, None, True],
            "text": "a\\nb\\n",
        },
        ttl=timedelta(hours=1, minutes=30),
    ),
    PeriodicJob(
        name="quartz",
        schedule=Cron("0 0 6 * * 1-5", seconds="first"),
        queue_name="mail",
        overlap="skip",
    ),
    PeriodicJob(
        name="often",
        schedule=Every(timedelta(days=14), anchor=datetime(2026, 1, 5, 9)),
        queue_name="mail",
        message=[],
    ),
    PeriodicJob(
        name="once",
        schedule=At(datetime(2026, 7, 1, 9)),
        queue_name="mail",
        message=None,
    ),
    PeriodicJob(
        name="friday",
        schedule=RRule("FREQ=MONTHLY;BYDAY=-1FR"),
        queue_name="mail",
    ),
]
"""


def same(one: list[PeriodicJob], other: list[PeriodicJob]) -> bool:
    return [described(job) for job in one] == [described(job) for job in other]


def described(job: PeriodicJob) -> tuple[Any, ...]:
    """All of it; `seconds` that are last by default or on purpose are stored as the same."""
    return job.name, job.definition_json, job.seconds


def run(source: str) -> list[PeriodicJob]:
    names: dict[str, Any] = {}
    exec(compile(source, "jobs.py", "exec"), names)
    return names["JOBS"]


def formatted(source: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "-"]
    return subprocess.run(command, input=source.encode(), capture_output=True, check=True).stdout.decode()


def test_jobs_as_yaml() -> None:
    assert dump(JOBS) == AS_YAML
    assert same(parse(AS_YAML), JOBS)


def test_jobs_as_python() -> None:
    assert python(JOBS) == AS_PYTHON
    assert same(run(AS_PYTHON), JOBS)


def test_no_jobs_are_texts_too() -> None:
    assert parse(dump([])) == run(python([])) == []


@generous
@given(job_lists)
def test_what_is_written_as_yaml_is_read_back(jobs: list[PeriodicJob]) -> None:
    text = dump(jobs)
    assert same(parse(text), jobs)
    assert dump(parse(text)) == text


@generous
@given(job_lists)
def test_other_readers_of_yaml_find_the_same_values(jobs: list[PeriodicJob]) -> None:
    """PyYAML's own reads YAML 1.1."""
    assert json.dumps(yaml.safe_load(dump(jobs))) == json.dumps([as_mapping(job) for job in jobs])


@generous
@given(job_lists)
def test_what_is_written_as_python_declares_the_same_jobs(jobs: list[PeriodicJob]) -> None:
    assert same(run(python(jobs)), jobs)


def test_python_is_formatted_as_by_ruff() -> None:
    """Values of each length, so that some just fit into a line and others just do not."""
    assert formatted(AS_PYTHON) == AS_PYTHON
    jobs = [
        PeriodicJob(
            name=f"job{n}",
            schedule=At(*[datetime(2026, 1, 1, 9)] * (n % 5 + 1)),
            queue_name="q",
            group="x" * n,
            message=[{"a": "x" * n, "b": [1e16, "it's", 'say "x"', 'it\'s "x"']}, ["y" * n, -0.0, {}], []],
            exclude=[Blackout(datetime(2026, 1, 1), datetime(2026, 1, 2))] * (n % 3),
        )
        for n in range(90)
    ]
    assert python(jobs) == formatted(python(jobs))


@generous
@given(generated_jobs.jobs)
def test_a_mapping_is_json_and_the_same_job(job: PeriodicJob) -> None:
    mapping = json.loads(json.dumps(as_mapping(job)))
    assert same([from_mapping(mapping)], [job])
    assert same(parse(json.dumps([mapping])), [job])
    assert same(parse(json.dumps({"jobs": [mapping]}, indent="\t", ensure_ascii=False)), [job])


@pytest.mark.parametrize("parser", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
@pytest.mark.parametrize("colon", [":", " :", "\n:", " \r\n :"])
@pytest.mark.parametrize("length", [1, 1020, 1021, 1022, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("letter", ["x", "\\", '"', "\u0120", "\U0001f600"])
def test_json_may_have_long_keys(letter: str, length: int, colon: str, parser: Any, monkeypatch: Any) -> None:
    """YAML has marks for keys of more than 1,024 characters, and for a colon in another line."""
    monkeypatch.setattr(yaml_values, "_PARSER", parser)
    message = {letter * length: {"a": '": 1'}}
    job = {"name": "a", "schedule": "@daily", "queue_name": "q", "message": message}
    for is_ascii in (True, False):
        text = json.dumps([job], separators=(",", colon), ensure_ascii=is_ascii)
        assert [each.message for each in parse(text)] == [message]


@pytest.mark.parametrize("text", TRAPS)
def test_each_text_that_yaml_could_misread_survives(text: str) -> None:
    message = {"value": text, "list": [text, {"x" + text: text}], text: 1}
    job = PeriodicJob(name="a", schedule="@daily", queue_name="q", message=message)
    for found in (parse(dump([job])), run(python([job]))):
        assert [each.message for each in found] == [message]


@given(st.timedeltas(timedelta(0), timedelta(days=3660)))
@example(timedelta(0))
def test_each_duration_is_read_as_it_was_written(value: timedelta) -> None:
    assert durations.parse(durations.short(value)) == value
    assert timedelta(**durations.parts(value)) == value


@given(generated_jobs.texts)
def test_a_text_that_needs_no_quotes_is_a_text(text: str) -> None:
    assert not scalars.is_text(text) or scalars.read(text) == text


def test_the_table_has_each_field_of_a_job() -> None:
    """A new field of PeriodicJob needs a kind in `fields.FIELDS`, and a place in jobs.schema.json."""
    assert set(FIELDS) == {field.name for field in fields(PeriodicJob)}


def test_generated_jobs_have_each_field() -> None:
    """Else the tests here say nothing of it."""
    drawn = {"name", "schedule", "queue_name", "start", "end", *generated_jobs.optional}
    assert set(FIELDS) == drawn | {"cron", "seconds", "day_match"}


@pytest.mark.parametrize("write", [dump, python])
def test_jobs_with_problems_are_not_written(write: Any) -> None:
    bad = PeriodicJob(name="a", schedule="0 25 * * *", queue_name="q", message=object())
    with pytest.raises(InvalidJobs) as raised:
        write([bad, JOBS[0], JOBS[0]])
    assert list(raised.value.problems) == ["a", "report"]


def nested(levels: int) -> PeriodicJob:
    message: Any = 1
    for _ in range(levels):
        message = [message]
    return PeriodicJob(name="a", schedule="@daily", queue_name="q", message=message)


def test_messages_have_a_depth_that_all_forms_take() -> None:
    job = nested(100)
    assert same(parse(dump([job])), [job])
    assert same(run(python([job])), [job])
    assert same([from_mapping(as_mapping(job))], [job])
    with pytest.raises(InvalidMessage, match="deeper than 100 levels"):
        dump([nested(101)])
