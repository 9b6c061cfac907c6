"""Messages that are worked on one at a time are acked in groups, with the next read or after milliseconds."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.driver import plans
from airflow_pgmq.errors import PermissionDenied
from airflow_pgmq.messages import Message, Outcome
from airflow_pgmq.services.consuming import Consumer
from airflow_pgmq.services.consuming.finished import Finished
from airflow_pgmq.services.consuming.timer import ACKS as TIMER
from tests.fixtures.factories import QUEUE, client_of, execute, queued, send
from tests.fixtures.patience import wait_until
from tests.fixtures.postgres import Database
from tests.fixtures.proxy import running_proxy
from tests.fixtures.roles import drop_role

ACKS = pytest.mark.parametrize("ack", ["archive", "delete"])


def consumer(client: Client, *, together: bool = False, stop_on: Any = (), **fields: Any) -> Consumer:
    return Consumer(client, Policy(**{"queue_name": QUEUE, **fields}), together=together, stop_on=stop_on)


def keys(count: int) -> list[str]:
    return [f"k{n:03}" for n in range(count)]


def left(database: Database) -> list[int]:
    return [row["msg_id"] for row in queued(database)]


@ACKS
def test_the_next_read_acks_what_is_done(client: Client, database: Database, ack: Any) -> None:
    send(client, *keys(250))
    seen: list[int] = []
    summary = consumer(client, batch_size=100, ack=ack).drain(
        lambda messages, conn: seen.append(messages[0].msg_id)
    )
    assert (summary.acked, summary.batches, seen) == (250, 3, list(range(1, 251)))
    archived = execute(database, "SELECT count(*) AS n FROM pgmq.a_mail")[0]["n"]
    assert (left(database), archived) == ([], 250 if ack == "archive" else 0)


def test_a_finished_message_is_acked_while_the_next_one_is_worked_on(
    client: Client, database: Database
) -> None:
    send(client, *keys(3))

    def work(messages: list[Message], conn: Any) -> None:
        (message,) = messages
        # All before it are acked within milliseconds, although this work would take for ever.
        wait_until(lambda: left(database) == list(range(message.msg_id, 4)), "those before are acked")

    summary = consumer(client, batch_size=3).drain(work)
    assert summary.acked == 3


def test_a_full_group_is_acked_at_once(client: Client, database: Database) -> None:
    send(client, *keys(5))
    seen: dict[int, list[int]] = {}

    def work(messages: list[Message], conn: Any) -> None:
        seen[messages[0].msg_id] = left(database)

    consumer(client, batch_size=5, ack_group=1).drain(work)
    assert seen == {n: list(range(n, 6)) for n in range(1, 6)}


def test_what_is_done_is_acked_when_the_drain_ends_early(client: Client, database: Database) -> None:
    send(client, *keys(5))

    def work(messages: list[Message], conn: Any) -> None:
        if messages[0].msg_id == 3:
            raise KeyboardInterrupt

    working = consumer(client, batch_size=5)
    with pytest.raises(KeyboardInterrupt):
        working.drain(work)
    assert (working.summary.acked, working.summary.released) == (2, 3)
    # The third had begun; the others are as they were.
    assert [(row["msg_id"], (row["headers"] or {}).get("untried")) for row in queued(database)] == [
        (3, None),
        (4, 1),
        (5, 1),
    ]


def test_other_outcomes_do_not_wait(client: Client, database: Database) -> None:
    send(client, *keys(4))
    outcomes = {2: Outcome.retry(60), 3: Outcome.dead("no")}
    summary = consumer(client, batch_size=4).drain(lambda messages, conn: outcomes.get(messages[0].msg_id))
    assert (summary.acked, summary.retried, summary.dead) == (2, 1, 1)
    assert left(database) == [2]


@ACKS
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.direct("cuts the connection to the server")
def test_an_ack_whose_answer_is_lost_is_not_lost(
    database: Database, client: Client, monkeypatch: pytest.MonkeyPatch, ack: Any, when: str
) -> None:
    # The text of a prepared statement is not sent again.
    monkeypatch.setattr(plans, "keeper", lambda conn: None)
    send(client, *keys(6))
    with running_proxy(database) as proxy:

        def work(messages: list[Message], conn: Any) -> None:
            if messages[0].msg_id == 3:
                (proxy.cut_before if when == "before" else proxy.cut_after)(b"FROM acked")

        summary = consumer(client_of(proxy.dsn), batch_size=3, ack=ack).drain(work)
    # What the same statement had read comes back after its timeout.
    done = 6 if when == "before" else 3
    assert (summary.read, summary.acked, summary.lost) == (done, done, 0)
    assert left(database) == list(range(done + 1, 7))


@pytest.mark.direct("cuts the connection to the server")
def test_a_lost_answer_to_the_timer_is_looked_for_later(database: Database, client: Client) -> None:
    send(client, *keys(4))
    with running_proxy(database) as proxy:

        def work(messages: list[Message], conn: Any) -> None:
            if messages[0].msg_id == 2:
                proxy.cut_after(b"AS acked")
                wait_until(proxy.has_cut.is_set, "the answer is lost")
            if messages[0].msg_id == 3:
                # The timer leaves the group alone now; its next acks would not find what is acked already.
                wait_until(lambda: working._held.finished._again, "the timer knows")

        working = consumer(client_of(proxy.dsn), batch_size=4)
        summary = working.drain(work)
    assert (summary.acked, summary.lost) == (4, 0)
    assert left(database) == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit])
def test_an_interrupted_ack_is_made_at_the_end(
    client: Client, database: Database, kind: type[BaseException]
) -> None:
    send(client, *keys(20))
    locker = database.connect()
    locker.execute("LOCK TABLE pgmq.a_mail IN ACCESS EXCLUSIVE MODE")

    unlocking = threading.Timer(0.5, locker.rollback)

    def interrupt(*_: Any) -> None:
        unlocking.start()
        raise kind

    def work(messages: list[Message], conn: Any) -> None:
        if messages[0].msg_id == 10:
            # The ack comes with the next read, which waits for the lock.
            signal.setitimer(signal.ITIMER_REAL, 0.5)

    before = signal.signal(signal.SIGALRM, interrupt)
    working = consumer(client, batch_size=10)
    try:
        with pytest.raises(kind):
            working.drain(work)
    finally:
        signal.signal(signal.SIGALRM, before)
        unlocking.join()
        locker.close()
    assert (working.summary.acked, working.summary.released) == (10, 0)
    assert left(database) == list(range(11, 21))


def test_an_ack_that_waits_stops_no_heartbeat(client: Client, database: Database) -> None:
    send(client, "a", "b")
    locker = database.connect()

    def vt() -> datetime:
        found: datetime = queued(database)[-1]["vt"]
        return found

    def work(messages: list[Message], conn: Any) -> None:
        if messages[0].msg_id == 1:
            locker.execute("LOCK TABLE pgmq.a_mail IN ACCESS EXCLUSIVE MODE")
            return
        first = vt()
        wait_until(lambda: vt() > first, "it is renewed, though the ack of the other waits")
        locker.rollback()

    summary = consumer(client, batch_size=2, visibility_timeout=2).drain(work)
    locker.close()
    assert summary.acked == 2


def test_a_block_may_end_in_another_thread(client: Client, database: Database) -> None:
    send(client, "a")
    block = consumer(client).batch()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        assert len(one.submit(block.__enter__).result(60)) == 1
        other.submit(block.__exit__, None, None, None).result(60)
    assert left(database) == []


def test_after_its_end_the_timer_calls_no_more() -> None:
    finished = Finished(lambda messages: None)
    finished.begin()
    finished.end()
    finished._on_time()
    assert finished not in TIMER._calls


def test_a_refused_ack_leaves_the_others_alone(client: Client, database: Database) -> None:
    send(client, *keys(4))
    execute(database, "ALTER TABLE pgmq.a_mail ADD CHECK (msg_id <> 2)")
    working = consumer(client, batch_size=4)
    with pytest.raises(Exception, match="check constraint"):
        working.drain(lambda messages, conn: None)
    assert working.summary.acked == 3
    assert left(database) == [2]


def test_a_role_that_may_not_ack_is_told_so(client: Client, database: Database) -> None:
    send(client, *keys(4))
    execute(database, "CREATE ROLE reader_of_groups LOGIN")
    try:
        execute(database, "GRANT USAGE ON SCHEMA pgmq TO reader_of_groups")
        execute(database, "GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA pgmq TO reader_of_groups")
        reader = client_of(f"{database.dsn} user=reader_of_groups")
        working = consumer(reader, batch_size=4, max_reads=None)
        with pytest.raises(PermissionDenied):
            working.drain(lambda messages, conn: None)
        reader.close()
        assert working.summary.acked == 0
        assert len(left(database)) == 4
    finally:
        drop_role(database, "reader_of_groups")


def test_a_batch_grows_while_its_work_is_short(client: Client) -> None:
    send(client, *keys(300))
    working = consumer(client, adapts_batch_size=True)
    assert working.drain(lambda messages, conn: None).acked == 300
    # 1, 4, 16, 64, then 100 at a time.
    assert working.summary.batches < 10


# Reading ahead.


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_the_next_batch_is_read_during_the_work(
    client: Client, database: Database, together: bool, transactional: bool
) -> None:
    send(client, *keys(6))
    seen: list[int] = []

    def in_flight() -> int:
        return len([row for row in queued(database) if row["read_ct"] == 1])

    def work(messages: list[Message], conn: Any) -> None:
        if not seen:
            wait_until(lambda: in_flight() == 4, "the next two are read")
        seen.extend(message.msg_id for message in messages)

    working = consumer(client, together=together, batch_size=2, read_ahead=True, transactional=transactional)
    assert working.drain(work).acked == 6
    assert seen == [1, 2, 3, 4, 5, 6]
    assert left(database) == []


def test_only_what_nobody_has_read_is_read_ahead(client: Client, database: Database) -> None:
    send(client, *keys(4))
    execute(database, "UPDATE pgmq.q_mail SET read_ct = 1 WHERE msg_id = 3")
    seen: list[list[int]] = []
    working = consumer(client, together=True, batch_size=2, read_ahead=True)
    assert working.drain(lambda messages, conn: seen.append([m.msg_id for m in messages])).acked == 4
    # The one that was read before comes alone, by a read of its own.
    assert seen == [[1, 2], [4], [3]]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_was_read_ahead_is_given_back_untried(
    client: Client, database: Database, error: type[BaseException]
) -> None:
    send(client, *keys(4))

    def work(messages: list[Message], conn: Any) -> None:
        wait_until(lambda: all(row["read_ct"] == 1 for row in queued(database)), "all are read")
        raise error

    working = consumer(client, together=True, batch_size=2, read_ahead=True, stop_on=(ZeroDivisionError,))
    with pytest.raises(error):
        working.drain(work)
    assert (working.summary.read, working.summary.released) == (4, 4)
    assert [(row["headers"] or {}).get("untried") for row in queued(database)] == [None, None, 1, 1]
    visible = execute(database, "SELECT count(*) AS n FROM pgmq.q_mail WHERE vt <= clock_timestamp()")
    assert visible[0]["n"] == 4


def test_a_limit_of_reads_is_kept(client: Client, database: Database) -> None:
    send(client, *keys(6))
    working = consumer(client, together=True, batch_size=2, read_ahead=True, max_batches=2)
    assert working.drain(lambda messages, conn: None).acked == 4
    assert [row["read_ct"] for row in queued(database)] == [0, 0]
