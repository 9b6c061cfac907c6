"""When the doorbell rings, for a series of looks."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core.bell import LONGEST_PAUSE, Bell, Head, Held, Sight
from tests.unit.support import utc

NOON = utc("2026-05-04 12:00")
NOTHING = Sight(0)


def sight(visible: int, first: int = 1, *, read_ct: int = 0, held: int = 0, until: float = 0) -> Sight:
    return Sight(
        visible,
        head=Head(first, read_ct) if visible else None,
        held=Held(held, NOON + timedelta(seconds=until)) if held else None,
    )


def rings(bell: Bell, sights: dict[float, Sight]) -> list[float]:
    """The times of the rings."""
    return [now for now, seen in sights.items() if bell.rings(seen, now)]


def every(seconds: float, until: float, seen: Sight) -> dict[float, Sight]:
    return {number * seconds: seen for number in range(int(until / seconds) + 1)}


def test_the_first_visible_message_rings():
    bell = Bell(10, 1800)
    assert not bell.rings(NOTHING, 0)
    assert bell.rings(sight(1), 1)
    assert bell.is_outstanding


def test_an_hour_of_stopped_consumers_is_a_few_rings():
    assert rings(Bell(10, 1800), every(5, 3600, sight(24))) == [0, 10, 30, 70, 150, 310, 630, 1270, 2550]


def test_the_interval_grows_up_to_the_longest():
    assert rings(Bell(10, 40), every(5, 200, sight(24))) == [0, 10, 30, 70, 110, 150, 190]


def test_messages_in_flight_mean_silence():
    bell = Bell(3, 1800)
    assert rings(bell, {0: sight(24), **{now: sight(14, 11, held=10) for now in range(1, 1000)}}) == [0]
    # Given back: one interval after a reader was last seen.
    assert rings(bell, {now: sight(24, read_ct=1) for now in range(1000, 1010)}) == [1002, 1008]


def test_progress_means_silence():
    assert rings(Bell(3, 1800), {now: sight(50 - now, now) for now in range(50)}) == [0]


def test_progress_makes_the_interval_short_again():
    bell = Bell(10, 1800)
    assert rings(bell, every(5, 70, sight(24))) == [0, 10, 30, 70]
    assert rings(bell, {now: sight(20, 5) for now in range(75, 120, 5)}) == [85, 105]


def test_new_messages_are_no_progress():
    assert rings(Bell(10, 1800), {now: sight(now + 1) for now in range(31)}) == [0, 10, 30]


def test_a_message_that_comes_in_front_is_no_progress():
    first = {now: sight(3, first=30 - now) for now in range(31)}
    assert rings(Bell(10, 1800), first) == [0, 10, 30]


def test_a_look_that_sees_nothing_ends_the_ring():
    bell = Bell(10, 1800)
    assert rings(bell, {0: sight(1), 5: NOTHING}) == [0]
    assert not bell.is_outstanding
    assert bell.rings(sight(1, 2), 11)


def test_what_is_in_flight_when_nothing_is_visible_does_not_end_it():
    bell = Bell(10, 1800)
    assert rings(bell, {0: sight(1), 5: sight(0, held=1), 6: sight(1, 2, held=1), 12: sight(0, held=1)}) == [
        0
    ]
    assert bell.is_outstanding


def test_it_keeps_its_distance_however_fast_the_queue_gets_empty():
    bell = Bell(10, 1800)
    bell.rings(sight(1), 100)
    assert bell.pause(100) == 5
    bell.rings(NOTHING, 102)
    assert bell.pause(102) == 8
    assert bell.pause(111) == 0


def test_who_holds_messages_without_a_sign_of_life_counts_for_nobody():
    looks = {now: sight(1, 2, held=1, until=900) for now in range(10, 300, 10)}
    assert rings(Bell(10, 100), {0: sight(2), **looks}) == [0, 110, 130, 170, 250]


def test_a_hold_that_ends_by_timeout_is_no_sign_of_life():
    """Twenty readers died, and their messages come back one by one."""
    looks = {now: sight(20, 21, held=20 - now // 100, until=2000 - now) for now in range(10, 2000, 10)}
    assert rings(Bell(10, 100), {0: sight(20, 21), **looks})[:4] == [0, 110, 130, 170]


def test_who_was_given_up_holds_up_no_later_message():
    bell = Bell(10, 100)
    abandoned = {now: sight(0, held=1, until=90_000) for now in range(10, 120, 10)}
    assert rings(bell, {0: sight(1), **abandoned}) == [0]
    assert not bell.is_outstanding
    # Each of ten runs takes one more, and holds it for a second.
    for start in range(1000, 11_000, 1000):
        run = {
            start: sight(1, start),
            start + 5: sight(0, held=2, until=90_000),
            start + 10: sight(0, held=1, until=90_000),
        }
        assert rings(bell, run) == [start]
        assert not bell.is_outstanding


def test_a_heartbeat_is_a_sign_of_life():
    bell = Bell(10, 100)
    looks = {now: sight(1, 2, held=1, until=now + 60) for now in range(1, 2000, 10)}
    assert rings(bell, {0: sight(2), **looks}) == [0]


@pytest.mark.parametrize(("shortest", "pause"), [(1.0, 0.5), (60.0, LONGEST_PAUSE)])
def test_it_looks_often_enough_to_see_the_end(shortest, pause):
    bell = Bell(shortest, 1800)
    bell.rings(sight(1), 0)
    assert bell.pause(0) == pause


#: Eighths of a second, which add up without rounding.
STEPS = st.integers(1, 40).map(lambda eighths: eighths / 8)
SIGHTS = st.builds(
    sight, st.integers(0, 3), st.integers(1, 5), read_ct=st.integers(0, 2), held=st.integers(0, 2)
)


@given(st.lists(st.tuples(STEPS, SIGHTS), max_size=60), st.integers(1, 3))
def test_nothing_waits_for_ever(looks, visible):
    """Whatever came before, messages that nobody touches ring within the longest interval."""
    bell, now = Bell(2, 20), 0.0
    for step, seen in looks:
        rung = bell.rings(seen, now := now + step)
        assert not rung or seen.visible
    now += bell.pause(now)
    assert rings(bell, {now + second: sight(visible, 9) for second in range(21)})


@given(st.lists(st.tuples(STEPS, SIGHTS), max_size=60))
def test_two_rings_are_never_closer_than_the_shortest_interval(looks):
    bell, now, rung_at = Bell(2, 20), 0.0, []
    for step, seen in looks:
        if bell.rings(seen, now):
            rung_at.append(now)
        now += max(step, bell.pause(now))
    assert all(later - sooner >= 2 for sooner, later in itertools.pairwise(rung_at))
