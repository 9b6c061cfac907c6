"""Slots that did not happen in time: found, and told once."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import consuming, queues, reading
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.services import job_control, live_jobs, maintenance, overdue
from tests.fixtures.factories import NAMESPACE, client_of, execute, go_back, job, queued, read, state, tick
from tests.fixtures.postgres import Database

AT_ONCE = timedelta(microseconds=1)


def expected(name: str = "job", within: timedelta = AT_ONCE, **fields: Any) -> PeriodicJob:
    return job(name, expect_within=within, **fields)


def three_late(client: Client, database: Database, *jobs: PeriodicJob) -> Summary:
    """Let jobs send the slots of the last three hours, and those of the next two."""
    declared = jobs or (expected(),)
    tick(*declared, look_ahead=0).run(client)
    go_back(database, hours=3)
    return tick(*declared, look_ahead=2).run(client)


def found(client: Client, namespace: str | None = None) -> list[OverdueSlot]:
    return client.run(lambda: overdue.find(namespace))


def states(client: Client) -> list[str]:
    return [each.state for each in found(client)]


def check(client: Client, namespace: str | None = None) -> list[OverdueSlot]:
    return client.run(lambda: overdue.check(namespace))


def test_slots_that_nobody_works_on_are_told_once(client: Client, database: Database) -> None:
    summary = three_late(client, database)

    late = summary.overdue
    assert [each.state for each in late] == ["waiting"] * 3
    assert summary.as_dict()["overdue"] == 3
    first = late[0]
    assert (first.namespace, first.name, first.queue_name) == (NAMESPACE, "job", "mail")
    assert (first.msg_id, first.slot) == (1, min(row["vt"] for row in queued(database)))
    assert first.expected_at == first.slot + AT_ONCE
    assert first.found_at is not None
    assert tick(expected(), look_ahead=2).run(client).overdue == []
    assert check(client) == []
    # To look is not to be told.
    assert found(client) == late


def test_what_was_acked_is_not_overdue(client: Client, database: Database) -> None:
    three_late(client, database)
    for ack, message in zip((reading.archive, reading.delete), read(client), strict=False):
        client.run(lambda ack=ack, message=message: ack("mail", message))
    assert states(client) == ["in_flight"]
    execute(database, "TRUNCATE pgmq.q_mail")
    assert states(client) == []


def test_a_slot_that_is_early_enough_is_not_overdue(client: Client, database: Database) -> None:
    late = three_late(client, database, expected(within=timedelta(hours=2))).overdue
    now = datetime.now(timezone.utc)
    assert len(late) == 1
    assert now - timedelta(hours=3, minutes=1) < late[0].slot < now - timedelta(hours=2)


def test_jobs_that_expect_nothing_are_not_looked_at(client: Client, database: Database) -> None:
    assert three_late(client, database, job()).overdue == []
    assert found(client) == []


def test_a_dead_letter_is_overdue_until_it_is_requeued(client: Client, database: Database) -> None:
    client.run(lambda: queues.create("mail_dlq"))
    three_late(client, database)
    first, *others = read(client)
    client.run(lambda: reading.archive("mail", others))
    client.run(lambda: consuming.dead_letter("mail", "mail_dlq", [first], "bad"))
    (late,) = found(client)
    assert (late.state, late.msg_id) == ("dead", first.msg_id)
    client.run(lambda: consuming.requeue("mail", source="dead_letters"))
    assert found(client) == []


def test_a_dead_letter_of_a_queue_with_an_index_is_found_too(client: Client, database: Database) -> None:
    client.run(lambda: queues.create("mail_dlq"))
    client.run(lambda: queues.guard("mail_dlq"))
    three_late(client, database)
    client.run(lambda: consuming.dead_letter("mail", "mail_dlq", read(client), "bad"))
    assert states(client) == ["dead"] * 3


def test_a_queue_that_was_dropped_counts_as_gone(client: Client, database: Database) -> None:
    three_late(client, database)
    execute(database, "SELECT pgmq.drop_queue('mail')")
    assert states(client) == []


def test_another_message_with_the_id_does_not_count(client: Client, database: Database) -> None:
    three_late(client, database)
    execute(database, 'UPDATE pgmq.q_mail SET headers = \'{"dedup_key": "other"}\'')
    assert states(client) == []


def test_a_slot_whose_message_was_lost_is_not_sent(client: Client, database: Database) -> None:
    three_late(client, database)
    execute(database, "UPDATE airflow_pgmq.slots SET msg_id = NULL")
    assert states(client) == ["not_sent"] * 3


def test_a_job_that_is_not_sent_is_told_once(client: Client, database: Database) -> None:
    """Of a namespace that nobody ticks only maintenance can tell."""
    tick(expected(), look_ahead=0).run(client)
    go_back(database, hours=3)

    late = maintenance.maintain(client)
    (slot,) = late.overdue
    assert (slot.state, slot.msg_id, slot.found_at is None) == ("not_sent", None, False)
    # What is stored after a deploy is an instant between two slots.
    assert (slot.slot.minute, slot.slot.second) == (0, 0)
    assert late.as_dict()["overdue"] == 1
    assert maintenance.maintain(client).overdue == []
    (again,) = found(client)
    assert again == slot
    # The slot is sent: it was told of.
    assert slot.slot not in {each.slot for each in tick(expected()).run(client).overdue}


def test_a_job_is_not_late_before_its_first_slot(client: Client, database: Database) -> None:
    """Its next slot was not computed since it was put, and nobody ticks it."""
    rarely = expected(cron="0 0 1 1 *")
    client.ensure_schema()
    client.run(lambda: live_jobs.put(NAMESPACE, [rarely], by="ada"))
    assert state(database)["next_slot"] is not None
    assert execute(database, "SELECT state FROM airflow_pgmq.overdue") == [{"state": "not_sent"}]
    assert found(client) == []
    assert check(client) == []


def test_a_paused_job_sends_nothing_on_purpose(client: Client, database: Database) -> None:
    three_late(client, database)
    client.run(lambda: job_control.pause(NAMESPACE, "job"))
    go_back(database, hours=5)
    # What it had sent before is expected.
    assert states(client) == ["waiting"] * 3


def test_only_of_a_namespace(client: Client, database: Database) -> None:
    three_late(client, database)
    assert (len(found(client, NAMESPACE)), found(client, "other")) == (3, [])
    assert (check(client, "other"), len(check(client, NAMESPACE))) == ([], 0)


def test_a_change_of_the_policy_takes_nothing_back(client: Client, database: Database) -> None:
    three_late(client, database, job())
    before = queued(database)
    summary = tick(expected(), look_ahead=2).run(client)
    assert (summary.taken_back, queued(database)) == (0, before)
    assert state(database)["expect_within"] == AT_ONCE
    assert len(tick(expected(), look_ahead=2).run(client).overdue) == 3
    tick(job(), look_ahead=2).run(client)
    assert state(database)["expect_within"] is None
    assert found(client) == []


def test_a_live_job_is_told_of_too(client: Client, database: Database) -> None:
    client.ensure_schema()
    client.run(lambda: live_jobs.put(NAMESPACE, [expected("live")], by="ada"))
    tick(look_ahead=0).run(client)
    go_back(database, hours=3)
    assert [each.name for each in tick(look_ahead=0).run(client).overdue] == ["live"] * 3


def test_of_several_at_once_each_slot_is_told_by_one(client: Client, database: Database) -> None:
    three_late(client, database)
    execute(database, "UPDATE airflow_pgmq.slots SET overdue_at = NULL")
    told: Counter[datetime] = Counter()
    start = threading.Barrier(4)

    def run() -> None:
        own = client_of(database.dsn)
        start.wait()
        told.update(each.slot for each in check(own))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told.values()) == [1, 1, 1]


def test_a_slot_of_long_ago_is_not_told(client: Client, database: Database) -> None:
    three_late(client, database)
    execute(
        database,
        "UPDATE airflow_pgmq.slots SET slot = date_trunc('second', now()) - interval '7 days'"
        " + CASE WHEN msg_id <= 2 THEN -1 ELSE 1 END * (interval '1 hour' + msg_id * interval '1 minute')",
    )
    execute(
        database,
        "UPDATE pgmq.q_mail AS message SET headers = jsonb_build_object('dedup_key', 'shop/job/' || to_char("
        " (own.slot AT TIME ZONE 'UTC'), 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')) FROM airflow_pgmq.slots AS own"
        " WHERE own.msg_id = message.msg_id",
    )
    assert [each.msg_id for each in found(client)] == [3, 4, 5]


def test_the_view_shows_the_same(client: Client, database: Database) -> None:
    three_late(client, database)
    rows = execute(database, "SELECT * FROM airflow_pgmq.overdue ORDER BY slot")
    assert [OverdueSlot(**row).state for row in rows] == ["waiting"] * 3
    assert [row["slot"] for row in rows] == [each.slot for each in found(client)]


def test_a_queue_that_the_role_may_not_read_hides_only_its_own_slots(
    client: Client, database: Database
) -> None:
    client.run(lambda: queues.create("closed"))
    three_late(client, database, expected(), expected("hidden", queue_name="closed"))
    role = f"app_{database.name}"
    execute(database, f"CREATE ROLE {role} LOGIN")
    try:
        execute(database, f"GRANT USAGE ON SCHEMA pgmq, airflow_pgmq TO {role}")
        execute(database, f"GRANT SELECT ON pgmq.q_mail, airflow_pgmq.overdue TO {role}")
        execute(database, f"GRANT SELECT ON airflow_pgmq.slots, airflow_pgmq.periodic_jobs TO {role}")
        theirs = client_of(database.dsn, user=role)
        assert Counter((each.name, each.state) for each in found(theirs)) == {
            ("job", "waiting"): 3,
            ("hidden", "unknown"): 3,
        }
        with theirs.connection() as conn:
            assert len(conn.execute("SELECT state FROM airflow_pgmq.overdue").fetchall()) == 6
        # Who may not look does not tell.
        execute(database, f"GRANT UPDATE ON airflow_pgmq.slots, airflow_pgmq.periodic_jobs TO {role}")
        execute(database, "UPDATE airflow_pgmq.slots SET overdue_at = NULL")
        assert {each.name for each in check(theirs)} == {"job"}
    finally:
        execute(database, f"DROP OWNED BY {role}")
        execute(database, f"DROP ROLE {role}")


def test_slots_that_may_still_be_overdue_outlive_their_window(client: Client, database: Database) -> None:
    three_late(client, database, expected(within=timedelta(days=300)), job("other"))
    execute(database, "UPDATE airflow_pgmq.slots SET expires_at = now() - interval '1 hour'")
    maintenance.maintain(client)
    left = execute(database, "SELECT DISTINCT name FROM airflow_pgmq.slots")
    assert [row["name"] for row in left] == ["job"]


def test_a_tick_of_other_jobs_runs_no_more_statements(client: Client, database: Database) -> None:
    """Whether jobs say `expect_within` comes with what each tick asks anyway."""
    with client.connection() as conn:
        _, _, expects = client.attempt(tick(job())._check, conn)
        tick(expected()).run(client)
        assert (expects, client.attempt(tick(job())._check, conn)[2]) == (False, True)
