"""All problems of a set of jobs at once; and what changes a job's fingerprint."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_pgmq.core import deploys, jobs, stored_jobs
from airflow_pgmq.core.deploys import set_fingerprint
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.errors import InvalidJobs
from airflow_pgmq.jobs import At, Blackout, Calendar, Cron, Every, RRule
from tests.unit.support import python, utc

GOOD = PeriodicJob(name="report", cron="0 7 * * *", queue_name="mail", message={"kind": "daily"})


def wrong(**values: Any) -> list[str]:
    return replace(GOOD, **values).problems()


def test_nothing_is_wrong_with_a_job_that_uses_everything():
    job = PeriodicJob(
        name="report.daily-2",
        cron="H 7 * * mon-fri 30",
        queue_name="mail",
        message={"text": "täglich 😀", "parts": [1, 2.5, None, True]},
        timezone="Europe/Berlin",
        headers={"trace": "abc"},
        version=3,
        ttl=timedelta(hours=2),
        catch_up="last",
        catch_up_max_age=timedelta(hours=6),
        catch_up_limit=3,
        overlap="skip",
        jitter=timedelta(seconds=30),
        start=datetime(2026, 1, 1),
        end=datetime(2027, 1, 1, tzinfo=ZoneInfo("UTC")),
        group="customer-1",
    )
    assert job.problems() == []
    jobs.check([job, GOOD])


def test_no_jobs_are_no_problem():
    jobs.check([])


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"name": ""}, "Job name ''"),
        ({"name": "a/b"}, "Job name 'a/b'"),
        ({"name": "ä"}, "Job name 'ä'"),
        ({"name": "x" * 101}, "1 to 100"),
        ({"name": None}, "Job name None"),
        ({"name": ["a"]}, "Job name ['a']"),
        ({"queue_name": ""}, "Queue name ''"),
        ({"queue_name": "q;drop"}, "Queue name 'q;drop'"),
        ({"queue_name": None}, "Queue name None"),
        ({"queue_name": "\ud800"}, "Queue name"),
        ({"cron": "0 25 * * *"}, "cron '0 25 * * *' is not valid"),
        ({"cron": "every day"}, "2 fields"),
        ({"cron": "0 0 31 2 *"}, "never matches"),
        ({"cron": "R * * * *"}, "random"),
        ({"cron": "0 0 6 * * mon-fri"}, "with the seconds first it would be valid"),
        ({"seconds": "sixth"}, "seconds must be 'first', 'last' or None, not 'sixth'"),
        ({"seconds": ["first"]}, "seconds must be 'first', 'last' or None, not ['first']"),
        ({"cron": None}, "it needs a schedule, such as"),
        ({"cron": 5}, "cron must be a string, not int"),
        ({"cron": ["* * * * *"]}, "cron must be a string, not list"),
        ({"timezone": "Europe/Atlantis"}, "unknown time zone 'Europe/Atlantis'"),
        ({"timezone": None}, "timezone must be a string, not NoneType"),
        ({"timezone": ZoneInfo("Europe/Berlin")}, "timezone must be a string, not ZoneInfo"),
        ({"timezone": ["UTC"]}, "timezone must be a string, not list"),
        ({"message": {"for": timedelta(1)}}, "a timedelta at $.for"),
        ({"message": {"on": [{1}]}}, "a set at $.on[0]"),
        ({"message": {"sum": Decimal("NaN")}}, "a Decimal that is NaN at $.sum"),
        ({"message": {1: 1, "1": 2}}, "the keys 1 and '1' at $, both '1' in JSON"),
        ({"message": {"x": float("nan")}}, "nan at $.x"),
        ({"message": [float("-inf")]}, "-inf at $[0]"),
        ({"message": "a\x00b"}, "a NUL character at $"),
        ({"message": {"a\x00": 1}}, "a NUL character at $ (key)"),
        ({"message": {"x": "\ud83d"}}, "a lone surrogate at $.x"),
        ({"message": "x" * 2_000_000}, "2,000,002 bytes"),
        ({"headers": {"x": float("inf")}}, "inf at $.x"),
        ({"headers": {"x": "\x00"}}, "a NUL character at $.x"),
        ({"headers": ["x"]}, "must be a mapping, not list"),
        ({"headers": {"job": "mine"}}, "headers ['job'] are written by this package"),
        ({"headers": {"slot": 1, "dedup_key": "k"}}, "headers ['dedup_key', 'slot']"),
        ({"version": "1"}, "version must be an integer"),
        ({"version": 1.0}, "version must be an integer"),
        ({"version": True}, "version must be an integer"),
        ({"version": None}, "version must be an integer"),
        ({"version": 202606010700}, "of at most 2147483647"),
        ({"ttl": timedelta(0)}, "ttl must be a positive timedelta"),
        ({"ttl": timedelta(seconds=-1)}, "ttl must be a positive timedelta"),
        ({"ttl": 60}, "ttl must be a positive timedelta"),
        ({"ttl": timedelta.max}, "of at most ten years"),
        ({"expect_within": timedelta(0)}, "expect_within must be a positive timedelta"),
        ({"pause_on_dead_letter": "yes"}, "pause_on_dead_letter must be True or False"),
        ({"expect_within": 60}, "expect_within must be a positive timedelta"),
        ({"expect_within": timedelta.max}, "of at most ten years"),
        (
            {"expect_within": timedelta(minutes=1), "jitter": timedelta(minutes=1)},
            "expect_within must be longer than jitter",
        ),
        (
            {"expect_within": timedelta(hours=2), "ttl": timedelta(hours=1)},
            "expect_within must not be longer than ttl",
        ),
        ({"catch_up": "some"}, "catch_up must be"),
        ({"catch_up": None}, "catch_up must be"),
        ({"catch_up": True}, "catch_up must be"),
        ({"catch_up_max_age": timedelta(0)}, "catch_up_max_age must be a positive timedelta"),
        ({"catch_up_max_age": None}, "catch_up_max_age must be a positive timedelta"),
        ({"catch_up_max_age": timedelta.max}, "of at most ten years"),
        ({"catch_up_limit": 0}, "catch_up_limit must be a positive integer"),
        ({"catch_up_limit": "10"}, "catch_up_limit must be a positive integer"),
        ({"catch_up_limit": None}, "catch_up_limit must be a positive integer"),
        ({"overlap": "queue"}, "overlap must be"),
        ({"jitter": "5"}, "jitter must be a timedelta"),
        ({"jitter": 5}, "jitter must be a timedelta"),
        ({"jitter": None}, "jitter must be a timedelta"),
        ({"jitter": timedelta(seconds=-1)}, "between 0 and one day"),
        ({"jitter": timedelta(days=1, microseconds=1)}, "between 0 and one day"),
        ({"start": "2026-01-01"}, "start must be a datetime"),
        ({"start": date(2026, 1, 1)}, "start must be a datetime"),
        ({"start": datetime.min}, "start must be a datetime between"),
        ({"end": datetime.max}, "None for no bound"),
        ({"end": 5}, "end must be a datetime"),
        ({"start": datetime(2026, 1, 1), "end": datetime(2026, 1, 1)}, "end must be after start"),
        ({"start": datetime(2026, 1, 2), "end": utc("2026-01-01 00:00")}, "end must be after start"),
        ({"group": 5}, "group must be a string, not int"),
        ({"group": "\x00"}, "The group is not JSON that Postgres accepts: a NUL character"),
    ],
)
def test_one_problem_is_said_once(values, part):
    """Creating the job raised nothing: the check of all jobs together does that."""
    found = wrong(**values)
    assert len(found) == 1
    assert part in found[0]


def test_all_problems_of_a_job_are_said_at_once():
    found = wrong(
        name="a b",
        queue_name="$",
        cron="nonsense",
        timezone="Nowhere",
        message=float("nan"),
        headers={"version": 1, "y": "\x00"},
        version="1",
        ttl=5,
        catch_up="maybe",
        catch_up_max_age=5,
        catch_up_limit=0,
        overlap="maybe",
        jitter="5",
        group=5,
    )
    assert len(found) == 15


def test_all_problems_of_all_jobs_are_said_at_once_each_with_the_job_named():
    good = replace(GOOD, name="good")
    with pytest.raises(InvalidJobs) as caught:
        jobs.check(
            [
                replace(GOOD, name="bad-cron", cron="61 * * * *"),
                good,
                replace(GOOD, name="bad-zone", timezone="Mars", jitter=timedelta(days=2)),
                {"name": "no-job"},
                replace(GOOD, name="bad-message", message={"x": "\x00"}),
                good,
            ]
        )
    problems = caught.value.problems
    assert list(problems) == ["bad-cron", "bad-zone", "jobs[3]", "bad-message", "good"]
    assert len(problems["bad-zone"]) == 2
    assert problems["jobs[3]"] == ("is a dict, not a PeriodicJob",)
    assert problems["good"] == ("the name is used by another job of the same namespace",)
    text = str(caught.value)
    assert "5 periodic job(s)" in text
    for name, texts in problems.items():
        for each in texts:
            assert f"  {name}: {each}" in text


def test_names_that_cannot_be_hashed_are_reported_like_others():
    with pytest.raises(InvalidJobs) as caught:
        jobs.check([replace(GOOD, name=["a"]), replace(GOOD, name={"a": 1})])
    assert list(caught.value.problems) == ["['a']", "{'a': 1}"]


def test_the_size_limit_counts_bytes_and_is_the_callers():
    job = replace(GOOD, message="ä" * 50)
    jobs.check([job], max_bytes=102)
    jobs.check([job], max_bytes=None)
    with pytest.raises(InvalidJobs, match="102 bytes, the limit is 101"):
        jobs.check([job], max_bytes=101)


# Fingerprints.

#: Other values than GOOD's, by field, with which the job produces other messages or slots.
MATTERS: dict[str, Any] = {
    "cron": "0 8 * * *",
    "queue_name": "post",
    "message": {"kind": "weekly"},
    "timezone": "Europe/Berlin",
    "seconds": "first",
    "headers": {"trace": "abc"},
    "version": 1,
    "ttl": timedelta(hours=1),
    # Decides whether slots are enqueued ahead of time.
    "overlap": "skip",
    "jitter": timedelta(seconds=1),
    "start": datetime(2026, 1, 1),
    "end": datetime(2026, 1, 1),
    "group": "customer-1",
    "schedule": Every(timedelta(hours=1)),
    "day_match": "both",
    "exclude": ["weekends"],
    "business_day": "next",
    "params": {"a": 1},
}
#: These decide only which missed slots are still sent, and which are told of.
POLICIES: dict[str, Any] = {
    "catch_up": "none",
    "catch_up_max_age": timedelta(hours=1),
    "catch_up_limit": 5,
    "expect_within": timedelta(hours=2),
    "pause_on_dead_letter": True,
}
#: What is told of its slots. It is stored only of jobs that have it.
TOLD: dict[str, Any] = {"expect_within": timedelta(minutes=30)}


def changed(field: str) -> PeriodicJob:
    values = {field: (MATTERS | POLICIES | TOLD)[field]}
    if field == "schedule":
        values["cron"] = None
    return replace(GOOD, **values)


def test_each_field_is_known_to_matter_or_not():
    """The name identifies a job, so it cannot change in one."""
    known = {"name"} | MATTERS.keys() | POLICIES.keys() | TOLD.keys()
    assert {field.name for field in fields(PeriodicJob)} == known


@pytest.mark.parametrize("field", MATTERS)
def test_a_fingerprint_changes_with_messages_and_slots(field):
    other = changed(field)
    assert other.fingerprint != GOOD.fingerprint
    assert not GOOD.sends_as(json.loads(other.definition_json))


@pytest.mark.parametrize(
    ("message", "other"), [({"a": 1}, {"a": True}), ([0], [False]), ({"a": {"b": 0}}, {"a": {"b": None}})]
)
def test_a_value_that_python_takes_for_the_same_is_a_change(message, other):
    one, another = replace(GOOD, message=message), replace(GOOD, message=other)
    assert not one.sends_as(json.loads(another.definition_json))
    assert one.sends_as(json.loads(one.definition_json))


@pytest.mark.parametrize("field", [*POLICIES, *TOLD])
def test_a_job_of_other_policies_sends_the_same(field):
    other = changed(field)
    assert other.fingerprint != GOOD.fingerprint
    assert GOOD.sends_as(json.loads(other.definition_json))


@pytest.mark.parametrize("field", [*MATTERS, *POLICIES, *TOLD])
def test_a_job_comes_back_from_what_is_stored(field):
    other = changed(field)
    definition = json.loads(other.definition_json)
    assert stored_jobs.replaced(GOOD.name, definition, GOOD).fingerprint == other.fingerprint


def test_a_job_that_expects_nothing_is_stored_as_before():
    """Byte for byte; and of one that does, older code finds the cron where it always was."""
    assert "expect_within" not in GOOD.definition_json
    assert len(GOOD.definition_values) == len(jobs.DEFINED) + 2
    expecting = json.loads(changed("expect_within").definition_json)
    assert expecting.pop("expect_within") == 1800
    assert expecting == json.loads(GOOD.definition_json)


def test_a_fingerprint_of_a_set_changes_with_what_is_expected():
    assert deploys.set_fingerprint([changed("expect_within")]) != deploys.set_fingerprint([GOOD])


def test_policies_that_were_not_stored_are_those_of_the_new_definition():
    definition = json.loads(GOOD.definition_json)
    names = ("catch_up", "catch_up_max_age", "catch_up_limit")
    policies = {name: POLICIES[name] for name in names}
    for each in policies:
        del definition[each]
    lazy = replace(GOOD, **policies)
    assert stored_jobs.replaced(GOOD.name, definition, lazy).fingerprint == lazy.fingerprint
    assert PeriodicJob.from_definition(GOOD.name, definition).fingerprint == GOOD.fingerprint


@pytest.mark.parametrize("definition", [{}, {"cron": 5}])
def test_what_cannot_be_read_is_no_job(definition):
    assert stored_jobs.replaced("report", definition, GOOD) is None


def test_the_order_of_keys_is_no_change():
    a = replace(GOOD, message={"a": 1, "b": {"c": 1, "d": 2}}, headers={"x": 1, "y": 2})
    b = replace(GOOD, message={"b": {"d": 2, "c": 1}, "a": 1}, headers={"y": 2, "x": 1})
    assert a.fingerprint == b.fingerprint
    assert (
        replace(GOOD, message={1: "a", "b": 2}).fingerprint
        == replace(GOOD, message={"b": 2, 1: "a"}).fingerprint
    )


def test_equal_jobs_have_equal_fingerprints():
    assert replace(GOOD).fingerprint == GOOD.fingerprint
    assert deploys.set_fingerprint([GOOD]) == deploys.set_fingerprint([replace(GOOD)])


def test_to_say_that_the_seconds_are_last_changes_nothing():
    assert replace(GOOD, seconds="last").fingerprint == GOOD.fingerprint


def test_a_stored_definition_says_where_its_seconds_are():
    job = replace(GOOD, cron="0 0 6 * * 1-5", seconds="first")
    stored = PeriodicJob.from_definition("report", json.loads(job.definition_json))
    assert stored.seconds == "first"
    assert next(stored.slots.after(utc("2026-06-03 10:30"))) == utc("2026-06-04 06:00")


def test_no_headers_and_empty_headers_are_the_same():
    assert replace(GOOD, headers={}).fingerprint == GOOD.fingerprint


def test_text_that_looks_like_another_field_is_no_other_definition():
    a = replace(GOOD, message='", "group": "x')
    b = replace(GOOD, message="", group="x")
    assert a.fingerprint != b.fingerprint


def test_the_fingerprint_of_a_set_changes_with_its_jobs_and_their_names():
    other = replace(GOOD, name="other")
    prints = [
        deploys.set_fingerprint(each)
        for each in ([], [GOOD], [other], [GOOD, other], [replace(GOOD, version=1), other])
    ]
    assert len(set(prints)) == len(prints)


def test_fingerprints_are_the_same_in_every_process():
    code = """
from datetime import date, datetime, timedelta
from airflow_pgmq.core import deploys, jobs
from airflow_pgmq.core.jobs import PeriodicJob
job = PeriodicJob(name="report", cron="0 7 * * *", queue_name="mail", message={"b": [1, 2.5], "a": "ä"},
                  timezone="Europe/Berlin", headers={"z": 1, "y": 2}, ttl=timedelta(minutes=1),
                  start=datetime(2026, 1, 1))
print(job.fingerprint, deploys.set_fingerprint([job]))
"""
    assert python(code, PYTHONHASHSEED="1") == python(code, PYTHONHASHSEED="2")


def test_the_stored_definition_is_json_with_the_message_in_it():
    job = replace(GOOD, message={"text": 'ä"}'}, ttl=timedelta(minutes=1), start=datetime(2026, 1, 1))
    definition = json.loads(job.definition_json)
    assert definition["message"] == job.message
    assert definition["ttl"] == 60
    assert definition["start"] == "2026-01-01T00:00:00"
    assert definition["cron"] == "0 7 * * *"


# Bounds.


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (None, None),
        (datetime(2026, 6, 1, 12), utc("2026-06-01 10:00")),
        (datetime(2026, 1, 1, 12), utc("2026-01-01 11:00")),
        (datetime(2026, 6, 1, 12, tzinfo=ZoneInfo("America/New_York")), utc("2026-06-01 16:00")),
    ],
)
def test_a_naive_bound_is_meant_in_the_zone_of_the_job(bound, expected):
    assert replace(GOOD, timezone="Europe/Berlin").instant(bound) == expected


def test_the_fingerprint_of_all_jobs_knows_values_and_not_how_they_were_made():
    class Queue(str, Enum):
        MAIL = "mail"

    def jobs(**fields):
        return [PeriodicJob(name="".join(["a", "b"]), cron="0 * * * *", **{"queue_name": "mail", **fields})]

    same = set_fingerprint(jobs())
    assert set_fingerprint(jobs(queue_name="".join(["ma", "il"]))) == same
    assert set_fingerprint(jobs(queue_name="mails")) != same
    assert set_fingerprint(jobs(message={"a": 1})) != same
    assert set_fingerprint(jobs(queue_name=Queue.MAIL)) == set_fingerprint(jobs(queue_name=Queue.MAIL))


# Schedules.


def test_a_schedule_that_is_a_cron_is_the_same_job():
    one = PeriodicJob(name="a", cron="0 7 * * *", queue_name="mail")
    assert PeriodicJob(name="a", schedule="0 7 * * *", queue_name="mail") == one
    assert PeriodicJob(name="a", schedule=Cron("0 7 * * *"), queue_name="mail") == one
    first = PeriodicJob(name="a", cron="0 0 7 * * *", seconds="first", queue_name="mail")
    assert PeriodicJob(name="a", schedule=Cron("0 0 7 * * *", seconds="first"), queue_name="mail") == first
    both = PeriodicJob(name="a", schedule=Cron("0 7 1-7 * mon", day_match="both"), queue_name="mail")
    assert (both.day_match, both.cron, both.schedule) == ("both", "0 7 1-7 * mon", None)
    assert next(both.slots.after(utc("2026-06-01 08:00"))) == utc("2026-07-06 07:00")


def test_what_jobs_that_use_none_of_it_store_is_as_before():
    """Or an upgrade of the package would deploy each job again."""
    job = PeriodicJob(name="report", cron="0 7 * * *", queue_name="mail")
    assert len(job.definition_values) == 16
    assert job.fingerprint == "53c7671515319207067739f14fc4dba6"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"schedule": "0 7 * * *"}, "give either cron or schedule, not both"),
        ({"cron": None, "schedule": timedelta(hours=1)}, "schedule must be a cron expression, Cron, Every"),
        ({"cron": None, "schedule": Every(timedelta(0))}, "Every needs a timedelta from one second"),
        ({"cron": None, "schedule": Every(timedelta(seconds=1.5))}, "Every needs whole seconds"),
        ({"cron": None, "schedule": Every(5)}, "Every needs a timedelta"),
        ({"cron": None, "schedule": Every(timedelta(1), "now")}, "the anchor of Every needs a datetime"),
        ({"cron": None, "schedule": At()}, "At needs at least one instant"),
        ({"cron": None, "schedule": At("2026-01-01")}, "At needs a datetime"),
        ({"cron": None, "schedule": At(datetime(2026, 1, 1, microsecond=5))}, "At needs whole seconds"),
        ({"cron": None, "schedule": RRule("FREQ=NEVER")}, "RRULE 'FREQ=NEVER'"),
        ({"cron": None, "schedule": RRule(5)}, "RRule needs a string, not int"),
        ({"cron": None, "schedule": Every(timedelta(1)), "seconds": "last"}, "belong to a cron"),
        ({"day_match": "none"}, "day_match must be 'either', 'both' or None, not 'none'"),
        ({"exclude": "weekends"}, "exclude must be a list, not str"),
        ({"exclude": [Calendar("")]}, "Calendar needs a name"),
        ({"cron": "0 9 * * sat", "exclude": ["weekends"]}, "exclude leaves no slot of its schedule"),
        ({"business_day": "later"}, "business_day must be"),
        ({"params": [1]}, "params must be a mapping, not list"),
        ({"params": {"a": object()}}, "params"),
    ],
)
def test_mistakes_of_schedules(fields, expected):
    (found,) = replace(GOOD, **fields).problems()
    assert expected in found


@pytest.mark.parametrize(
    "schedule",
    [
        Every(timedelta(minutes=90), datetime(2026, 1, 1, 9)),
        Every(timedelta(weeks=2), datetime(2026, 1, 1, 9, tzinfo=ZoneInfo("UTC"))),
        At(datetime(2027, 1, 1, 9), datetime(2026, 7, 1, tzinfo=ZoneInfo("UTC"))),
        RRule("DTSTART;TZID=Europe/Berlin:20260101T090000\nRRULE:FREQ=MONTHLY;BYDAY=-1FR"),
    ],
)
def test_rules_come_back_from_what_is_stored(schedule):
    job = replace(GOOD, cron=None, schedule=schedule)
    assert job.problems() == []
    again = PeriodicJob.from_definition(job.name, json.loads(job.definition_json))
    assert again.fingerprint == job.fingerprint
    at = utc("2026-06-03 10:30")
    assert next(again.slots.after(at)) == next(job.slots.after(at))
    assert again.unknown() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"exclude": ["weekends"]},
        {"business_day": "skip"},
        {"day_match": "both"},
        {"params": {"a": 1}},
        {"message": "{{ ds }}"},
        {"cron": None, "schedule": Every(timedelta(hours=1))},
    ],
)
def test_older_code_does_not_take_it_for_a_plain_cron(fields):
    """It reads only this field, and sent slots on days off, and templates as they are."""
    job = replace(GOOD, **fields)
    definition = json.loads(job.definition_json)
    assert definition["cron"] is None
    assert PeriodicJob.from_definition("report", definition).fingerprint == job.fingerprint


def test_instants_of_pendulum_are_plain():
    pendulum = pytest.importorskip("pendulum")
    every = Every(pendulum.duration(hours=6), pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"))
    assert every == Every(timedelta(hours=6), datetime(2025, 12, 31, 23, tzinfo=ZoneInfo("UTC")))
    job = replace(
        GOOD, cron=None, schedule=every, exclude=[Blackout(*[pendulum.datetime(2026, 1, n) for n in (1, 2)])]
    )
    slot = next(job.slots.after(utc("2026-06-03 10:30")))
    assert type(slot) is datetime
    assert type(next(replace(job, schedule=At(pendulum.datetime(2027, 1, 1))).slots.after(slot))) is datetime
