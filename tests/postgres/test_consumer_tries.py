"""Reads are not failures: only a try that failed, or whose worker died, counts."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from airflow_pgmq.core.consumer_policy import Policy, Summary
from airflow_pgmq.core.delays import AT_ONCE, ParsedDelay
from airflow_pgmq.db.client import Client, drive
from airflow_pgmq.db.statements import consuming
from airflow_pgmq.errors import InvalidOutcome, MessageLost, PermissionDenied, TransactionEnded
from airflow_pgmq.messages import Message
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, execute, queued, read, send
from tests.fixtures.postgres import Database


class Skip(Exception):
    pass


class Stop(Exception):
    pass


def drain(client: Client, work: Any, *, together: bool = False, **fields: Any) -> Summary:
    policy = Policy(**{"queue_name": QUEUE, **fields})
    return Consumer(client, policy, together=together, stop_on=(Stop,), skip_on=(Skip,)).drain(work)


def raises(exception: BaseException) -> Any:
    def work(messages: list[Message], conn: Any) -> None:
        raise exception

    return work


def give_back(client: Client, *, untried: bool = True, delay: float = 0) -> list[Message]:
    messages = read(client)
    flags = [untried] * len(messages)
    client.run(lambda: consuming.release_each(QUEUE, messages, [ParsedDelay(delay)] * len(messages), flags))
    return messages


def reads_and_untried(database: Database) -> list[tuple[int, Any]]:
    """How often each was read, and how often given back untried."""
    return [(row["read_ct"], (row["headers"] or {}).get("untried")) for row in queued(database)]


@pytest.mark.parametrize("transactional", [False, True])
def test_a_task_that_skips_burns_no_read(client: Client, database: Database, transactional: bool) -> None:
    send(client, "a", "b")
    for _ in range(7):
        with pytest.raises(Skip):
            drain(client, raises(Skip()), batch_size=2, max_reads=2, transactional=transactional)
    assert reads_and_untried(database) == [(7, 7), (7, 7)]
    seen: list[Any] = []
    drain(client, lambda messages, conn: seen.append(len(messages)), together=True, batch_size=2, max_reads=2)
    # Nobody tried them, so they need not come alone.
    assert seen == [2]


def test_a_message_that_ends_the_drain_has_been_tried_and_those_behind_it_have_not(
    client: Client, database: Database
) -> None:
    send(client, *"abc")
    with pytest.raises(Stop):
        drain(client, raises(Stop()), batch_size=3)
    assert reads_and_untried(database) == [(1, None), (1, 1), (1, 1)]


@pytest.mark.parametrize("death", [KeyboardInterrupt(), SystemExit()])
def test_who_dies_in_a_try_has_tried(client: Client, database: Database, death: BaseException) -> None:
    send(client, *"ab")
    with pytest.raises(type(death)):
        drain(client, raises(death), batch_size=2)
    assert reads_and_untried(database) == [(1, None), (1, 1)]


def test_what_failures_in_a_row_give_back_is_untried(client: Client, database: Database) -> None:
    send(client, *"abcd")
    for _ in range(4):
        drain(
            client,
            raises(ConnectionError()),
            together=True,
            batch_size=4,
            stop_after_failures=1,
            max_reads=2,
            backoff=3600,
        )
    # Each was tried once, the last one at its fourth read, and none is a dead letter.
    assert reads_and_untried(database) == [(1, None), (2, 1), (3, 2), (4, 3)]


@pytest.mark.parametrize("how", ["no outcome", "COMMIT", "ROLLBACK"])
def test_what_the_function_did_wrong_is_a_failure_and_holds_nobody_up(
    client: Client, database: Database, how: str
) -> None:
    send(client, "bad", "good")

    def work(messages: list[Message], conn: Any) -> Any:
        if messages[0].message == "good":
            return None
        return "done" if how == "no outcome" else conn.execute(how) and None

    for _ in range(2):
        execute(database, "UPDATE pgmq.q_mail SET vt = now()")
        with pytest.raises((InvalidOutcome, TransactionEnded)):
            drain(client, work, max_reads=2, transactional=True)
        # What is behind it is next.
        drain(client, work, transactional=True)
    assert queued(database) == []
    assert [row["message"] for row in queued(database, "mail_dlq")] == ["bad"]


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("exception", [PermissionDenied("other"), MessageLost("other", [1, 999])])
def test_the_works_own_errors_are_failures_like_any(
    client: Client, database: Database, transactional: bool, exception: Exception
) -> None:
    send(client, "bad", "good")

    def work(messages: list[Message], conn: Any) -> None:
        if messages[0].message == "bad":
            raise exception

    summary = drain(client, work, max_reads=2, backoff=0, transactional=transactional)
    assert (summary.retried, summary.dead, summary.acked, summary.lost) == (1, 1, 1, 0)


def test_an_ack_that_is_not_allowed_is_no_failure_of_the_work(client: Client, database: Database) -> None:
    send(client, "a")
    execute(
        database,
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'no' USING ERRCODE = 'insufficient_privilege'; END $$",
    )
    execute(
        database,
        "CREATE TRIGGER refuse BEFORE INSERT ON pgmq.a_mail FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    )
    for transactional in (False, True):
        with pytest.raises(PermissionDenied):
            drain(client, lambda messages, conn: None, transactional=transactional)
    with database.connect() as conn:
        block = Consumer(client, Policy(queue_name=QUEUE), together=True).batch(conn)
        block.__enter__()
        with pytest.raises(PermissionDenied):
            block.__exit__(None, None, None)
        conn.rollback()
    assert reads_and_untried(database) == [(3, 3)]


def test_what_was_not_lost_beside_a_lost_one_is_untried(client: Client, database: Database) -> None:
    send(client, "a", "b")

    def work(messages: list[Message], conn: Any) -> None:
        client.run(lambda: consuming.release_each(QUEUE, messages[:1], [AT_ONCE]))
        read(client)

    drain(client, work, together=True, batch_size=2, transactional=True, max_batches=1)
    assert reads_and_untried(database) == [(2, None), (1, 1)]


def test_back_off_and_the_last_try_count_tries(client: Client, database: Database) -> None:
    send(client, "a")
    for _ in range(9):
        give_back(client)
    summary = drain(client, raises(ValueError()), max_reads=2, backoff=0)
    assert (summary.retried, summary.dead) == (1, 1)
    (dead,) = queued(database, "mail_dlq")
    assert "untried" not in dead["headers"]
    letter = dead["headers"]["dead_letter"]
    assert (letter["read_ct"], letter["tries"]) == (11, 2)


def test_a_try_that_died_counts_after_others_gave_it_back(client: Client, database: Database) -> None:
    send(client, "a", "b")
    give_back(client)
    give_back(client, untried=False)
    sizes: list[int] = []
    drain(client, lambda messages, conn: sizes.append(len(messages)), together=True, batch_size=2)
    assert sizes == [1, 1]


@pytest.mark.parametrize("headers", [None, "null", "{}", '{"a": 1}'])
def test_headers_are_kept_and_made_where_there_are_none(
    client: Client, database: Database, headers: Any
) -> None:
    execute(database, "INSERT INTO pgmq.q_mail (vt, message, headers) VALUES (now(), '1', %s)", [headers])
    give_back(client)
    (row,) = queued(database)
    assert row["headers"] == {**(json.loads(headers or "{}") or {}), "untried": 1}


@pytest.mark.parametrize("carry", [list, lambda messages: [message.as_dict() for message in messages]])
def test_a_read_that_is_given_back_twice_counts_once(client: Client, database: Database, carry: Any) -> None:
    send(client, "a")
    give_back(client, untried=False)
    for untried in (1, 2):
        held = carry(read(client))
        for _ in range(3):
            assert client.run(lambda held=held: consuming.release_each(QUEUE, held, [AT_ONCE], [True])) == [1]
        assert reads_and_untried(database) == [(untried + 1, untried)]
    # For a bare id it is unknown which read is meant.
    client.run(lambda: consuming.release_each(QUEUE, [1], [AT_ONCE], [True]))
    assert reads_and_untried(database) == [(3, 3)]


def test_headers_that_cannot_have_a_number_are_left_as_they_are(client: Client, database: Database) -> None:
    execute(database, "INSERT INTO pgmq.q_mail (vt, message, headers) VALUES (now(), '1', '[1]')")
    give_back(client)
    assert queued(database)[0]["headers"] == [1]


NUMBERS = st.integers(-2, 12) | st.sampled_from([0.5, 1.5, 1e300, True, None, "1", [], {}])


@pytest.fixture
def conn(client: Client, database: Database) -> Any:
    with database.connect() as conn:
        yield conn


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NUMBERS, st.integers(0, 9), st.booleans())
def test_sql_and_python_count_the_same_and_believe_no_number_that_cannot_be(
    conn: psycopg.Connection[Any], forged: Any, reads: int, untried: bool
) -> None:
    # A number that fits only after the read is believed by the time that it is given back.
    assume(isinstance(forged, (str, list, dict)) or not reads < (forged or 0) <= reads + 1)
    with conn.transaction(force_rollback=True):
        conn.execute(
            "INSERT INTO pgmq.q_mail (vt, message, headers, read_ct)"
            " VALUES (now(), '1', %s, %s), (now(), '2', '{}', 0)",
            [json.dumps({"untried": forged}), reads],
        )
        policy = Policy(queue_name=QUEUE, batch_size=2)
        first, *rest = drive(consuming.read(policy), conn)
        # A message that was tried comes alone.
        assert bool(rest) is (first.tries == 1)
        assert 1 <= first.tries <= first.read_ct == reads + 1
        drive(consuming.release_each(QUEUE, [first], [AT_ONCE], [untried]), conn)
        (again, *_) = drive(consuming.read(policy), conn)
        assert again.tries == first.tries + (not untried)
