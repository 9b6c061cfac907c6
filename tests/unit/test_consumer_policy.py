"""Outcomes, back-off, calls and composed SQL: what a consumer decides without a database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core import user_sql
from airflow_pgmq.core.consumer_policy import Policy, Summary, backoff
from airflow_pgmq.core.messages import Message, fences
from airflow_pgmq.core.outcomes import Outcome, decide, for_log, reason
from airflow_pgmq.core.signature import Signature
from airflow_pgmq.errors import InvalidArgument, InvalidOutcome, InvalidQuery
from tests.unit.support import utc

NOON = utc("2026-06-01 12:00")


def message(msg_id: int = 1, read_ct: int = 1, **headers: Any) -> Message:
    return Message(msg_id, read_ct, NOON, NOON, None, headers)


MESSAGES = [message(1), message(2)]
ACK, RETRY, DEAD = Outcome.ack(), Outcome.retry(), Outcome("dead")


@pytest.mark.parametrize(
    ("returned", "outcomes"),
    [
        (None, [ACK, ACK]),
        ("ack", [ACK, ACK]),
        (RETRY, [RETRY, RETRY]),
        ([None, "retry"], [ACK, RETRY]),
        ((Outcome.retry(3), "dead"), [Outcome("retry", delay=3), DEAD]),
        ({2: "dead"}, [ACK, DEAD]),
        ({}, [ACK, ACK]),
    ],
    ids=str,
)
def test_what_a_function_returns_decides_each_message(returned: Any, outcomes: list[Outcome]) -> None:
    assert decide(returned, MESSAGES) == list(zip(MESSAGES, outcomes, strict=True))


@pytest.mark.parametrize("wrong", [1, 0, True, False, "acked", ["ack"], [1, 2], {3: "ack"}, {1: 5}, object()])
def test_what_is_no_outcome_is_an_error_and_never_an_ack(wrong: Any) -> None:
    with pytest.raises(InvalidOutcome):
        decide(wrong, MESSAGES)


def test_a_delay_is_checked_where_it_is_written() -> None:
    with pytest.raises(InvalidArgument):
        Outcome.retry(-1)
    with pytest.raises(InvalidArgument):
        Outcome("retry", delay=-1)  # type: ignore[arg-type]


def test_a_reason_fits_jsonb() -> None:
    assert reason(ValueError("a\x00b\ud800")) == "ValueError: a�b?"
    assert len(reason(ValueError("x" * 9999))) == 2000


def test_only_an_exception_that_a_log_can_hold_is_logged() -> None:
    plain, half = ValueError("a\x00bü"), ValueError("\ud800")
    assert for_log(plain) is plain
    assert for_log(half) is None
    plain.__cause__ = half
    assert for_log(plain) is None


@given(st.integers(1, 2**62), st.integers(1, 2**31 - 1))
def test_back_off_doubles_up_to_its_maximum_and_is_spread_by_half(msg_id: int, read_ct: int) -> None:
    seconds = backoff(message(msg_id, read_ct), read_ct, 10, 3600)
    full = min(3600, 10 * 2 ** min(read_ct - 1, 20))
    assert full / 2 <= seconds <= full
    assert seconds == backoff(message(msg_id, read_ct), read_ct, 10, 3600)


def test_messages_that_failed_together_do_not_come_back_together() -> None:
    delays = {round(backoff(message(n), 1, 10, 3600), 3) for n in range(100)}
    assert len(delays) > 90


def test_reads_are_counted_to_the_limit() -> None:
    policy = Policy(queue_name="q", max_reads=3)
    assert [policy.is_last_read(message(read_ct=n)) for n in (2, 3, 4)] == [False, True, True]
    assert [policy.is_over_max_reads(message(read_ct=n)) for n in (3, 4)] == [False, True]
    unlimited = Policy(queue_name="q", max_reads=None)
    assert not unlimited.is_last_read(message(read_ct=9))
    assert not unlimited.is_over_max_reads(message(read_ct=9))


@pytest.mark.parametrize(
    ("counts", "fails"),
    [
        ({"acked": 2}, set()),
        ({}, set()),
        ({"acked": 1, "failed": 1, "retried": 1}, {"any"}),
        ({"failed": 1, "retried": 1}, {"any", "all"}),
        ({"acked": 1, "failed": 1, "dead": 1}, {"any", "dead"}),
        ({"dead": 1}, {"dead"}),
    ],
)
def test_what_fails_a_task(counts: dict[str, int], fails: set[str]) -> None:
    summary = Summary(**counts)
    assert {each for each in ("any", "dead", "all", "never") if summary.is_failure(each)} == fails  # type: ignore[arg-type]


def test_messages_of_xcom_are_fenced_like_messages() -> None:
    dumped = message(7, 3).as_dict()
    assert fences(dumped) == ([7], [3], [NOON])
    assert fences([dumped, message(8, 1), 9, {"msg_id": "10"}]) == (
        [7, 8, 9, 10],
        [3, 1, None, None],
        [NOON, NOON, None, None],
    )


@pytest.mark.parametrize("wrong", ["yesterday", "2026-06-01T12:00:00", NOON.replace(tzinfo=None), 5])
def test_a_fence_that_is_no_instant_is_an_error(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="enqueued_at"):
        fences({"msg_id": 1, "enqueued_at": wrong})


# Calls.


def test_a_function_gets_messages_by_name_and_the_authors_values_before_the_contexts() -> None:
    def work(message: Any, region: str, ds: Any = None, *, rate: float = 1.0) -> Any:
        return message, region, ds, rate

    signature = Signature.of(work, transactional=False)
    assert not signature.together
    assert list(signature.rest.parameters) == ["region", "ds", "rate"]
    call = signature.bind(["eu"], {"rate": 2}, {"ds": "today", "rate": 9, "other": 1})
    assert call(["m"], None) == ("m", "eu", "today", 2)


def test_a_function_with_kwargs_gets_the_whole_context() -> None:
    def work(messages: Any, conn: Any, **context: Any) -> Any:
        return messages, conn, context

    signature = Signature.of(work, transactional=True)
    assert signature.together
    assert signature.bind([], {"a": 1}, {"b": 2, "conn": "not this"})(["m"], "c") == (
        ["m"],
        "c",
        {"a": 1, "b": 2},
    )


def test_the_author_sees_a_function_without_what_we_put_in() -> None:
    def work(message: Any, region: str) -> str:
        return region

    seen = Signature.of(work, transactional=False).without_ours()
    assert seen.__name__ == "work"
    assert seen("m", region="eu") == "eu"  # type: ignore[call-arg]


# SQL.


@pytest.mark.parametrize(
    ("given_sql", "parameters", "prepared"),
    [
        ("SELECT 1", None, "SELECT 1\n"),
        ("SELECT 1 ; ;\n", None, "SELECT 1\n"),
        ("SELECT 1 -- end", None, "SELECT 1 -- end\n"),
        ("SELECT 5 % 2", None, "SELECT 5 %% 2\n"),
        ("SELECT %(a)s, 5 %% 2", {"a": 1}, "SELECT %(a)s, 5 %% 2\n"),
    ],
)
def test_sql_is_prepared_for_a_view(given_sql: str, parameters: Any, prepared: str) -> None:
    assert user_sql.prepare(given_sql, parameters) == prepared


@pytest.mark.parametrize(
    ("sql", "parameters"), [("", None), (1, None), ("SELECT 1", [1]), ("SELECT 1", {"pgmq_x": 1})]
)
def test_sql_that_cannot_be_put_in_is_refused(sql: Any, parameters: Any) -> None:
    with pytest.raises(InvalidQuery):
        user_sql.prepare(sql, parameters)
