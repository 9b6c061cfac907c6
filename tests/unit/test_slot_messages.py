"""Slots of periodic jobs become messages, a queue at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from airflow_pgmq.core import slots
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.slot_messages import at_once, batch, by_queue, outgoing
from tests.unit.support import utc

NOON = utc("2026-06-01 12:00")
JOB = PeriodicJob(name="report", cron="0 * * * *", queue_name="mail", message={"kind": "daily"})


def headers(job: PeriodicJob, source: dict[str, str] | None = None) -> dict[str, object]:
    return json.loads(outgoing(job, NOON, "reports", source).headers)


def test_a_slot_is_visible_at_its_instant_and_keyed_by_it():
    found = outgoing(JOB, NOON, "reports", None)
    assert found.visible_at == NOON
    assert found.key == "reports/report/2026-06-01T12:00:00Z"


def test_headers_say_which_job_and_slot_it_is():
    assert headers(JOB) == {
        "job": "report",
        "namespace": "reports",
        "slot": "2026-06-01T12:00:00Z",
        "version": 0,
        "dedup_key": "reports/report/2026-06-01T12:00:00Z",
    }


def test_headers_say_who_sent_it_and_nothing_else_depends_on_that():
    source = {"dag_id": "ticks", "run_id": "r1"}
    with_source = headers(JOB, source)
    assert with_source.pop("source") == source
    assert with_source == headers(JOB)


def test_headers_of_the_job_travel_too():
    job = replace(JOB, headers={"trace": "abc"}, group="g", version=3)
    found = headers(job)
    assert (found["trace"], found["x-pgmq-group"], found["version"]) == ("abc", "g", 3)


def test_our_headers_win():
    assert headers(replace(JOB, headers={"slot": "never", "job": "other"})) == headers(JOB)


def test_a_message_expires_counted_from_its_slot():
    job = replace(JOB, ttl=timedelta(minutes=50), jitter=timedelta(minutes=30))
    found = outgoing(job, NOON, "reports", None)
    assert found.visible_at == slots.visible_at(job, NOON, found.key) > NOON
    assert json.loads(found.headers)["expires_at"] == (NOON + timedelta(minutes=50)).isoformat()
    assert not found.is_expired(NOON + timedelta(minutes=49))
    assert found.is_expired(NOON + timedelta(minutes=50))


def test_a_message_that_would_expire_before_it_is_visible_has_expired():
    job = replace(JOB, ttl=timedelta(seconds=1), jitter=timedelta(minutes=30))
    assert outgoing(job, NOON, "reports", None).is_expired(NOON - timedelta(hours=1))


def test_a_message_beside_the_slots_is_a_slots_but_for_its_key():
    job = replace(
        JOB, headers={"trace": "abc"}, group="g", ttl=timedelta(minutes=5), jitter=timedelta(hours=1)
    )
    source = {"dag_id": "ticks"}
    found = at_once(job, NOON, NOON, "reports", source)
    assert (found.key, found.visible_at) == ("reports/report/now/2026-06-01T12:00:00+00:00", NOON)
    of_a_slot = json.loads(outgoing(job, NOON, "reports", source).headers)
    assert json.loads(found.headers) == {**of_a_slot, "dedup_key": found.key}


def test_a_slot_is_the_same_in_every_zone():
    berlin = NOON.astimezone(ZoneInfo("Europe/Berlin"))
    assert slots.text(berlin) == slots.text(NOON) == "2026-06-01T12:00:00Z"
    assert slots.of_key(slots.key("reports", "report", berlin)) == ("reports", "report", NOON)
    assert slots.of_key("reports/report/now/2026-06-01T12:00:00Z") is None
    assert slots.of_key(slots.key_of_now("reports", "report", NOON)) is None
    assert slots.of_key("reports/report/2026-13-01T12:00:00Z") is None


def test_each_queue_has_its_batch_the_oldest_slot_first():
    post = replace(JOB, name="post", queue_name="post")
    other = replace(JOB, name="a-report")
    later = NOON + timedelta(hours=1)
    items = [
        outgoing(job, slot, "reports", None)
        for job, slot in [(post, NOON), (JOB, later), (JOB, NOON), (other, later), (other, NOON)]
    ]
    found = {queue_name: batch(queued) for queue_name, queued in by_queue(items).items()}
    assert list(found) == ["mail", "post"]
    assert [json.loads(each)["dedup_key"] for each in found["mail"].headers] == [
        "reports/a-report/2026-06-01T12:00:00Z",
        "reports/report/2026-06-01T12:00:00Z",
        "reports/a-report/2026-06-01T13:00:00Z",
        "reports/report/2026-06-01T13:00:00Z",
    ]
    assert found["mail"].instants == [NOON, NOON, later, later]
    assert found["mail"].messages == ['{"kind":"daily"}'] * 4
    assert [json.loads(each)["job"] for each in found["mail"].headers] == ["a-report", "report"] * 2
    assert len(found["post"]) == 1


def test_no_slots_are_no_batches():
    assert by_queue([]) == {}
