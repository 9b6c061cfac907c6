"""A tick enqueues every slot up to its look-ahead, each exactly once and visible at its time."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from airflow_pgmq.core import slots
from airflow_pgmq.db.statements import sending
from airflow_pgmq.errors import InvalidJobs, NamespaceTaken, QueueNotFound
from tests.fixtures.factories import (
    client_of,
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

AHEAD = timedelta(hours=10)


def versions_of_all_rows(database):
    """Each table's rows with the transaction that wrote them."""
    names = execute(
        database,
        "SELECT oid::regclass::text AS name FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace IN ('airflow_pgmq'::regnamespace, 'pgmq'::regnamespace)",
    )
    return {
        row["name"]: execute(database, f"SELECT ctid, xmin FROM {row['name']} ORDER BY ctid") for row in names
    }


def test_slots_up_to_the_look_ahead_are_enqueued(database, client):
    summary = tick(job()).run(client)

    horizon = state(database)["horizon"]
    assert slots_in(database) == hours(horizon - AHEAD, horizon)
    assert (summary.jobs, summary.slots, summary.sent, summary.duplicates) == (1, 10, 10, 0)


def test_a_job_says_that_its_seconds_come_first(database, client):
    half_hourly = job(cron="0 */30 * * * *", seconds="first")
    tick(half_hourly, look_ahead=2).run(client)

    assert [(each.minute % 30, each.second) for each in slots_in(database)] == [(0, 0)] * 4
    definition = execute(database, "SELECT definition FROM airflow_pgmq.periodic_jobs")[0]["definition"]
    assert (definition["cron"], definition["seconds"]) == ("0 */30 * * * *", "first")


def test_message_becomes_visible_at_its_slot(database, client):
    tick(job()).run(client)

    assert [row["vt"] for row in queued(database)] == slots_in(database)
    assert read(client) == []


def test_ids_follow_time(database, client):
    tick(job("b"), job("a")).run(client)

    found = [(row["headers"]["slot"], row["headers"]["job"]) for row in queued(database)]
    assert found == sorted(found)


def test_message_says_where_it_comes_from(database, client):
    tick(job(message={"shop": [1]}, headers={"own": True}, version=3, group="g"), source={"dag_id": "d"}).run(
        client
    )

    row = queued(database)[0]
    at = row["headers"]["slot"]
    assert row["message"] == {"shop": [1]}
    assert row["headers"] == {
        "own": True,
        "dedup_key": f"shop/job/{at}",
        "job": "job",
        "namespace": "shop",
        "slot": at,
        "version": 3,
        "x-pgmq-group": "g",
        "source": {"dag_id": "d"},
    }


def test_time_to_live_counts_from_the_slot(database, client):
    tick(job(ttl=timedelta(minutes=5))).run(client)

    assert [row["headers"]["expires_at"] for row in queued(database)] == [
        (at + timedelta(minutes=5)).isoformat() for at in slots_in(database)
    ]


def test_jitter_delays_each_slot_by_a_share_of_its_own(database, client):
    one = job(jitter=timedelta(minutes=1))
    tick(one).run(client)

    delays = [row["vt"] - slot(row["headers"]) for row in queued(database)]
    assert len(set(delays)) == len(delays)
    assert all(timedelta(0) <= delay <= timedelta(minutes=1) for delay in delays)
    assert {row["vt"] for row in queued(database)} == {
        slots.visible_at(one, slot(row["headers"]), row["headers"]["dedup_key"]) for row in queued(database)
    }


def test_next_tick_goes_on_where_the_last_ended(database, client):
    tick(job()).run(client)
    first = state(database)["horizon"] - AHEAD

    tick(job(), look_ahead=25).run(client)

    assert slots_in(database) == hours(first, state(database)["horizon"])


def test_tick_that_is_run_again_sends_nothing_twice(database, client):
    """As if its watermark had been lost; a crash cannot do that, because both are in one transaction."""
    tick(job()).run(client)
    before = slots_in(database)
    go_back(database, hours=10)

    summary = tick(job()).run(client)

    assert (summary.sent, summary.duplicates) == (len(slots_in(database)) - 10, 10)
    assert slots_in(database)[:10] == before


def test_slot_that_was_consumed_is_not_sent_again(database, client):
    tick(job()).run(client)
    execute(database, "SELECT pgmq.archive('mail', array_agg(msg_id)) FROM pgmq.q_mail")
    go_back(database, hours=10)

    assert tick(job()).run(client).duplicates == 10


def test_new_job_starts_with_its_first_tick(database, client):
    summary = tick(job(cron="* * * * * *"), look_ahead=0).run(client)

    assert (summary.sent, queued(database)) == (0, [])


def test_seconds_are_slots_too(database, client):
    summary = tick(job(cron="* * * * * */5"), look_ahead=1 / 60).run(client)

    found = slots_in(database)
    assert summary.sent == len(found) == 12
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(seconds=5)}


def test_job_that_ended_has_no_next_slot(database, client):
    (row,) = execute(database, "SELECT date_trunc('hour', now()) + interval '3 hours' AS at")
    ending = tick(job(end=row["at"]))

    assert ending.run(client).sent == 2
    assert state(database)["next_slot"] is None
    assert ending.run(client).slots == 0


def test_many_jobs_and_slots_are_sent_in_rounds(database, client, monkeypatch):
    monkeypatch.setattr("airflow_pgmq.services.tick_rounds.JOBS", 7)
    monkeypatch.setattr("airflow_pgmq.services.tick_rounds.SLOTS", 30)
    jobs = [job(f"job{n}") for n in range(23)]

    summary = tick(*jobs).run(client)

    assert (summary.jobs, summary.sent) == (23, 230)
    assert set(Counter(row["headers"]["job"] for row in queued(database)).values()) == {10}
    assert tick(*jobs).run(client).sent <= 23


def test_jobs_of_several_queues(database, client):
    execute(database, "SELECT pgmq.create('post')")

    tick(job(), job("letter", queue_name="post")).run(client)

    assert len(queued(database)) == len(queued(database, "post")) == 10


def test_state_remembers_the_last_message(database, client):
    tick(job()).run(client)

    last, row = queued(database)[-1], state(database)
    (sent,) = execute(database, "SELECT msg_id FROM airflow_pgmq.slots WHERE slot = %s", [row["last_slot"]])
    assert sent["msg_id"] == last["msg_id"]
    assert row["last_slot"] == slot(last["headers"])
    assert row["next_slot"] == row["last_slot"] + timedelta(hours=1)


def test_tick_with_nothing_due_writes_only_its_namespace(database, client):
    jobs = [job(f"job{n}", cron="0 0 1 1 *") for n in range(50)]
    tick(*jobs).run(client)
    before = versions_of_all_rows(database)

    tick(*jobs).run(client)

    after = versions_of_all_rows(database)
    changed = {name for name in before if before[name] != after[name]}
    # A new minute may have begun, which has a sample of its own.
    assert changed - {"airflow_pgmq.queue_samples"} == {"airflow_pgmq.namespaces"}


def test_expired_ledger_rows_are_pruned(database, client):
    execute(
        database,
        "INSERT INTO airflow_pgmq.dedup_ledger"
        " SELECT 'mail', 'old' || n, n, now(), now() - interval '1 hour', 0"
        " FROM generate_series(1, 1500) AS n",
    )
    execute(
        database,
        "INSERT INTO airflow_pgmq.dedup_ledger"
        " VALUES ('mail', 'new', 1, now(), now() + interval '1 hour', 0)",
    )

    tick(job(cron="0 0 1 1 *")).run(client)

    left = execute(database, "SELECT dedup_key FROM airflow_pgmq.dedup_ledger")
    assert [row["dedup_key"] for row in left] == ["new"]


def test_jobs_of_missing_queues_are_named_and_the_others_sent(database, client):
    jobs = job(), job("lost", queue_name="nowhere"), job("gone", queue_name="away")

    for sent in (10, 0):
        summary = tick(*jobs).run(client)
        assert summary.failed.keys() == {"lost", "gone"}
        assert "'nowhere' does not exist" in summary.failed["lost"][0]
        assert summary.sent - sent in (0, 1)

    execute(database, "SELECT pgmq.create('nowhere'), pgmq.create('away')")
    summary = tick(*jobs).run(client)
    assert summary.failed == {}
    assert len(slots_in(database, "lost", "nowhere")) == len(slots_in(database, "gone", "away")) == 10


def test_a_job_whose_queue_is_lost_catches_up_when_it_is_there_again(database, client):
    execute(database, "SELECT pgmq.create('post')")
    both = job(), job("letter", queue_name="post")
    tick(*both).run(client)
    execute(database, "SELECT pgmq.drop_queue('post')")
    go_back(database, hours=3)

    assert tick(*both).run(client).failed.keys() == {"letter"}

    execute(database, "SELECT pgmq.create('post')")
    assert tick(*both).run(client).failed == {}
    # What was visible before the queue was dropped counts as delivered.
    assert slots_in(database, "letter", "post") == slots_in(database)


def test_a_backfill_sends_nothing_where_a_queue_is_missing(database, client):
    now = datetime.now(timezone.utc)
    with pytest.raises(InvalidJobs, match="lost: queue 'nowhere' does not exist"):
        tick(job(), job("lost", queue_name="nowhere")).backfill(client, now - timedelta(hours=3), now)

    assert queued(database) == []


REFUSE = (
    "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} END $$",
    "CREATE TRIGGER refuse BEFORE INSERT ON pgmq.q_post FOR EACH ROW EXECUTE FUNCTION public.refuse()",
)
#: What makes a queue refuse or swallow messages.
DAMAGES = {
    "no headers": ["ALTER TABLE pgmq.q_post DROP COLUMN headers"],
    "a view": ["ALTER TABLE pgmq.q_post RENAME TO other", "CREATE VIEW pgmq.q_post AS SELECT 1 AS msg_id"],
    "a trigger that refuses": [REFUSE[0].format("RAISE 'no';"), REFUSE[1]],
    "a trigger that swallows": [REFUSE[0].format("RETURN NULL;"), REFUSE[1]],
    "another unique index": ["CREATE UNIQUE INDEX ON pgmq.q_post ((headers ->> 'job'))"],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_queue_that_takes_no_messages_holds_up_its_own_jobs_only(database, client, damage):
    execute(database, "SELECT pgmq.create('post')")
    for statement in DAMAGES[damage]:
        execute(database, statement)
    jobs = job("before"), job("letter", queue_name="post"), job("later")

    for _ in range(2):
        summary = tick(*jobs).run(client)
        assert summary.failed.keys() == {"letter"}
        assert "queue 'post' does not take its messages" in summary.failed["letter"][0]

    assert len(slots_in(database, "before")) == len(slots_in(database, "later")) == 10


def test_schema_is_made_by_the_first_tick(database, client):
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")

    assert tick(job()).run(client).sent == 10


def test_namespaces_do_not_touch_each_other(database, client):
    tick(job(message="one")).run(client)
    tick(job(message="two"), namespace="other", owner="other.task").run(client)
    tick(job("left"), namespace="other", owner="other.task").run(client)

    assert {row["headers"]["namespace"] for row in queued(database) if row["message"] == "one"} == {"shop"}
    assert Counter(key.split("/")[0] + "/" + key.split("/")[1] for key in keys_in(database)) == {
        "shop/job": 10,
        "other/left": 10,
    }


def test_two_owners_of_a_namespace_are_told(database, client):
    tick(job()).run(client)

    with pytest.raises(NamespaceTaken, match=r"'shop' is ticked by 'dag\.task', so 'other\.task' must not"):
        tick(job("other"), owner="other.task").run(client)

    assert {row["headers"]["job"] for row in queued(database)} == {"job"}


def test_silent_owner_can_be_succeeded(database, client):
    tick(job()).run(client)
    execute(database, "UPDATE airflow_pgmq.namespaces SET ticked_at = ticked_at - interval '6 minutes'")

    tick(job(), owner="renamed.task").run(client)

    with pytest.raises(NamespaceTaken, match="ticked by 'renamed"):
        tick(job()).run(client)


def test_backfill_sends_the_slots_of_its_interval_and_leaves_the_state(database, client):
    tick(job()).run(client)
    before = state(database)
    start = slots_in(database)[0] - timedelta(days=2)

    summary = tick(job()).backfill(client, start, start + timedelta(hours=30))

    assert (summary.slots, summary.sent) == (30, 30)
    assert slots_in(database)[:30] == [start + timedelta(hours=n) for n in range(30)]
    after = state(database)
    assert {**after, "now": None} == {**before, "now": None}


def test_backfill_finds_what_was_sent(database, client):
    tick(job()).run(client)
    start = slots_in(database)[0]

    summary = tick(job()).backfill(client, start - timedelta(hours=5), start + timedelta(hours=5))

    assert (summary.sent, summary.duplicates) == (5, 5)


def test_tick_finds_what_a_backfill_sent(database, client):
    tick(job(), look_ahead=0).run(client)
    start = state(database)["watermark"]
    tick(job()).backfill(client, start, start + timedelta(hours=5))

    summary = tick(job()).run(client)

    assert (summary.sent, summary.duplicates) == (summary.slots - 5, 5)


def test_backfill_leaves_paused_jobs_out(database, client):
    tick(job(), job("paused"), look_ahead=0).run(client)
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET paused = true WHERE name = 'paused'")
    start = state(database)["watermark"]

    tick(job(), job("paused")).backfill(client, start, start + timedelta(hours=5))

    assert {row["headers"]["job"] for row in queued(database)} == {"job"}


def test_backfill_needs_no_tick_before(database, client):
    start = execute(database, "SELECT date_trunc('hour', now()) AS at")[0]["at"]

    assert tick(job()).backfill(client, start, start + timedelta(hours=5)).sent == 5
    assert execute(database, "SELECT namespace FROM airflow_pgmq.namespaces") == []


def test_queue_that_disappears_between_two_rounds_is_reported(database, client):
    """The whole round is rolled back: a tick after the queue is back sends it all."""
    tick(job(), look_ahead=0).run(client)
    execute(database, "DROP TABLE pgmq.q_mail")

    with pytest.raises(QueueNotFound, match="'mail'"):
        tick(job()).run(client)

    execute(database, "DELETE FROM pgmq.meta")
    execute(database, "DROP TABLE pgmq.a_mail")
    execute(database, "SELECT pgmq.create('mail')")
    assert tick(job()).run(client_of(database.dsn)).sent >= 10


def test_pruning_walks_a_stretch_and_in_time_the_whole_ledger(database, client):
    execute(
        database,
        "INSERT INTO airflow_pgmq.dedup_ledger"
        " SELECT 'mail', 'old' || n, n, now(), now() - interval '1 hour', 0"
        " FROM generate_series(1, 1500) AS n",
    )

    def prune() -> int:
        client.run(lambda: sending.prune_ledger(2))
        (row,) = execute(database, "SELECT count(*) FROM airflow_pgmq.dedup_ledger")
        return row["count"]

    left = prune()
    assert 0 < left < 1500
    # Where it begins is random: 500 walks miss one of 17 pages once in 10^13 times.
    assert any(prune() == 0 for _ in range(500))
