"""Live jobs: put and deleted at run time, beside the jobs that a Dag declares."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from airflow_pgmq.core.summary import Summary
from airflow_pgmq.db.client import Client
from airflow_pgmq.errors import (
    CalendarNotFound,
    InvalidArgument,
    JobChanged,
    JobDeclared,
    JobNotFound,
    NamespaceTaken,
    QueueNotFound,
)
from airflow_pgmq.hooks.rendering import SlotRenderer
from airflow_pgmq.jobs import At, Calendar, PeriodicJob
from airflow_pgmq.services import job_control, live_jobs
from tests.fixtures.factories import (
    NAMESPACE,
    client_of,
    execute,
    go_back,
    job,
    keys_in,
    queued,
    read,
    slots_in,
    state,
    tick,
)
from tests.fixtures.patience import wait_until
from tests.fixtures.postgres import Database


def put(client: Client, *jobs: PeriodicJob, **options: Any) -> dict[str, int]:
    client.ensure_schema()
    return client.run(
        lambda: live_jobs.put(NAMESPACE, jobs, **{"by": "ada", "renderer": SlotRenderer(), **options})
    )


def delete(client: Client, name: str = "job", **options: Any) -> int:
    return client.run(lambda: live_jobs.delete(NAMESPACE, name, **{"by": "bob", **options}))


def ticked(client: Client, *jobs: PeriodicJob, **options: Any) -> Summary:
    return tick(*jobs, renderer=SlotRenderer(), **options).run(client)


def versions(client: Client, name: str = "job") -> list[Any]:
    return client.run(lambda: live_jobs.versions(NAMESPACE, name))


def by_job(database: Database) -> Counter[str]:
    return Counter(row["headers"]["job"] for row in queued(database))


def test_a_live_job_is_ticked_beside_declared_ones(client: Client, database: Database) -> None:
    assert put(client, job("live")) == {"live": 1}

    summary = ticked(client, job("declared"))

    assert (summary.jobs, summary.sent, summary.failed) == (2, 20, {})
    assert by_job(database) == {"live": 10, "declared": 10}
    assert {row["headers"]["version"] for row in queued(database) if row["headers"]["job"] == "live"} == {1}


def test_a_namespace_may_have_live_jobs_only(client: Client, database: Database) -> None:
    put(client, job("live"))
    assert ticked(client).sent == 10
    # A second tick repeats nothing, and removes nothing.
    assert ticked(client).sent == 0
    assert by_job(database) == {"live": 10}


def test_a_tick_may_leave_live_jobs_alone(client: Client, database: Database) -> None:
    put(client, job("live"))
    summary = ticked(client, job("declared"), live=False)
    assert (summary.jobs, by_job(database)) == (1, {"declared": 10})
    assert ticked(client, job("declared")).sent == 10


def test_a_change_takes_back_what_nobody_has_seen(client: Client, database: Database) -> None:
    put(client, job(message={"n": 1}))
    ticked(client)
    assert put(client, job(message={"n": 2})) == {"job": 2}
    assert queued(database) == []
    ticked(client)
    assert [row["message"] for row in queued(database)] == [{"n": 2}] * 10
    assert {row["headers"]["version"] for row in queued(database)} == {2}
    assert len(set(keys_in(database))) == 10


def test_the_same_again_is_no_change(client: Client, database: Database) -> None:
    put(client, job())
    ticked(client)
    before = keys_in(database)
    assert put(client, job(version=7)) == {"job": 1}
    assert keys_in(database) == before
    assert len(versions(client)) == 1


def test_an_old_definition_sends_its_slots_up_to_now(client: Client, database: Database) -> None:
    put(client, job(message={"n": 1}))
    go_back(database, hours=3)
    put(client, job(message={"n": 2}))
    ticked(client)
    assert Counter(row["message"]["n"] for row in queued(database)) == {1: 3, 2: 10}


def test_a_deleted_job_is_withdrawn_and_may_come_back(client: Client, database: Database) -> None:
    put(client, job())
    ticked(client)
    assert delete(client) == 10
    assert (queued(database), execute(database, "SELECT FROM airflow_pgmq.periodic_jobs")) == ([], [])
    assert ticked(client).sent == 0
    assert put(client, job()) == {"job": 3}
    assert ticked(client).sent == 10
    assert [(each.version, each.job is None, each.changed_by) for each in versions(client)] == [
        (3, False, "ada"),
        (2, True, "bob"),
        (1, False, "ada"),
    ]


def test_what_was_read_stays_sent(client: Client, database: Database) -> None:
    put(client, job())
    ticked(client)
    execute(database, "UPDATE pgmq.q_mail SET vt = now()")
    seen = [message.msg_id for message in read(client, 4)]
    delete(client)
    put(client, job())
    ticked(client)
    assert len(slots_in(database)) == len(set(slots_in(database))) == 10
    assert {row["msg_id"] for row in queued(database)} >= set(seen)


def test_a_version_can_be_restored(client: Client, database: Database) -> None:
    old = job(message={"n": 1}, schedule=At(*slots_ahead(client)), cron=None)
    put(client, old)
    put(client, job(message={"n": 2}))
    restored = versions(client)[1].job
    assert put(client, restored) == {"job": 3}
    ticked(client)
    assert [row["message"] for row in queued(database)] == [{"n": 1}] * 2


def slots_ahead(client: Client) -> list[Any]:
    client.ensure_schema()
    return client.run(lambda: job_control.next_slots(job(), 2, None))


def test_old_versions_are_forgotten(client: Client, database: Database) -> None:
    for n in range(103):
        put(client, job(message={"n": n}))
    found = versions(client)
    assert (len(found), found[0].version, found[-1].version) == (100, 103, 4)


@pytest.mark.parametrize("expected", [0, 2, 7])
def test_of_two_editors_one_is_told(client: Client, database: Database, expected: int) -> None:
    put(client, job(message={"n": 1}))
    with pytest.raises(JobChanged, match="Job shop/job is at version 1; when you looked it") as caught:
        put(client, job(message={"n": 2}), expected={"job": expected})
    assert caught.value.version == 1
    with pytest.raises(JobChanged):
        delete(client, expected=expected)
    assert put(client, job(message={"n": 3}), expected={"job": 1}) == {"job": 2}
    delete(client, expected=2)
    with pytest.raises(JobChanged, match="does not exist; when you looked it was version 2"):
        put(client, job(message={"n": 4}), expected={"job": 2})
    assert put(client, job(message={"n": 4}), expected={"job": 0}) == {"job": 4}


def test_editors_at_the_same_time(client: Client, database: Database) -> None:
    client.ensure_schema()
    told: list[object] = []

    def edit(n: int) -> None:
        try:
            told.append(put(client_of(database.dsn), job(message={"n": n}), expected={"job": 0}))
        except JobChanged as exc:
            told.append(exc.version)

    threads = [threading.Thread(target=edit, args=[n]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, told)) == ["1"] * 5 + ["{'job': 1}"]


def test_a_declared_job_cannot_be_changed(client: Client, database: Database) -> None:
    ticked(client, job())
    for change in (lambda: put(client, job(message={"n": 1})), lambda: delete(client)):
        with pytest.raises(JobDeclared, match=r"shop/job: declared in the Dag of task 'dag.task'"):
            change()
    assert len(queued(database)) == 10


def test_a_live_job_keeps_its_name(client: Client, database: Database) -> None:
    """A declared job of that name is reported, the others go on."""
    put(client, job("both", message={"kind": "live"}))
    for _ in range(2):
        summary = ticked(client, job("both", message={"kind": "declared"}), job("other"))
        assert summary.failed.keys() == {"both"}
        assert "a live job has this name" in summary.failed["both"][0]
        assert by_job(database) == {"both": 10, "other": 10}
    assert {row["message"].get("kind") for row in queued(database)} == {"live", None}
    # Then it may have it.
    delete(client, "both")
    assert ticked(client, job("both", message={"kind": "declared"}), job("other")).failed == {}
    assert {row["message"].get("kind") for row in queued(database)} == {"declared", None}


def test_a_faulty_declared_twin_does_not_stop_the_live_job(client: Client, database: Database) -> None:
    put(client, job("both"))
    summary = ticked(client, job("both", queue_name="gone", exclude=[Calendar("gone")]))
    assert "a live job has this name" in summary.failed["both"][0]
    assert by_job(database) == {"both": 10}


def test_live_jobs_that_fail_do_not_stop_others(client: Client, database: Database) -> None:
    execute(database, "SELECT pgmq.create('other')")
    client.ensure_schema()
    execute(
        database,
        "INSERT INTO airflow_pgmq.calendars (name, days, reasons, changed_at)"
        " VALUES ('bank', '{}', '{}', now())",
    )
    put(
        client,
        job("queue", queue_name="other"),
        job("calendar", exclude=[Calendar("bank")]),
        job("template", message="{{ 1 // (slot.hour - slot.hour) }}"),
        job("newer"),
        job("fine"),
    )
    execute(database, "SELECT pgmq.drop_queue('other')")
    execute(database, "DELETE FROM airflow_pgmq.calendars")
    execute(
        database,
        "UPDATE airflow_pgmq.periodic_jobs SET definition = definition || %s::jsonb WHERE name = 'newer'",
        ['{"overlap": "of the future"}'],
    )
    for _ in range(2):
        summary = ticked(client, job("declared"))
        assert by_job(database) == {"fine": 10, "declared": 10}
        why = {name: wrong[0] for name, wrong in summary.failed.items()}
        assert why.keys() == {"queue", "calendar", "template", "newer"}
        assert "queue 'other' does not exist" in why["queue"]
        assert "There is no calendar 'bank'" in why["calendar"]
        assert "ZeroDivisionError" in why["template"]
        assert "this version of airflow_pgmq cannot read it" in why["newer"]


def test_a_queue_that_takes_no_messages_stops_its_live_jobs_only(client: Client, database: Database) -> None:
    execute(database, "SELECT pgmq.create('other')")
    put(client, job("bad", queue_name="other"), job("fine"))
    execute(database, "ALTER TABLE pgmq.q_other ADD CHECK (msg_id < 0)")
    summary = ticked(client)
    assert summary.failed.keys() == {"bad"}
    assert by_job(database) == {"fine": 10}


def test_all_of_several_jobs_are_put_or_none(client: Client, database: Database) -> None:
    with pytest.raises(QueueNotFound):
        put(client, job("a"), job("b", queue_name="gone"))
    with pytest.raises(CalendarNotFound):
        put(client, job("a"), job("b", exclude=[Calendar("gone")]))
    with pytest.raises(InvalidArgument, match="expected_versions names 'b', which is not among the jobs"):
        put(client, job("a"), expected={"b": 0})
    assert execute(database, "SELECT FROM airflow_pgmq.namespaces") == []


def test_unknown_jobs_are_told(client: Client) -> None:
    client.ensure_schema()
    with pytest.raises(JobNotFound):
        delete(client)
    with pytest.raises(JobNotFound):
        versions(client)
    put(client, job("other"))
    with pytest.raises(JobNotFound):
        delete(client)


def test_a_paused_live_job_stays_paused_when_it_changes(client: Client, database: Database) -> None:
    put(client, job())
    ticked(client)
    client.run(lambda: job_control.pause(NAMESPACE, "job"))
    put(client, job(message={"n": 2}))
    assert ticked(client).sent == 0
    client.run(lambda: job_control.resume(NAMESPACE, "job"))
    assert ticked(client).sent == 10


def test_who_puts_the_first_job_does_not_own_the_namespace(client: Client, database: Database) -> None:
    put(client, job("live"))
    assert ticked(client, job(version=-3), owner="a.b").failed == {}
    assert by_job(database) == {"live": 10, "job": 10}
    with pytest.raises(NamespaceTaken):
        ticked(client, job(), owner="c.d")


def test_a_backfill_fills_live_jobs_too(client: Client, database: Database) -> None:
    put(client, job("live"), job("paused"))
    client.run(lambda: job_control.pause(NAMESPACE, "paused"))
    end = slots_ahead(client)[0] - timedelta(days=9)
    filling = tick(job("live", message={}), job("declared"))
    summary = filling.backfill(client, end - timedelta(hours=5), end)
    assert (summary.sent, by_job(database)) == (10, {"live": 5, "declared": 5})


def test_a_put_and_a_tick_take_turns(client: Client, database: Database) -> None:
    """A tick that is at work holds the namespace; the put waits for it."""
    put(client, job(message={"n": 1}))
    with database.connect() as conn, conn.transaction():
        is_put = threading.Event()
        conn.execute("SELECT FROM airflow_pgmq.namespaces FOR UPDATE")
        thread = threading.Thread(
            target=lambda: (put(client_of(database.dsn), job(message={"n": 2})), is_put.set())
        )
        thread.start()
        wait_until(lambda: is_waited_for(database), "a put that waits")
        assert not is_put.is_set()
    thread.join()
    assert is_put.is_set()
    ticked(client)
    assert {row["message"]["n"] for row in queued(database)} == {2}


def is_waited_for(database: Database) -> bool:
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(execute(database, waiting))


def test_a_put_in_a_transaction_of_the_caller_is_no_restore(client: Client, database: Database) -> None:
    """After a restore, a tick would send again what somebody has taken out of the queue."""
    put(client, job("live"))
    ticked(client, job())
    execute(database, "DELETE FROM pgmq.q_mail WHERE msg_id IN (1, 2)")
    with database.connect() as conn, conn.transaction():
        client.run(lambda: live_jobs.put(NAMESPACE, [job("other")], by="ada"), conn)
    assert ticked(client, job()).sent == 10
    assert by_job(database).total() == 28


def test_a_clock_that_ran_ahead_at_a_put_does_not_hold_the_job_up(client: Client, database: Database) -> None:
    ticked(client, job("declared"))
    put(client, job("live"), job("alone", overlap="skip"))
    execute(
        database,
        "UPDATE airflow_pgmq.periodic_jobs SET watermark = watermark + interval '1 day',"
        " next_slot = next_slot + interval '1 day', deployed_at = deployed_at + interval '1 day' WHERE live",
    )
    assert ticked(client, job("declared")).sent == 10
    assert by_job(database) == {"live": 10, "declared": 10}
    assert ticked(client, job("declared")).sent == 0


def test_an_old_definition_is_finished_by_the_rules_of_its_operator(
    client: Client, database: Database
) -> None:
    put(client, job(catch_up="none", message={"n": 1}))
    week = timedelta(days=30)
    ticked(client, look_ahead=0, grace=5, dedup_window=week)
    go_back(database, hours=3)
    put(client, job(message={"n": 2}))
    assert [row["message"] for row in queued(database)] == [{"n": 1}] * 3
    (row,) = execute(database, "SELECT min(expires_at - slot) AS kept FROM airflow_pgmq.slots")
    assert row["kept"] >= week


def test_live_jobs_that_a_tick_left_alone_are_still_searched_for_after_a_restore(
    client: Client, database: Database
) -> None:
    put(client, job("live"))
    ticked(client, job("declared"))
    execute(database, "UPDATE airflow_pgmq.namespaces SET horizon = horizon")
    execute(database, "DELETE FROM airflow_pgmq.slots")
    go_back(database, hours=10)
    ticked(client, job("declared"), live=False)
    ticked(client, job("declared"))
    assert by_job(database) == {"live": 10, "declared": 10}


@pytest.mark.parametrize("part", [{"headers": [1]}, {"headers": "x"}, {"queue_name": None}])
def test_a_live_job_of_other_code_stops_itself_only(
    client: Client, database: Database, part: dict[str, Any]
) -> None:
    put(client, job("bad"), job("fine"))
    execute(
        database,
        "UPDATE airflow_pgmq.periodic_jobs SET definition = definition || %s::jsonb WHERE name = 'bad'",
        [json.dumps(part)],
    )
    summary = ticked(client)
    assert summary.failed.keys() == {"bad"}
    assert "this version of airflow_pgmq cannot read it" in summary.failed["bad"][0]
    assert by_job(database) == {"fine": 10}


def test_a_crash_in_the_middle_of_a_change_changes_nothing(client: Client, database: Database) -> None:
    put(client, job(message={"n": 1}))
    ticked(client)
    execute(database, "ALTER TABLE airflow_pgmq.job_versions ADD CHECK (version < 2)")
    with pytest.raises(psycopg.errors.CheckViolation):
        put(client, job(message={"n": 2}))
    assert [row["message"] for row in queued(database)] == [{"n": 1}] * 10
    assert state(database)["version"] == 1
