from datetime import datetime, timedelta, timezone

from airflow_pgmq.core.rates import known, per_minute, per_step, total

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def test_each_minute_is_what_the_counter_grew_by():
    assert per_minute([3, 2, 1, 0], [10, 11, 11, 15], 3) == [1, 0, 4]


def test_a_short_gap_is_spread_because_its_sum_is_known():
    assert per_minute([3, 0], [10, 16], 4) == [None, 2, 2, 2]


def test_a_long_gap_stays_a_gap():
    assert per_minute([5, 1, 0], [10, 50, 51], 5) == [None, None, None, None, 1]


def test_a_counter_that_fell_was_reset():
    assert per_minute([2, 1, 0], [100, 3, 5], 2) == [None, 2]


def test_minutes_before_the_first_sample_and_after_the_last_are_unknown():
    assert per_minute([2, 1], [0, 1], 4) == [None, None, 1, None]


def test_no_samples():
    assert per_minute([], [], 2) == [None, None]
    assert per_minute([0], [7], 2) == [None, None]


def test_samples_older_than_asked_for_only_begin():
    assert per_minute([2, 1, 0], [0, 5, 6], 1) == [1]


def test_two_samples_of_a_minute_say_nothing():
    assert per_minute([1, 1, 0], [0, 5, 6], 2) == [None, 1]


def test_a_step_is_divided_by_its_own_time():
    at = [NOON, NOON + timedelta(minutes=10), NOON + timedelta(minutes=14)]

    assert per_step([0, 1, 2], at, [0, 100, 140], 3) == [None, 10, 10]


def test_steps_without_samples():
    at = [NOON + timedelta(minutes=10 * step) for step in (0, 2, 8)]

    assert per_step([0, 2, 8], at, [0, 200, 900], 9) == [None, 10, 10] + [None] * 6


def test_a_step_in_which_the_counter_fell():
    assert per_step([0, 1], [NOON, NOON + timedelta(minutes=10)], [9, 1], 2) == [None, None]


def test_a_total_needs_half_of_the_minutes():
    assert total([1.0, 2.0, None, None]) == 3
    assert total([1.0, None, None]) is None
    assert total([]) is None


def test_known_minutes():
    assert known([None, 0.0, 2.5, None]) == 2
