"""A slot belongs to its job: it is sent once, whatever a deploy changes, and none is lost by it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.core.delays import AT_ONCE
from airflow_pgmq.db.statements import reading, sending
from airflow_pgmq.services import job_control
from tests.fixtures.factories import (
    NAMESPACE,
    execute,
    go_back,
    hours,
    job,
    keys_in,
    queued,
    read,
    slot,
    slots_in,
    state,
    tick,
)

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def post(database, client):
    execute(database, "SELECT pgmq.create('post')")
    return "post"


def sent(database, *queue_names):
    """How often each slot is in the queues and their archives."""
    found = Counter()
    for name in queue_names or ("mail",):
        rows = execute(
            database, f"SELECT headers FROM pgmq.q_{name} UNION ALL SELECT headers FROM pgmq.a_{name}"
        )
        found.update(slot(row["headers"]) for row in rows)
    return found


def every(step, start, end):
    """Multiples of the step in (start, end]."""
    first = datetime.fromtimestamp(
        start.timestamp() // step.total_seconds() * step.total_seconds(), timezone.utc
    )
    return [first + step * n for n in range(1, (end - first) // step + 1)]


def held_back(database, client, one, **back):
    """Send past slots, of which jitter delays some messages; returns when they began."""
    tick(one, look_ahead=0).run(client)
    go_back(database, **back)
    start = state(database)["watermark"]
    tick(one, look_ahead=0, grace=24).run(client)
    return start


# What a deploy takes back is sent again.


@pytest.mark.parametrize("catch_up", ["all", "last", "none"])
@pytest.mark.parametrize(("cron", "step"), [("* * * * *", MINUTE), ("* * * * * */2", timedelta(seconds=2))])
def test_a_deploy_that_changes_the_message_loses_no_slot_that_jitter_holds_back(
    database, client, cron, step, catch_up
):
    """One hour of jitter. With the seconds, more are held back than `catch_up_limit`."""
    old = job(cron=cron, jitter=HOUR, catch_up=catch_up, message="old")
    start = held_back(database, client, old, hours=1)
    new = job(cron=cron, jitter=HOUR, catch_up=catch_up, message="new")

    # What came due between the two ticks is not missed.
    summary = tick(new, look_ahead=1, grace=1 / 60).run(client)

    assert summary.dropped == 0
    assert sent(database) == Counter(every(step, start, state(database)["horizon"]))


@pytest.mark.parametrize("jitter", [timedelta(0), HOUR])
def test_a_changed_queue_sends_no_slot_twice(database, client, post, jitter):
    many = [job(f"job{n}", cron="* * * * * *", jitter=jitter) for n in range(10)]
    tick(*many, look_ahead=1 / 6).run(client)
    moved = [job(each.name, cron=each.cron, jitter=jitter, queue_name=post) for each in many]

    tick(*moved, look_ahead=1 / 6).run(client)

    by_job = Counter(
        (row["headers"]["job"], slot(row["headers"]))
        for name in ("mail", post)
        for row in queued(database, name)
    )
    assert set(by_job.values()) == {1}
    for each in many:
        found = sorted(at for name, at in by_job if name == each.name)
        assert found == every(timedelta(seconds=1), found[0] - timedelta(seconds=1), found[-1])


def test_a_cancelled_slot_does_not_come_back_in_another_queue(database, client, post):
    tick(job()).run(client)
    key = keys_in(database)[3]
    client.run(lambda: sending.cancel("mail", [key]))

    tick(job(queue_name=post)).run(client)

    assert key not in keys_in(database, post)
    assert len(queued(database, post)) == 9


def test_a_message_that_was_released_early_is_not_sent_again(database, client, post):
    tick(job()).run(client)
    early = queued(database)[3]
    client.run(lambda: reading.set_vt("mail", early["msg_id"], AT_ONCE))
    client.run(lambda: reading.archive("mail", read(client)))

    tick(job(queue_name=post)).run(client)

    assert slot(early["headers"]) not in slots_in(database, queue_name=post)
    assert set(sent(database, "mail", post).values()) == {1}


def test_skip_waits_for_the_last_message_in_the_old_queue(database, client, post):
    one = {"overlap": "skip", "catch_up_max_age": timedelta(days=30)}
    tick(job(**one), look_ahead=0).run(client)
    go_back(database, hours=2)
    assert tick(job(**one)).run(client).sent == 1
    moved = tick(job(queue_name=post, **one))
    moved.run(client)
    # As if the next slot had come.
    execute(database, "UPDATE airflow_pgmq.slots SET slot = slot - interval '1 h'")
    execute(
        database,
        "UPDATE pgmq.q_mail SET headers = headers || jsonb_build_object('dedup_key', (SELECT"
        " 'shop/job/' || to_char(slot AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
        " FROM airflow_pgmq.slots))",
    )
    go_back(database, hours=1)

    assert moved.run(client).dropped == 1
    execute(database, "SELECT pgmq.delete('mail', msg_id) FROM pgmq.q_mail")
    go_back(database, hours=1)
    assert moved.run(client).sent == 1


def test_a_job_that_left_a_queue_takes_back_from_there_too(database, client, post):
    """What jitter holds back stays in the old queue, until the job is paused."""
    held_back(database, client, job(jitter=timedelta(hours=20)), hours=10)
    waiting = [row for row in queued(database) if row["vt"] > state(database)["now"] + HOUR]
    tick(job(queue_name=post, jitter=timedelta(hours=20))).run(client)
    assert [row for row in queued(database) if row["vt"] > state(database)["now"] + HOUR] == waiting != []

    client.run(lambda: job_control.pause(NAMESPACE, "job"))

    assert [row for row in queued(database) if row["vt"] > state(database)["now"]] == []
    assert [row for row in queued(database, post) if row["vt"] > state(database)["now"]] == []


# A definition begins at its deploy.


def test_a_cron_that_is_changed_in_a_pause_does_not_apply_to_the_time_before(database, client):
    tick(job(cron="0 0 1 1 *"), look_ahead=0).run(client)
    client.run(lambda: job_control.pause(NAMESPACE, "job"))
    go_back(database, hours=20)
    tick(job(cron="* * * * *"), look_ahead=0).run(client)
    client.run(lambda: job_control.resume(NAMESPACE, "job"))

    summary = tick(job(cron="* * * * *"), look_ahead=0).run(client)

    assert (summary.sent <= 1, summary.dropped) == (True, 0)


def test_what_a_changed_job_missed_in_a_pause_is_dropped_and_counted(database, client):
    tick(job(), look_ahead=0).run(client)
    client.run(lambda: job_control.pause(NAMESPACE, "job"))
    go_back(database, hours=20)

    summary = tick(job(message="new"), look_ahead=0).run(client)

    assert (summary.sent, summary.dropped) == (0, 20)


def test_a_cron_that_is_changed_in_an_outage_does_not_apply_to_the_time_before(database, client):
    tick(job(cron="0 * * * *"), look_ahead=0).run(client)
    go_back(database, hours=20)
    start = state(database)["watermark"]

    tick(job(cron="* * * * *"), look_ahead=0).run(client)

    begun = state(database)["deployed_at"]
    assert [at for at in slots_in(database) if at <= begun] == hours(start, begun)


@pytest.mark.parametrize(
    ("policies", "expected"),
    [({"catch_up": "none"}, 0), ({"catch_up": "last"}, 1), ({"catch_up_limit": 3}, 3), ({}, 20)],
)
@pytest.mark.parametrize("change", [{"message": "new"}, {"catch_up": "all", "catch_up_limit": 1000}])
def test_what_was_missed_follows_the_old_policy(database, client, policies, expected, change):
    tick(job(**policies), look_ahead=0).run(client)
    go_back(database, hours=20)

    new = job(**{"catch_up": "all", **change})
    summary = tick(new, look_ahead=0, grace=0).run(client)

    assert summary.sent in (expected, expected + 1)
    assert summary.dropped == 20 - expected


def test_slots_of_an_old_definition_go_to_the_new_queue_if_the_old_one_is_gone(database, client, post):
    tick(job(queue_name=post), look_ahead=0).run(client)
    go_back(database, hours=20)
    execute(database, "SELECT pgmq.drop_queue('post')")

    assert tick(job(), look_ahead=0).run(client).sent == 20


def test_old_definitions_finish_in_rounds(database, client, monkeypatch):
    monkeypatch.setattr("airflow_pgmq.services.tick_rounds.JOBS", 3)
    monkeypatch.setattr("airflow_pgmq.services.tick_rounds.SLOTS", 7)
    names = [f"job{n}" for n in range(8)]
    tick(*(job(name, message="old") for name in names), look_ahead=0).run(client)
    go_back(database, hours=5)

    summary = tick(*(job(name, message="new") for name in names), look_ahead=0).run(client)

    assert summary.sent in (40, 48)
    assert {row["message"] for row in queued(database)[:40]} == {"old"}


def test_the_order_of_keys_is_no_change(database, client):
    tick(job(message={"a": 1, "b": 2}, headers={"x": 1, "y": 2})).run(client)
    before = queued(database)

    assert tick(job(message={"b": 2, "a": 1}, headers={"y": 2, "x": 1})).run(client).taken_back == 0
    assert queued(database) == before


# A clock that was ahead.


@pytest.mark.direct("the clock is moved for sessions that begin")
def test_a_clock_that_was_ahead_leaves_no_slot_out(database, client):
    """A day ahead for a tick: of 1440 slots 1000 were sent, the others are sent in time."""
    one = job(cron="* * * * *", catch_up_max_age=timedelta(days=2))
    tick(one, look_ahead=1).run(client)
    start = state(database)["watermark"] - HOUR
    execute(database, "CREATE SCHEMA fake")
    for name in ("clock_timestamp", "statement_timestamp", "now"):
        execute(
            database,
            f"CREATE FUNCTION fake.{name}() RETURNS timestamptz LANGUAGE sql STABLE"
            f" AS $$ SELECT pg_catalog.{name}() + interval '1 day' $$",
        )
    name = database.name
    execute(database, f"ALTER DATABASE {name} SET search_path = fake, pg_catalog, public")
    client.close()
    ahead = tick(one, look_ahead=1).run(client)
    assert (ahead.sent >= 1000, ahead.dropped >= 300) == (True, True)

    execute(database, f"ALTER DATABASE {name} RESET search_path")
    client.close()
    tick(one, look_ahead=1).run(client)
    tick(one, look_ahead=25).run(client)

    found = sent(database)
    assert found == Counter(every(MINUTE, start, state(database)["horizon"]))


# A time to live that is over.


def test_what_would_be_sent_expired_is_not_sent_but_counted(database, client):
    one = job(ttl=timedelta(minutes=90))
    tick(one, look_ahead=0).run(client)
    go_back(database, hours=5)

    summary = tick(one, look_ahead=0).run(client)

    assert (summary.sent + summary.expired, summary.sent <= 2, summary.slots) == (5, True, 5)
    assert all(row["headers"]["expires_at"] > str(state(database)["now"]) for row in queued(database))


def test_a_message_that_jitter_shows_too_late_is_not_sent(database, client):
    one = job(ttl=timedelta(minutes=1), jitter=timedelta(hours=10))

    summary = tick(one).run(client)

    assert (summary.expired > 5, summary.expired + summary.sent) == (True, 10)
