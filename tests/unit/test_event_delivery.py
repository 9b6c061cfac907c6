"""What becomes of messages in asset events, by the marks of the watchers and Airflow's counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_pgmq.core.event_delivery import Delivery, Held, Pace, Quiet
from airflow_pgmq.core.messages import Message
from tests.unit.support import utc

NOON = utc("2026-05-04 12:00")


def message(content: Any = None, **headers: Any) -> Message:
    return Message(1, 1, NOON, NOON + timedelta(seconds=60), content, headers)


def verdict(
    *, offered: int = 0, taken: int = 0, refusal: str | None = None, unmatched: str = "release", **counts: int
) -> str:
    held = Held(message(), offered, taken, refusal)
    one = Delivery([held], counts.pop("finished", 1))
    counts = {"acked": 1, "failed": 0, "rejected": 0, **counts}
    return one.verdict(
        held, is_settled=one.is_settled(**counts), is_rejected=counts["rejected"] > 0, unmatched=unmatched
    )


def test_what_is_in_a_stored_event_is_archived():
    assert verdict(offered=1, taken=1) == "archive"
    assert verdict(offered=2, taken=2, acked=3, finished=3) == "archive"


@pytest.mark.parametrize(
    "counts",
    [
        {"failed": 1},
        {"acked": 0, "failed": 1},
        # The watcher was cancelled in the middle: Airflow reports it as accepted.
        {"finished": 0},
        {"acked": 2, "finished": 1},
        # There was no watcher.
        {"acked": 0, "finished": 0},
    ],
)
@pytest.mark.parametrize("unmatched", ["release", "archive", "dead_letter"])
@pytest.mark.parametrize("taken", [0, 1])
def test_what_is_not_settled_is_tried_again(counts, unmatched, taken):
    assert verdict(offered=taken, taken=taken, unmatched=unmatched, **counts) == "retry"


def test_an_event_that_was_offered_and_not_taken_is_no_event():
    assert verdict(offered=1, taken=0) == "retry"
    assert verdict(offered=2, taken=1, acked=2, finished=2) == "retry"


@pytest.mark.parametrize(
    ("unmatched", "expected"),
    [("release", "release"), ("archive", "archive"), ("dead_letter", "dead_letter")],
)
def test_what_nobody_wants_is_as_chosen(unmatched, expected):
    assert verdict(unmatched=unmatched, acked=2, finished=2) == expected


def test_one_refusal_outweighs_that_others_took_it():
    assert verdict(offered=1, taken=1, refusal="no") == "dead_letter"
    assert verdict(offered=1, taken=1, acked=1, rejected=1, finished=2) == "dead_letter"


def trails(pace: Pace, burst: int) -> list[bool]:
    """Whether an event is needed in the first silence after a burst, and in the second."""
    return [pace.needs_another(Quiet(burst=burst, is_last=is_last)) for is_last in (False, True)]


def test_two_more_events_follow_a_burst():
    pace = Pace(10)
    for second in (0, 1):
        pace.note(second)
    assert trails(pace, 2) == [True, True]
    assert trails(pace, 2) == [False, False]


def test_events_that_keep_their_distance_need_no_other():
    pace = Pace(10)
    for second in (0, 20, 40):
        pace.note(second)
        assert trails(pace, 1) == [False, False]


def test_an_event_soon_after_the_trailing_one_needs_another():
    pace = Pace(10)
    pace.note(0)
    pace.note(1)
    assert trails(pace, 2) == [True, True]
    pace.note(6, is_trailing=True)
    assert trails(pace, 0) == [False, False]
    pace.note(7)
    assert trails(pace, 1) == [True, True]


def test_a_watcher_that_came_in_the_middle_of_a_burst_assumes_the_worst():
    assert trails(Pace(10), 2) == [True, True]
    assert trails(Pace(10), 1) == [False, False]


def test_a_burst_is_over_when_nobody_trails_it():
    assert Quiet().is_the_end
    assert not Quiet(trailed=1).is_the_end
    assert Quiet(trailed=1, is_last=True).is_the_end
