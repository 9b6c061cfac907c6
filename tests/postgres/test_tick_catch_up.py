"""Slots that were missed, and slots while the previous message is still in the queue."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fixtures.factories import execute, go_back, hours, job, queued, read, slots_in, state, tick

FIVE_DAYS = timedelta(days=5)


def missed(database, client, one, **back):
    """Register the job this long ago, without a tick since; returns the start of the gap."""
    tick(one, look_ahead=0).run(client)
    go_back(database, **back)
    return state(database)["watermark"]


def earlier(database, **back):
    """Make it look as if all sent slots were this much earlier, so that the same slots are due again."""
    execute(database, "UPDATE airflow_pgmq.slots SET slot = slot - %s", [timedelta(**back)])
    key = """ namespace || '/' || name || to_char(slot AT TIME ZONE 'UTC', '/YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
    for table in ("q_mail", "a_mail"):
        execute(
            database,
            f"UPDATE pgmq.{table} AS message SET headers = headers || jsonb_build_object('dedup_key', {key})"
            " FROM airflow_pgmq.slots WHERE slots.msg_id = message.msg_id",
        )


def now(database):
    """The time of the last tick without look-ahead."""
    return state(database)["horizon"]


def test_gap_shorter_than_the_look_ahead_makes_nothing_late(database, client):
    """The last tick was nine hours ago and had looked ten hours ahead."""
    start = missed(database, client, job(), hours=9)
    tick(job()).backfill(client, start, start + timedelta(hours=10))
    go_back(database, hours=-10)

    summary = tick(job()).run(client)

    assert (summary.late, summary.duplicates) == (0, 0)
    assert slots_in(database) == hours(start, state(database)["horizon"])


def test_all_sends_every_missed_slot(database, client):
    start = missed(database, client, job(), days=5)

    summary = tick(job()).run(client)

    assert slots_in(database) == hours(start, state(database)["horizon"])
    assert (summary.sent, summary.late, summary.dropped) == (summary.slots, 120, 0)


def test_missed_slots_are_visible_at_once_oldest_first(database, client):
    start = missed(database, client, job(), days=5)
    tick(job()).run(client)

    messages = read(client)

    assert [message.headers["slot"] for message in messages] == [
        f"{slot:%Y-%m-%dT%H:%M:%SZ}" for slot in hours(start, start + FIVE_DAYS)
    ]


def test_all_looks_back_no_further_than_the_greatest_age(database, client):
    one = job(catch_up_max_age=timedelta(hours=30))
    missed(database, client, one, days=5)

    tick(one, look_ahead=0).run(client)

    assert slots_in(database) == hours(now(database) - timedelta(hours=30), now(database))


def test_all_sends_the_newest_within_its_limit(database, client):
    one = job(catch_up_limit=20)
    missed(database, client, one, days=5)

    summary = tick(one, look_ahead=0).run(client)

    assert slots_in(database) == hours(now(database) - timedelta(hours=20), now(database))
    assert (summary.sent, summary.dropped) == (20, 100)


def test_last_sends_only_the_newest_missed_slot(database, client):
    one = job(catch_up="last")
    missed(database, client, one, days=5)

    tick(one, look_ahead=0, grace=0).run(client)

    assert slots_in(database) == [now(database).replace(minute=0, second=0, microsecond=0)]


def test_none_sends_no_missed_slot(database, client):
    one = job(catch_up="none")
    missed(database, client, one, days=5)

    tick(one, grace=0).run(client)

    assert slots_in(database) == hours(now(database) - timedelta(hours=10), now(database))


def test_slot_within_the_grace_is_sent_by_every_policy(database, client):
    one = job(catch_up="none")
    missed(database, client, one, days=5)

    tick(one, look_ahead=0, grace=5).run(client)

    assert slots_in(database) == hours(now(database) - timedelta(hours=5), now(database))


def test_missed_slots_are_caught_up_once(database, client):
    missed(database, client, job(), days=5)
    tick(job(), look_ahead=0).run(client)
    sent = len(queued(database))

    assert tick(job(), look_ahead=0).run(client).sent <= 1
    assert len(queued(database)) in (sent, sent + 1)


def test_skip_sends_no_slot_ahead_of_its_time(database, client):
    one = job(overlap="skip")
    missed(database, client, one, minutes=61)

    summary = tick(one, look_ahead=10).run(client)

    assert summary.sent == 1
    assert read(client)[0].headers["slot"] == slots_in(database)[0].strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("waits", ["visible", "read"])
def test_skip_leaves_a_slot_out_while_the_last_message_is_queued(database, client, waits):
    one = job(overlap="skip")
    missed(database, client, one, hours=5)
    assert tick(one).run(client).sent == 1
    if waits == "read":
        read(client)
    earlier(database, hours=2)
    go_back(database, hours=2)

    summary = tick(one).run(client)

    assert (summary.sent, summary.duplicates) == (0, 0)
    assert summary.dropped >= 2
    assert len(queued(database)) == 1


@pytest.mark.parametrize("gone", ["archive", "delete"])
def test_skip_sends_again_when_the_last_message_has_left(database, client, gone):
    one = job(overlap="skip")
    missed(database, client, one, hours=5)
    assert tick(one).run(client).sent == 1
    execute(database, f"SELECT pgmq.{gone}('mail', msg_id) FROM pgmq.q_mail")
    go_back(database, hours=2)
    earlier(database, hours=2)

    assert tick(one).run(client).sent == 1


def test_skip_takes_the_newest_of_several_missed_slots(database, client):
    one = job(overlap="skip")
    missed(database, client, one, hours=30)

    summary = tick(one).run(client)

    assert (summary.sent, summary.dropped) == (1, summary.sent + summary.dropped - 1)
    assert slots_in(database) == [state(database)["watermark"].replace(minute=0, second=0, microsecond=0)]


def test_skip_is_decided_job_by_job(database, client):
    """The message of one job does not hold another's back, and another's with the same id is not its own."""
    jobs = [job(name, overlap="skip") for name in ("busy", "free")]
    tick(*jobs, look_ahead=0).run(client)
    go_back(database, hours=2)
    assert tick(*jobs).run(client).sent == 2
    execute(
        database,
        "SELECT pgmq.delete('mail', msg_id) FROM pgmq.q_mail WHERE headers ->> 'job' = 'free'",
    )
    earlier(database, hours=2)
    go_back(database, hours=2)

    summary = tick(*jobs).run(client)

    assert summary.sent == 1
    assert len(slots_in(database, "busy")) == len(slots_in(database, "free")) == 1
