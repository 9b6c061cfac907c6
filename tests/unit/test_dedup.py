"""Dedup keys of one call: which message of each is sent, and what each result says."""

from __future__ import annotations

import pytest

from airflow_pgmq.core import dedup
from airflow_pgmq.core.dedup import Claim, results
from tests.unit.support import utc

NOON = utc("2026-06-01 12:00")


def test_of_equal_keys_the_first_or_the_last_message_counts():
    keys = ["b", "a", "b", "c", "a", "b"]
    assert dedup.first_of_each(keys) == {"b": 0, "a": 1, "c": 3}
    assert dedup.last_of_each(keys) == {"b": 5, "a": 4, "c": 3}


@pytest.mark.parametrize("choose", [dedup.first_of_each, dedup.last_of_each])
def test_chosen_keys_are_in_the_order_of_their_first_message(choose):
    assert list(choose(["b", "a", "b", "c", "a"])) == ["b", "a", "c"]
    assert choose([]) == {}


FREE: dict[str, Claim] = {"a": ("sent", 7, NOON)}
TAKEN: dict[str, Claim] = {"a": ("duplicate", 7, NOON)}


@pytest.mark.parametrize(
    ("answers", "replaced", "on_duplicate", "expected"),
    [
        (FREE, set(), "skip", ["sent", "duplicate"]),
        (TAKEN, set(), "skip", ["duplicate", "duplicate"]),
        (FREE, set(), "replace", ["sent", "replaced"]),
        (TAKEN, {"a"}, "replace", ["replaced", "replaced"]),
        (TAKEN, set(), "replace", ["duplicate", "duplicate"]),
    ],
)
def test_a_key_that_is_twice_in_one_call(answers, replaced, on_duplicate, expected):
    found = results(["a", "a"], answers, replaced, on_duplicate)
    assert [each.status for each in found] == expected
    assert {each.msg_id for each in found} == {7}


def test_results_are_in_the_order_of_the_keys():
    answers: dict[str, Claim] = {"a": ("sent", 2, NOON), "b": ("duplicate", 1, NOON)}
    found = results(["b", "a"], answers, set(), "skip")
    assert [(each.dedup_key, each.status, each.first_sent_at) for each in found] == [
        ("b", "duplicate", NOON),
        ("a", "sent", None),
    ]
