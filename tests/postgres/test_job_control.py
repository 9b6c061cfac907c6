"""Pause, resume, run now, remove."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from airflow_pgmq.core import slots
from airflow_pgmq.core.delays import AT_ONCE
from airflow_pgmq.db.statements import periodic, queues, reading, sending
from airflow_pgmq.errors import InvalidArgument, InvalidJobs, JobNotFound
from airflow_pgmq.hooks.rendering import SlotRenderer
from airflow_pgmq.services import job_control, overview
from tests.fixtures.factories import (
    NAMESPACE,
    execute,
    go_back,
    hours,
    job,
    keys_in,
    queued,
    read,
    send,
    slot,
    slots_in,
    state,
    tick,
)
from tests.fixtures.patience import wait_until
from tests.postgres.test_tick_catch_up import earlier

AHEAD = timedelta(hours=10)


def pause(client, name="job"):
    return client.run(lambda: job_control.pause(NAMESPACE, name))


def resume(client, name="job"):
    client.run(lambda: job_control.resume(NAMESPACE, name))


def run_now(client, name="job"):
    return client.run(lambda: job_control.run_now(NAMESPACE, name))


def test_paused_job_takes_its_messages_back_and_sends_none(database, client):
    tick(job(), job("other")).run(client)

    assert pause(client) == 10
    go_back(database, hours=5)
    tick(job(), job("other")).run(client)

    assert slots_in(database) == []
    assert len(slots_in(database, "other")) >= 10


def test_pause_leaves_what_was_seen(database, client):
    tick(job()).run(client)
    execute(database, "SELECT pgmq.set_vt('mail', 1, 0)")

    assert pause(client) == 9
    assert len(queued(database)) == 1


def test_pausing_twice_changes_nothing(database, client):
    tick(job()).run(client)
    pause(client)
    before = state(database)

    assert pause(client) == 0
    after = state(database)
    assert (after["paused"], after["next_slot"]) == (True, before["next_slot"])


def test_resumed_job_sends_every_slot_once(database, client):
    tick(job()).run(client)
    start = state(database)["horizon"] - AHEAD
    pause(client)
    resume(client)

    summary = tick(job()).run(client)

    assert summary.duplicates == 0
    assert slots_in(database) == hours(start, state(database)["horizon"])


@pytest.mark.parametrize(("policy", "expected"), [("all", 120), ("last", 1), ("none", 0)])
def test_resumed_job_catches_up_by_its_policy(database, client, policy, expected):
    one = job(catch_up=policy)
    tick(one, look_ahead=0).run(client)
    pause(client)
    go_back(database, days=5)
    assert tick(one, look_ahead=0, grace=0).run(client).sent == 0
    resume(client)

    assert tick(one, look_ahead=0, grace=0).run(client).sent in (expected, expected + 1)


def test_slots_that_jitter_held_back_are_sent_after_the_pause(database, client):
    """They have passed, but their messages were not visible yet when the pause took them back."""
    one = job(jitter=timedelta(hours=23))
    tick(one, look_ahead=0).run(client)
    go_back(database, hours=20)
    start = state(database)["watermark"]
    tick(one).run(client)
    seen = {slot(message.headers) for message in read(client)}

    pause(client)
    assert set(slots_in(database)) == seen
    resume(client)
    tick(one).run(client)

    assert slots_in(database) == hours(start, state(database)["horizon"])


def test_pause_of_a_job_that_has_ended_frees_its_slots(database, client):
    (row,) = execute(database, "SELECT date_trunc('hour', now()) + interval '3 hours' AS at")
    ending = tick(job(end=row["at"]))
    ending.run(client)
    assert pause(client) == 2
    resume(client)

    assert ending.run(client).sent == 2


def test_paused_job_stays_paused_through_a_deploy(database, client):
    tick(job()).run(client)
    pause(client)

    assert tick(job(message="new")).run(client).sent == 0
    resume(client)
    tick(job(message="new")).run(client)

    assert {row["message"] for row in queued(database)} == {"new"}


def test_run_now_sends_one_message_beside_the_slots(database, client):
    tick(job(ttl=timedelta(minutes=5), group="g", headers={"own": 1}, version=2)).run(client)
    before = state(database)

    result = run_now(client)

    (message,) = read(client)
    assert (result.status, result.msg_id) == ("sent", message.msg_id)
    assert message.message == {"job": "job"}
    headers = dict(message.headers)
    assert headers.pop("dedup_key").startswith("shop/job/now/")
    assert {"slot", "expires_at"} <= headers.keys()
    headers.pop("slot"), headers.pop("expires_at")
    assert headers == {"own": 1, "job": "job", "namespace": "shop", "version": 2, "x-pgmq-group": "g"}
    assert {**state(database), "now": None} == {**before, "now": None}


def test_run_now_is_never_a_duplicate(client):
    tick(job()).run(client)

    assert [run_now(client).status for _ in range(3)] == ["sent"] * 3


@pytest.mark.parametrize(
    ("definition", "why"),
    [("{}", "KeyError: 'cron'"), ("null", "is not a JSON object"), ('{"ttl": "a while"}', "TypeError")],
)
def test_run_now_of_what_newer_code_has_deployed_is_an_error_that_says_so(client, database, definition, why):
    tick(job()).run(client)
    more = "definition ||" if "ttl" in definition else ""
    execute(database, f"UPDATE airflow_pgmq.periodic_jobs SET definition = {more} '{definition}'::jsonb")

    with pytest.raises(InvalidJobs, match=f"job: this version of airflow_pgmq cannot read it.*{why}"):
        run_now(client)


def test_run_now_message_is_not_withdrawn_with_the_job(database, client):
    tick(job(), job("other", cron="0 0 1 1 *")).run(client)
    run_now(client)

    tick(job("other", cron="0 0 1 1 *")).run(client)

    assert [key.split("/")[2] for key in keys_in(database)] == ["now"]


def test_cancelled_slot_stays_cancelled(database, client):
    tick(job()).run(client)
    key = keys_in(database)[3]

    assert client.run(lambda: sending.cancel("mail", [key, "unknown"])) == [4]
    go_back(database, hours=10)
    tick(job()).run(client)

    assert key not in keys_in(database)
    assert [row["msg_id"] for row in execute(database, "SELECT msg_id FROM pgmq.a_mail")] == [4]


def test_cancel_leaves_what_was_read(database, client):
    tick(job()).run(client)
    execute(database, "SELECT pgmq.set_vt('mail', 1, 0)")
    (message,) = read(client)

    assert client.run(lambda: sending.cancel("mail", [message.headers["dedup_key"]])) == []


def test_removed_namespace_is_forgotten_and_taken_back(database, client):
    tick(job(), job("other")).run(client)
    tick(job(), namespace="second", owner="second.task").run(client)

    assert client.run(lambda: job_control.remove(NAMESPACE)) == 20

    assert {row["headers"]["namespace"] for row in queued(database)} == {"second"}
    assert [row["namespace"] for row in client.run(lambda: periodic.list_jobs(None))] == ["second"]
    assert client.run(lambda: job_control.remove(NAMESPACE)) == 0


def test_removed_namespace_can_begin_again(database, client):
    tick(job()).run(client)
    client.run(lambda: job_control.remove(NAMESPACE))

    assert tick(job()).run(client).duplicates == 0


@pytest.mark.parametrize("verb", [pause, resume, run_now])
def test_unknown_job_is_named(client, verb):
    tick(job()).run(client)

    with pytest.raises(JobNotFound, match=r"'nobody' in namespace 'shop'"):
        verb(client, "nobody")


def test_jobs_are_listed_with_their_state(client):
    tick(job("b"), job("a", cron="0 0 1 1 *")).run(client)
    pause(client, "a")

    a, b = client.run(lambda: periodic.list_jobs(NAMESPACE))

    assert (a["name"], a["paused"], a["last_msg_id"], a["owner"]) == ("a", True, None, "dag.task")
    assert (b["name"], b["paused"], b["last_msg_id"]) == ("b", False, 10)
    assert a["definition"]["cron"] == "0 0 1 1 *"
    assert client.run(lambda: periodic.list_jobs("nowhere")) == []


# What becomes of the slots of a pause.


def paused_for_hours(database, client, count, **fields):
    one = job(**fields)
    tick(one, look_ahead=0.01).run(client)
    pause(client)
    go_back(database, hours=count)
    return one


@pytest.mark.parametrize("policy", ["all", "last", "none"])
@pytest.mark.parametrize("catch_up", ["all", "last", "none"])
def test_who_resumes_decides_about_the_slots_of_the_pause(database, client, policy, catch_up):
    one = paused_for_hours(database, client, 5, catch_up=policy)
    missed = hours(state(database)["watermark"], state(database)["now"])
    client.run(lambda: job_control.resume(NAMESPACE, "job", catch_up))
    tick(one, look_ahead=0.01, grace=0).run(client)
    wanted = {"all": missed, "last": missed[-1:], "none": []}[catch_up]
    assert slots_in(database) == wanted
    assert tick(one, look_ahead=0.01, grace=0).run(client).sent == 0


def test_slots_of_the_pause_are_sent_once(database, client):
    one = paused_for_hours(database, client, 5)
    client.run(lambda: job_control.resume(NAMESPACE, "job", "all"))
    client.run(lambda: job_control.resume(NAMESPACE, "job", "all"))
    tick(one, look_ahead=0.01).run(client)
    pause(client)
    client.run(lambda: job_control.resume(NAMESPACE, "job", "all"))
    tick(one, look_ahead=0.01).run(client)
    assert len(keys_in(database)) == len(set(keys_in(database))) == 5


def test_what_was_taken_back_ahead_of_time_is_sent_whatever_becomes_of_the_pause(database, client):
    one = job(catch_up="none")
    tick(one, look_ahead=5).run(client)
    ahead = slots_in(database)
    assert pause(client) == 5
    client.run(lambda: job_control.resume(NAMESPACE, "job", "none"))
    tick(one, look_ahead=5).run(client)
    assert slots_in(database) == ahead


def test_a_catch_up_that_is_none_of_them(database, client):
    tick(job()).run(client)
    with pytest.raises(InvalidArgument, match="catch_up must be 'all', 'last' or 'none', not 'some'"):
        client.run(lambda: job_control.resume(NAMESPACE, "job", "some"))


# A slot of the past, on purpose.


def test_a_slot_of_the_past_is_run_again(database, client):
    tick(job(), look_ahead=0.01).run(client)
    past = state(database)["now"].replace(minute=0, second=0, microsecond=0) - timedelta(days=2)
    for _ in range(2):
        result = client.run(lambda: job_control.run_now(NAMESPACE, "job", slot=past))
        assert result.status == "sent"
    rows = queued(database)
    assert [slot(row["headers"]) for row in rows] == [past, past]
    assert all(row["vt"] <= state(database)["now"] for row in rows)


def test_an_instant_that_is_no_slot_is_told_with_the_next_ones(database, client):
    tick(job()).run(client)
    odd = state(database)["now"].replace(minute=30, second=0, microsecond=0)
    with pytest.raises(InvalidArgument, match="is not a slot of job shop/job; the next ones are"):
        client.run(lambda: job_control.run_now(NAMESPACE, "job", slot=odd))


# Overlap with one that waits.


def test_queue_one_lets_one_wait_beside_the_one_at_work(database, client):
    one = job(cron="* * * * * *", overlap="queue_one", catch_up="last")

    def ticked():
        return tick(one, grace=0).run(client).sent

    ticked()
    wait_until(lambda: ticked() == 1, "a slot is sent")
    assert not any(ticked() for _ in range(3))
    (first,) = read(client)
    wait_until(lambda: ticked() == 1, "a slot is sent")
    assert not any(ticked() for _ in range(3))
    assert len(queued(database)) == 2
    # Given back, it waits: then two do, and no third one comes.
    client.run(lambda: reading.set_vt("mail", [first], AT_ONCE))
    assert not any(ticked() for _ in range(3))


# Purge.


def test_a_purge_leaves_slots_that_wait_for_their_time(database, client):
    tick(job(), look_ahead=10).run(client)
    execute(database, "UPDATE pgmq.q_mail SET vt = now() WHERE msg_id = 1")
    ahead = slots_in(database)[1:]
    send(client, "a")
    assert client.run(lambda: queues.purge("mail", with_slots=False)) == 2
    assert slots_in(database) == ahead
    assert tick(job(), look_ahead=10).run(client).sent == 0
    assert client.run(lambda: queues.purge("mail", with_slots=True)) == 9
    assert queued(database) == []


def test_a_purge_of_a_queue_without_slots_truncates(database, client):
    send(client, "a", "b", delays=[3600, 0])
    before = execute(database, "SELECT pg_relation_filenode('pgmq.q_mail') AS file")
    assert client.run(lambda: queues.purge("mail", with_slots=False)) == 2
    assert execute(database, "SELECT pg_relation_filenode('pgmq.q_mail') AS file") != before


def test_two_purges_in_one_transaction(database, client):
    tick(job(), look_ahead=10).run(client)
    with database.connect() as conn:
        for _ in range(2):
            assert client.run(lambda: queues.purge("mail", with_slots=False), conn) in (0, 1)
    assert len(slots_in(database)) >= 9


def test_a_queue_without_headers_is_purged(database, client):
    execute(database, "ALTER TABLE pgmq.q_mail DROP COLUMN headers CASCADE")
    execute(database, "INSERT INTO pgmq.q_mail (vt, message) VALUES (now(), '1')")
    assert client.run(lambda: queues.purge("mail", with_slots=False)) == 1


@pytest.mark.parametrize("overlap", ["skip", "queue_one"])
def test_a_catch_up_does_not_overlap(database, client, overlap):
    one = job(overlap=overlap)
    tick(one).run(client)
    go_back(database, hours=2)
    assert tick(one).run(client).sent == 1
    pause(client)
    earlier(database, hours=5)
    go_back(database, hours=3)
    client.run(lambda: job_control.resume(NAMESPACE, "job", "all"))
    assert tick(one).run(client).sent == 0
    assert len(queued(database)) == 1


def test_a_slot_of_the_past_is_as_it_was_and_not_expired(database, client):
    one = job(ttl=timedelta(hours=1), timezone="Europe/Berlin")
    tick(one, look_ahead=0.01).run(client)
    now = state(database)["now"]
    past = (now - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    client.run(lambda: job_control.run_now(NAMESPACE, "job", slot=past.astimezone(ZoneInfo("Asia/Tokyo"))))
    (row,) = queued(database)
    assert slot(row["headers"]) == past
    assert datetime.fromisoformat(row["headers"]["expires_at"]) > now


def skip(client, slot, name="job"):
    client.run(lambda: job_control.skip(NAMESPACE, name, slot))


def shown(client, slot):
    (found,) = overview.jobs(client)["jobs"]
    return {each["slot"]: each["state"] for each in found["slots"]}.get(slot)


def test_a_slot_that_waits_is_left_out(database, client):
    tick(job()).run(client)
    first, second, *others = slots_in(database)

    skip(client, second)
    skip(client, second)

    assert slots_in(database) == [first, *others]
    for again in (job(), job(message="new")):
        tick(again).run(client)
        assert slots_in(database) == [first, *others]


def test_a_slot_far_ahead_is_left_out(database, client):
    tick(job(), look_ahead=1).run(client)
    far = slots.upcoming(job(), state(database)["now"], 5)[-1]
    skip(client, far.astimezone(ZoneInfo("Asia/Tokyo")))

    tick(job()).run(client)

    assert len(slots_in(database)) == 9
    assert far not in slots_in(database)
    run = client.run(lambda: job_control.run_now(NAMESPACE, "job", slot=far))
    assert run.status == "sent"


def test_a_slot_that_was_missed_is_left_out(database, client):
    tick(job(), look_ahead=0).run(client)
    go_back(database, hours=4)
    missed = hours(state(database)["now"] - timedelta(hours=4), state(database)["now"])
    skip(client, missed[1])

    tick(job(), look_ahead=0).run(client)

    assert slots_in(database) == [missed[0], *missed[2:]]
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET deployed_at = deployed_at - interval '1 day'")
    assert (shown(client, missed[1]), shown(client, missed[2])) == ("skipped", "late")
    tick(job()).backfill(client, missed[0], missed[3])
    assert missed[1] not in slots_in(database)


def test_a_slot_that_is_left_out_is_none_for_the_policies_of_its_job(database, client):
    last = job(catch_up="last")
    tick(last, look_ahead=0, grace=0).run(client)
    go_back(database, hours=4)
    missed = hours(state(database)["now"] - timedelta(hours=4), state(database)["now"])
    skip(client, missed[-1])

    summary = tick(last, look_ahead=0, grace=0).run(client)

    assert slots_in(database) == [missed[-2]]
    assert (summary.duplicates, state(database)["last_slot"]) == (0, missed[-2])


@pytest.mark.parametrize("catch_up", ["last", "all"])
def test_what_is_left_out_is_none_of_the_slots_of_a_pause(database, client, catch_up):
    tick(job(), look_ahead=0).run(client)
    pause(client)
    go_back(database, hours=4)
    missed = hours(state(database)["now"] - timedelta(hours=4), state(database)["now"])
    skip(client, missed[-1])

    client.run(lambda: job_control.resume(NAMESPACE, "job", catch_up))
    tick(job(), look_ahead=0).run(client)

    assert slots_in(database) == (missed[-2:-1] if catch_up == "last" else missed[:-1])


def test_a_slot_whose_template_fails_can_be_left_out(database, client):
    tick(job(), look_ahead=0).run(client)
    first, *_ = slots.upcoming(job(), state(database)["now"], 1)
    failing = job(message=f"{{{{ 1 // (slot.hour - {first.hour}) }}}}")
    failed = tick(failing, renderer=SlotRenderer()).run(client)
    assert (failed.failed.keys(), slots_in(database)) == ({"job"}, [])

    skip(client, first)

    assert tick(failing, renderer=SlotRenderer()).run(client).failed == {}
    assert (len(slots_in(database)), first in slots_in(database)) == (9, False)


def test_what_is_left_out_is_remembered_while_it_may_be_caught_up(database, client):
    every = job(catch_up_max_age=timedelta(days=30))
    tick(every, look_ahead=0).run(client)
    go_back(database, hours=3)
    missed = hours(state(database)["now"] - timedelta(hours=3), state(database)["now"])
    skip(client, missed[0])
    (row,) = execute(database, "SELECT expires_at - slot AS kept FROM airflow_pgmq.slots")
    assert row["kept"] >= timedelta(days=30)


def test_a_slot_that_was_sent_long_ago_is_not_left_out(database, client):
    """Its message may still wait, and hold up others of a job that must not overlap."""
    every = job(overlap="skip")
    tick(every).run(client)
    go_back(database, hours=3)
    tick(every).run(client)
    (sent,) = slots_in(database)
    execute(database, "UPDATE airflow_pgmq.slots SET expires_at = now() - interval '1 day'")

    with pytest.raises(InvalidArgument, match="was sent as message 1"):
        skip(client, sent)


def test_a_slot_that_a_reader_may_have_seen_is_not_left_out(database, client):
    tick(job()).run(client)
    seen, *others = slots_in(database)
    execute(database, "UPDATE pgmq.q_mail SET read_ct = 1 WHERE msg_id = 1")

    with pytest.raises(InvalidArgument, match="was sent as message 1 of queue 'mail'"):
        skip(client, seen)
    with pytest.raises(InvalidArgument, match="is not a slot of job shop/job; the next ones are 2"):
        skip(client, seen + timedelta(seconds=1))
    with pytest.raises(InvalidArgument, match="needs a time zone"):
        skip(client, seen.replace(tzinfo=None))
    assert slots_in(database) == [seen, *others]


def test_what_is_left_out_hides_no_message_that_waits(database, client):
    every = job(cron="0 * * * *", overlap="skip", catch_up="last")
    tick(every, look_ahead=0).run(client)
    go_back(database, hours=3)
    tick(every, look_ahead=0).run(client)
    assert len(queued(database)) == 1
    go_back(database, hours=3)
    execute(database, "UPDATE airflow_pgmq.slots SET slot = slot - interval '1 hour'")
    skip(client, hours(state(database)["now"] - timedelta(hours=1), state(database)["now"])[0])

    tick(every, look_ahead=0).run(client)

    assert len(queued(database)) == 1
    go_back(database, hours=3)
    assert tick(every, look_ahead=0).run(client).sent == 0
