"""Workers that are killed, frozen or asked to end, at every point between read and commit."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from airflow_pgmq.hooks import PgmqHook
from tests.airflow import workers
from tests.fixtures.factories import execute, queued
from tests.fixtures.patience import wait_until
from tests.fixtures.postgres import Database

MESSAGES = ["a", "b", "c"]

# A statement waits at the gate by a trigger; no code of the package knows of it.
WAIT = f"""
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock({workers.GATE}); RETURN NULL; END $$;
"""
POINTS = {
    # After the read, when some of the batch is done.
    "in the work": "",
    "in the ack": WAIT + "CREATE TRIGGER gate AFTER INSERT ON pgmq.a_q EXECUTE FUNCTION wait_at_gate()",
    "in the commit": WAIT
    + "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON pgmq.a_q DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION wait_at_gate()",
}


@pytest.fixture
def hook(pgmq_connection: str, database: Database) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("q")
    hook.send_batch("q", MESSAGES)
    execute(database, "CREATE TABLE effects (message jsonb)")
    return hook


@pytest.fixture
def gate(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A gate that is closed while this connection holds the lock."""
    with database.connect(autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", [workers.GATE])
        yield conn


@pytest.fixture
def start(pgmq_connection: str) -> Iterator[Callable[..., Any]]:
    started: list[Any] = []

    def start(**options: Any) -> Any:
        started.append(workers.start(os.environ["AIRFLOW_CONN_PGMQ_DEFAULT"], **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.join()


def at_the_gate(database: Database) -> list[int]:
    """The backends that wait there."""
    rows = execute(
        database,
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s",
        [workers.GATE],
    )
    return [row["pid"] for row in rows]


def effects(database: Database) -> Counter[str]:
    return Counter(row["message"] for row in execute(database, "SELECT message FROM effects"))


def archived(database: Database) -> list[str]:
    return sorted(row["message"] for row in execute(database, "SELECT message FROM pgmq.a_q"))


def kill_at_the_gate(process: Any, gate: psycopg.Connection[Any], database: Database) -> None:
    """Kill the worker where it waits, open the gate, and wait until the server has cleaned up behind it."""
    pids = wait_until(lambda: at_the_gate(database), "a worker at the gate")
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    gate.execute("SELECT pg_advisory_unlock_all()")
    gone = "SELECT 1 FROM pg_stat_activity WHERE pid = ANY (%s)"
    wait_until(lambda: not execute(database, gone, [pids]), "the end of the dead worker's connection")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("transactional", [True, False])
def test_a_killed_worker_loses_nothing(
    hook: PgmqHook, gate: Any, start: Any, database: Database, point: str, transactional: bool
) -> None:
    if POINTS[point]:
        execute(database, POINTS[point])
    process = start(blocked=point == "in the work", transactional=transactional)
    kill_at_the_gate(process, gate, database)

    # What is left comes back when its visibility timeout ends.
    execute(database, "UPDATE pgmq.q_q SET vt = now()")
    workers.consumer(transactional=transactional).execute({})

    assert queued(database, "q") == []
    assert archived(database) == MESSAGES
    done = effects(database)
    assert set(done) == set(MESSAGES)
    if transactional:
        assert max(done.values()) == 1


def test_a_message_that_kills_its_worker_ends_as_a_dead_letter_and_takes_no_other_along(
    hook: PgmqHook, gate: Any, start: Any, database: Database
) -> None:
    execute(
        database,
        WAIT + "CREATE TRIGGER gate AFTER INSERT ON effects FOR EACH ROW WHEN (NEW.message = '\"a\"')"
        " EXECUTE FUNCTION wait_at_gate()",
    )
    for _ in range(2):
        gate.execute("SELECT pg_advisory_lock(%s)", [workers.GATE])
        kill_at_the_gate(start(max_reads=2), gate, database)
        gate.execute("SELECT pg_advisory_unlock_all()")
        execute(database, "UPDATE pgmq.q_q SET vt = now()")
    gate.execute("SELECT pg_advisory_lock(%s)", [workers.GATE])
    counts = workers.consumer(max_reads=2, fail_on="never").execute({})
    assert (counts["dead"], counts["acked"]) == (1, 2)
    assert archived(database) == ["b", "c"]
    assert [row["message"] for row in queued(database, "q_dlq")] == ["a"]


@pytest.mark.parametrize("transactional", [True, False])
def test_a_worker_that_was_frozen_does_not_ack_what_is_anothers(
    hook: PgmqHook, gate: Any, start: Any, database: Database, transactional: bool
) -> None:
    process = start(
        blocked=True, transactional=transactional, visibility_timeout=1, batch_size=1, max_batches=1
    )
    wait_until(lambda: at_the_gate(database), "a worker at the gate")
    os.kill(process.pid, signal.SIGSTOP)
    (taken,) = wait_until(lambda: hook.read("q", condition=None, max_messages=3)[:1], "the message's return")
    while taken.message != "a":
        (taken,) = wait_until(lambda: hook.read("q"), "the message's return")
    assert taken.read_ct == 2
    gate.execute("SELECT pg_advisory_unlock_all()")
    os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    assert process.exitcode == 4
    assert archived(database) == []
    assert queued(database, "q")[0]["vt"] == taken.vt
    assert effects(database) == Counter([] if transactional else ["a"])


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("transactional", [True, False])
def test_a_worker_that_is_asked_to_end_gives_back_at_once(
    hook: PgmqHook, gate: Any, start: Any, database: Database, ended_by: signal.Signals, transactional: bool
) -> None:
    process = start(blocked=True, transactional=transactional, visibility_timeout=600)
    wait_until(lambda: at_the_gate(database), "a worker at the gate")
    os.kill(process.pid, ended_by)
    process.join(60)
    assert process.exitcode == 3
    # The query that it waited for is cancelled too.
    assert at_the_gate(database) == []
    assert hook.metrics("q").queue_visible_length == 3
    assert effects(database) == Counter([] if transactional else ["a", "b"])


def test_two_workers_do_each_message_once(hook: PgmqHook, start: Any, database: Database) -> None:
    hook.send_batch("q", [f"m{n}" for n in range(300)])
    both = [start(batch_size=7) for _ in range(2)]
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert effects(database) == Counter([*MESSAGES, *(f"m{n}" for n in range(300))])
    assert queued(database, "q") == []


def test_a_worker_that_fills_a_table_gives_back_at_once_too(
    hook: PgmqHook, gate: Any, start: Any, database: Database
) -> None:
    process = start(into_table=True, visibility_timeout=600)
    wait_until(lambda: at_the_gate(database), "a worker at the gate")
    process.terminate()
    process.join(60)
    assert process.exitcode == 3
    assert at_the_gate(database) == []
    assert hook.metrics("q").queue_visible_length == 3
    assert effects(database) == Counter()
