"""What XComs and asset events carry of a message."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_pgmq.core import xcom
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.payload import loads
from airflow_pgmq.errors import InvalidMessage
from tests.unit.support import utc

NOON = utc("2026-05-04 12:00")


def message(content: Any = None, msg_id: int = 1, **headers: Any) -> Message:
    return Message(msg_id, 1, NOON, NOON + timedelta(seconds=60), content, headers)


def test_a_message_is_in_its_event_as_a_consumer_would_see_it():
    one = message({"a": 1}, job="j")
    assert xcom.in_event(one, 1000) == {**one.as_dict(), "by_reference": False}


def test_a_message_over_the_limit_is_in_its_event_by_reference():
    found = xcom.in_event(message("x" * 100, job="j"), 100)
    assert (found["msg_id"], found["message"], found["headers"], found["by_reference"]) == (1, None, {}, True)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, float("inf"), float("nan")])
@pytest.mark.parametrize("where", ["message", "headers"])
def test_numbers_that_do_not_pass_are_refused(number, where):
    wrong = message({"a": [number]}) if where == "message" else message(h=number)
    assert "number" in xcom.obstacle(wrong)
    with pytest.raises(InvalidMessage, match="number"):
        xcom.in_event(wrong, 1000)


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 1.5, True])
def test_other_numbers_pass(number):
    assert xcom.in_event(message({"a": [number]}), 1000)["message"] == {"a": [number]}


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_deep_nesting_is_refused(wrap):
    deep: Any = 1
    for _ in range(xcom.MAX_DEPTH - 1):
        deep = wrap(deep)
    assert xcom.in_event(message(deep), 10_000)["message"] == deep
    with pytest.raises(InvalidMessage, match="nested"):
        xcom.in_event(message(wrap(deep)), 10_000)


def test_what_python_cannot_load_is_refused_with_the_reason():
    wrong = message(loads("9" * 5000))
    assert "digits" in xcom.obstacle(wrong)
    assert wrong.as_dict()["message"] is None


def test_messages_are_handed_on_whole():
    messages = [message({"n": n}, n) for n in (1, 2)]
    carried = xcom.in_xcom(messages, 1000)
    assert carried == [{**each.as_dict(), "by_reference": False} for each in messages]


def test_beyond_the_limit_all_are_handed_on_by_reference():
    carried = xcom.in_xcom([message("x" * 900, 1), message("y", 2, job="j")], 1000)
    assert [(each["msg_id"], each["message"], each["headers"], each["by_reference"]) for each in carried] == [
        (1, None, {}, True),
        (2, None, {}, True),
    ]


def test_what_airflow_cannot_carry_is_handed_on_by_reference_and_the_rest_whole():
    carried = xcom.in_xcom([message(2**64, 1), message("y", 2), message(loads("[" * 99_999), 3)], 1000)
    assert [(each["msg_id"], each["message"], each["by_reference"]) for each in carried] == [
        (1, None, True),
        (2, "y", False),
        (3, None, True),
    ]
