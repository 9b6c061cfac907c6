"""What is due of one job, and how jobs are divided among statements."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial
from math import inf

import pytest

from airflow_pgmq.core.due_messages import DueMessages, due_messages, in_parts
from airflow_pgmq.core.slot_messages import outgoing
from airflow_pgmq.core.slots import Window
from airflow_pgmq.errors import InvalidMessage
from tests.fixtures.factories import job

NOON = datetime(2027, 6, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
WINDOW = Window(now=NOON, horizon=NOON + 3 * HOUR, grace=HOUR)
message = partial(outgoing, namespace="shop", source=None)


def row(**fields):
    return {"watermark": NOON, "next_slot": None, "to_resend": [], "skipped": [], **fields}


def fails_at(hour, error):
    def make(job, slot):
        if slot == NOON + hour * HOUR:
            raise error
        return message(job, slot)

    return make


def test_slots_become_messages_and_the_job_continues_after_them():
    due = due_messages(job(), row(), WINDOW, message, is_busy=False)

    assert [item.slot for item in due.items] == [NOON + n * HOUR for n in (1, 2, 3)]
    assert due.state == {
        "name": "job",
        "watermark": WINDOW.horizon,
        "next_slot": NOON + 4 * HOUR,
        "last_slot": WINDOW.horizon,
    }
    assert (due.dropped, due.computed, due.failed) == (0, 3, [])


def test_a_job_that_must_not_overlap_leaves_its_slots_out():
    due = due_messages(job(), row(), WINDOW, message, is_busy=True)

    assert (due.items, due.dropped, due.state["last_slot"]) == ([], 3, None)
    assert due.state["watermark"] == WINDOW.horizon


@pytest.mark.parametrize(
    ("error", "why"),
    [(InvalidMessage("No."), "No."), (ValueError("odd"), "its message cannot be made: ValueError: odd")],
)
def test_a_message_that_cannot_be_made_stops_its_job_at_that_slot(error, why):
    again = NOON - 2 * HOUR
    due = due_messages(job(), row(to_resend=[again]), WINDOW, fails_at(2, error), is_busy=False)

    assert [item.slot for item in due.items] == [again, NOON + HOUR]
    assert due.failed == [why]
    assert due.state["watermark"] == NOON + 2 * HOUR - MICROSECOND
    assert due.state["next_slot"] == NOON + 2 * HOUR
    assert due.resent == [again]


def test_a_slot_to_be_sent_again_that_fails_moves_nothing():
    again = NOON - HOUR
    due = due_messages(job(), row(to_resend=[again]), WINDOW, fails_at(-1, ValueError()), is_busy=False)

    assert (due.items, due.resent) == ([], [])
    assert (due.state["watermark"], due.state["next_slot"]) == (NOON, None)


def test_slots_that_cannot_be_computed_leave_the_job_where_it_was():
    due = due_messages(job(), row(watermark=None), WINDOW, message, is_busy=False)

    assert (due.items, due.state) == ([], None)
    assert due.failed[0].startswith("its slots cannot be computed: TypeError")


def parts(*computed, size=2, most_sent=inf, most_computed=inf):
    items = [[message(job(), NOON)] * min(count, 2) for count in computed]
    jobs = (DueMessages(str(n), items[n], computed=count) for n, count in enumerate(computed))
    found = in_parts(jobs, size, most_sent=most_sent, most_computed=most_computed)
    return [("".join(each.name for each in part), is_last) for part, is_last in found]


@pytest.mark.parametrize(
    ("computed", "limits", "expected"),
    [
        ([], {}, []),
        ([1], {}, [("0", True)]),
        ([1, 1, 1], {}, [("01", False), ("2", True)]),
        ([1, 1, 1, 1], {}, [("01", False), ("23", False)]),
        ([1, 1, 1, 1], {"most_sent": 3}, [("01", False), ("2", True)]),
        ([1, 1, 1, 1], {"most_sent": 2}, [("01", True)]),
        ([0, 9, 9, 1], {"most_computed": 18}, [("01", False), ("2", True)]),
        ([0, 0, 0], {"most_sent": 1, "most_computed": 1}, [("01", False), ("2", True)]),
    ],
)
def test_parts(computed, limits, expected):
    assert parts(*computed, **limits) == expected
