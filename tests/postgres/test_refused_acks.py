"""An index, check, trigger or policy refuses a message's ack: nothing else is undone or waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.outcomes import Outcome
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import consuming, reading
from airflow_pgmq.errors import ArchiveRefused, FeatureMissing, PermissionDenied
from airflow_pgmq.services.consuming import Consumer, refused_outcomes
from tests.fixtures.factories import QUEUE, client_of, execute, queued, read, send
from tests.fixtures.postgres import Database
from tests.fixtures.roles import drop_role

REFUSE = (
    "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN IF NEW.message = '\"same\"' THEN RAISE 'not this one'; END IF; RETURN NEW; END $$;"
)
#: Each refuses a message \"same\" in the archive if there is one already.
OBSTACLES = {
    "a unique index": "CREATE UNIQUE INDEX theirs ON pgmq.a_mail (message)",
    "a check": "ALTER TABLE pgmq.a_mail ADD CHECK (message <> '\"same\"') NOT VALID",
    "a trigger": REFUSE
    + "CREATE TRIGGER t BEFORE INSERT ON pgmq.a_mail FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    "a deferred trigger": REFUSE + "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON pgmq.a_mail "
    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.refuse()",
}
EXPIRE = (
    'UPDATE pgmq.q_mail SET headers = \'{"expires_at": "2020-01-01T00:00:00Z"}\' WHERE msg_id < %(below)s'
)
#: Why a drain ends where one of these refused something.
REFUSED = (ArchiveRefused, psycopg.Error)


@pytest.fixture
def refusing(client: Client, database: Database, request: pytest.FixtureRequest) -> Client:
    """The second message cannot be archived, those behind it can."""
    send(client, "a", "b", "c", "d", messages=["same", "same", "c", "d"])
    client.run(lambda: reading.archive(QUEUE, [1]))
    execute(database, OBSTACLES[getattr(request, "param", "a unique index")])
    return client


def consumer(client: Client, **fields: Any) -> Consumer:
    return Consumer(client, Policy(queue_name=QUEUE, **fields), together=fields.get("batch_size", 1) > 1)


def left(database: Database) -> list[tuple[int, int]]:
    """Which messages are in the queue, and how often each was tried."""
    return [
        (row["msg_id"], row["read_ct"] - (row["headers"].get("untried") or 0)) for row in queued(database)
    ]


def waits(database: Database) -> float:
    """For how many seconds the first message is invisible."""
    return execute(
        database,
        "SELECT extract(epoch FROM vt - clock_timestamp())::float AS seconds FROM pgmq.q_mail"
        " ORDER BY msg_id LIMIT 1",
    )[0]["seconds"]


@pytest.mark.parametrize("batch_size", [1, 10])
@pytest.mark.parametrize(
    ("refusing", "transactional"),
    # What is refused at COMMIT may be the work's own, so there it is a failure.
    [*((each, False) for each in OBSTACLES), *((each, True) for each in [*OBSTACLES][:3])],
    indirect=["refusing"],
)
def test_what_is_behind_it_is_done_once(
    refusing: Client, database: Database, batch_size: int, transactional: bool
) -> None:
    done: list[int] = []
    one = consumer(refusing, batch_size=batch_size, transactional=transactional)
    with pytest.raises(REFUSED):
        one.drain(lambda messages, conn: done.extend(each.msg_id for each in messages))

    assert done.count(3) == done.count(4) == (2 if batch_size > 1 and transactional else 1)
    # Its read was given back.
    assert left(database) == [(2, 0)]
    assert waits(database) > 0
    assert (one.summary.acked, one.summary.released, one.summary.failed) == (2, 1, 0)


POLICIES = (
    "ALTER TABLE pgmq.a_mail ENABLE ROW LEVEL SECURITY; ALTER TABLE pgmq.a_mail FORCE ROW LEVEL SECURITY;"
    "CREATE POLICY r ON pgmq.a_mail FOR SELECT USING (true);"
    "CREATE POLICY w ON pgmq.a_mail FOR INSERT WITH CHECK (message <> '\"same\"')"
)


@pytest.fixture
def worker(client: Client, database: Database) -> Iterator[Client]:
    """It may consume, and nothing with the dead letter queue."""
    role = f"worker_{database.name}"
    execute(
        database,
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA pgmq TO {role};"
        f" GRANT SELECT ON pgmq.meta TO {role}; GRANT SELECT, INSERT ON pgmq.a_mail TO {role};"
        f" GRANT SELECT, UPDATE, DELETE ON pgmq.q_mail TO {role}",
    )
    yield client_of(database.dsn, user=role)
    drop_role(database, role)


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("batch_size", [1, 10])
def test_a_policy_refuses_a_row_and_no_other(
    client: Client, database: Database, worker: Client, batch_size: int, transactional: bool
) -> None:
    execute(database, "SELECT pgmq.create('mail_dlq')")
    execute(database, POLICIES)
    send(client, "a", "b", "c", messages=["same", "b", "c"])
    with pytest.raises(PermissionDenied, match="policy"):
        consumer(worker, batch_size=batch_size, transactional=transactional).drain(
            lambda messages, conn: None
        )
    assert left(database) == [(1, 0)]
    assert waits(database) > 0


def test_messages_over_max_reads_that_may_not_be_moved_hold_up_no_other(
    client: Client, database: Database, worker: Client
) -> None:
    send(client, "a", "b")
    execute(database, "UPDATE pgmq.q_mail SET read_ct = 5 WHERE msg_id = 1; SELECT pgmq.create('mail_dlq')")
    with pytest.raises(PermissionDenied, match="mail_dlq"):
        consumer(worker).drain(lambda messages, conn: None)
    assert [row["msg_id"] for row in queued(database)] == [1]
    assert waits(database) > 0


@pytest.mark.parametrize("there", [False, True])
def test_acks_stay_where_a_dead_letter_may_not_be_written(
    client: Client, database: Database, worker: Client, there: bool
) -> None:
    if there:
        execute(database, "SELECT pgmq.create('mail_dlq')")
    send(client, "a", "b", "c")
    with pytest.raises(PermissionDenied):
        consumer(worker, batch_size=10, max_reads=None).drain(
            lambda messages, conn: {1: Outcome.dead("bad"), 2: Outcome.ack(), 3: Outcome.ack()}
        )
    assert left(database) == [(1, 0)]


def test_a_block_is_not_affected_by_messages_that_it_never_had(client: Client, database: Database) -> None:
    """Beside its message there was an expired one that the archive refuses; then there is only that."""
    send(client, "a", "b", messages=["same", "b"])
    execute(database, "ALTER TABLE pgmq.a_mail ADD CHECK (message <> '\"same\"')")
    execute(
        database,
        'UPDATE pgmq.q_mail SET headers = \'{"expires_at": "2020-01-01T00:00:00Z"}\' WHERE msg_id = 1',
    )
    for expected in ([2], []):
        with consumer(client, batch_size=10, backoff=0).batch() as messages:
            assert [each.msg_id for each in messages] == expected
    assert left(database) == [(1, 0)]


def test_what_cannot_even_be_given_back_undoes_no_acks(refusing: Client, database: Database) -> None:
    execute(
        database,
        REFUSE + "CREATE TRIGGER t BEFORE UPDATE OF vt, headers ON pgmq.q_mail FOR EACH ROW"
        " WHEN (NEW.headers ? 'untried') EXECUTE FUNCTION public.refuse()",
    )
    with pytest.raises(REFUSED):
        consumer(refusing, batch_size=10).drain(lambda messages, conn: None)
    assert [row["msg_id"] for row in queued(database)] == [2]


def test_a_failed_message_whose_dead_letter_is_refused_was_tried(client: Client, database: Database) -> None:
    send(client, "a", messages=["same"])
    execute(database, "SELECT pgmq.create('mail_dlq')")
    execute(database, "ALTER TABLE pgmq.q_mail_dlq ADD CHECK (message <> '\"same\"')")
    done: list[int] = []

    def fail(messages: list[Any], conn: Any) -> None:
        done.extend(each.msg_id for each in messages)
        raise ValueError

    for _ in range(4):
        with suppress(psycopg.errors.CheckViolation):
            consumer(client, max_reads=2).drain(fail)
        execute(database, "UPDATE pgmq.q_mail SET vt = now()")
    # From then on it is over max_reads.
    assert done == [1, 1]


def test_it_comes_back_later_each_time(refusing: Client, database: Database) -> None:
    longest = []
    for _ in range(4):
        with pytest.raises(ArchiveRefused):
            consumer(refusing).drain(lambda messages, conn: None)
        longest.append(waits(database))
        execute(database, "UPDATE pgmq.q_mail SET vt = now()")
    assert longest[3] > 2 * longest[0]


@pytest.mark.parametrize("transactional", [False, True])
def test_a_drain_ends_where_everything_is_refused(
    client: Client, database: Database, transactional: bool
) -> None:
    send(client, *"abcdef", messages=["same"] * 6)
    execute(database, "ALTER TABLE pgmq.a_mail ADD CHECK (message <> '\"same\"')")
    done: list[int] = []
    with pytest.raises(psycopg.errors.CheckViolation):
        consumer(client, transactional=transactional).drain(
            lambda messages, conn: done.append(messages[0].msg_id)
        )
    assert done == [*range(1, refused_outcomes.IN_A_ROW + 1)]
    assert left(database) == [(n, 0) for n in range(1, 7)]


def test_refused_expired_messages_hold_up_no_other(refusing: Client, database: Database) -> None:
    execute(database, EXPIRE, {"below": 4})
    one = consumer(refusing, batch_size=10)
    with pytest.raises(ArchiveRefused):
        one.drain(lambda messages, conn: None)
    assert left(database) == [(2, 0)]
    assert (one.summary.expired, one.summary.acked) == (1, 1)
    assert waits(database) > 0


def test_refused_messages_over_max_reads_hold_up_no_other(client: Client, database: Database) -> None:
    send(client, "a", "b", messages=["same", "b"])
    execute(database, "UPDATE pgmq.q_mail SET read_ct = 5 WHERE msg_id = 1; SELECT pgmq.create('mail_dlq')")
    execute(database, "ALTER TABLE pgmq.q_mail_dlq ADD CHECK (message <> '\"same\"')")
    one = consumer(client)
    with pytest.raises(psycopg.errors.CheckViolation):
        one.drain(lambda messages, conn: None)
    assert one.summary.acked == 1
    assert [row["msg_id"] for row in queued(database)] == [1]


def test_a_dead_letter_that_is_refused_holds_up_no_other(client: Client, database: Database) -> None:
    send(client, "a", "b", "c", messages=["same", "same", "other"])
    client.run(lambda: consuming.prepare(Policy(queue_name=QUEUE)))
    execute(database, "CREATE UNIQUE INDEX theirs ON pgmq.q_mail_dlq (message)")
    with pytest.raises(psycopg.errors.UniqueViolation, match="theirs"):
        consumer(client, batch_size=10).drain(
            lambda messages, conn: {each.msg_id: Outcome.dead("bad") for each in messages}
        )
    assert [row["message"] for row in queued(database, "mail_dlq")] == ["same", "other"]
    assert left(database) == [(2, 0)]


@pytest.mark.parametrize("callers", [False, True])
def test_a_block_is_told_and_loses_no_try(refusing: Client, database: Database, callers: bool) -> None:
    block = consumer(refusing, batch_size=10)
    with database.connect() as conn, pytest.raises(REFUSED), block.batch(conn if callers else None):
        pass
    assert left(database) == ([(2, 0), (3, 0), (4, 0)] if callers else [(2, 0)])
    assert waits(database) > 0


@pytest.mark.parametrize("transactional", [False, True])
def test_without_an_archive_nothing_is_moved_to_the_dead_letters(
    client: Client, database: Database, transactional: bool
) -> None:
    send(client, "a", "b")
    execute(database, "DROP TABLE pgmq.a_mail")
    for _ in range(3):
        with pytest.raises(FeatureMissing, match="has no archive"):
            consumer(client, batch_size=2, transactional=transactional, max_reads=2).drain(
                lambda messages, conn: None
            )
    assert left(database) == [(1, 0), (2, 0)]


@pytest.mark.slow
def test_those_beside_it_stay_ours_until_they_are_settled(refusing: Client, database: Database) -> None:
    """One by one takes longer than the visibility timeout, and another reader reads meanwhile."""
    execute(
        database,
        "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.7); RETURN NEW; END $$;"
        "CREATE TRIGGER slow AFTER INSERT ON pgmq.a_mail FOR EACH ROW EXECUTE FUNCTION public.slow()",
    )
    send(refusing, *"efgh")
    over = threading.Event()
    stolen: list[int] = []

    def steal() -> None:
        while not over.wait(0.1):
            stolen.extend(each.msg_id for each in read(client_of(database.dsn)))

    thief = threading.Thread(target=steal)

    def work(messages: list[Any], conn: Any) -> None:
        thief.start()

    one = consumer(refusing, batch_size=10, visibility_timeout=2)
    try:
        with suppress(ArchiveRefused):
            one.drain(work)
    finally:
        over.set()
        thief.join()
    assert (one.summary.acked, one.summary.lost) == (6, 0)
    assert set(stolen) <= {2}
