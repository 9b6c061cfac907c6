"""Which days a cron expression matches: days relative to a month's end and weekdays, and both day fields."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_pgmq.core.schedule.cron import DayMatch, ambiguity, parse, problem
from airflow_pgmq.core.schedule.cron_slots import CronSlots
from tests.unit.crons import month, nearest_working
from tests.unit.support import utc

#: In 28 years, a month of each length starts on each weekday.
MONTHS = [(year, number) for year in range(2000, 2028) for number in range(1, 13)]


def days_of(fields: str, of: str, day_match: DayMatch | None = None) -> list[int]:
    """The days that `date month weekday` match in a month such as 2026-03."""
    days = parse(f"0 0 {fields}", day_match=day_match).days
    return list(days.of_month(*map(int, of.split("-"))))


@pytest.mark.parametrize(
    ("dates", "of", "days"),
    [
        ("L-3", "2026-01", [28]),
        ("L-3", "2026-02", [25]),
        ("L-3", "2028-02", [26]),
        ("l-3", "2026-04", [27]),
        ("L-03", "2026-04", [27]),
        ("L-0", "2026-04", [30]),
        ("L-10", "2026-02", [18]),
        ("L-27", "2026-02", [1]),
        ("L-28", "2026-02", []),
        ("L-28", "2028-02", [1]),
        ("L-29", "2026-04", [1]),
        ("L-30", "2026-04", []),
        ("L-30", "2026-05", [1]),
    ],
)
def test_days_before_the_last(dates, of, days):
    assert days_of(f"{dates} * *", of) == days


@pytest.mark.parametrize(
    ("dates", "of", "days"),
    [
        # A Thursday, a Saturday and two Sundays.
        ("15W", "2026-01", [15]),
        ("15W", "2026-08", [14]),
        ("15W", "2026-02", [16]),
        ("15w", "2026-03", [16]),
        # Not in the month before.
        ("1W", "2026-04", [1]),
        ("1W", "2026-08", [3]),
        ("1W", "2026-03", [2]),
        ("01W", "2026-03", [2]),
        ("2W", "2026-08", [3]),
        # Nor in the month after.
        ("31W", "2026-03", [31]),
        ("31W", "2026-01", [30]),
        ("31W", "2026-05", [29]),
        ("30W", "2028-04", [28]),
        ("28W", "2026-02", [27]),
        ("28W", "2027-02", [26]),
        # There is a day after this one.
        ("30W", "2026-05", [29]),
        ("30W", "2026-08", [31]),
        ("28W", "2027-03", [29]),
        # Days that the month lacks.
        ("31W", "2026-04", []),
        ("30W", "2026-02", []),
        ("29W", "2026-02", []),
        ("29W", "2028-02", [29]),
    ],
)
def test_the_weekday_nearest_to_a_day(dates, of, days):
    assert days_of(f"{dates} * *", of) == days


@pytest.mark.parametrize(
    ("of", "day"),
    [
        ("2026-01", 30),
        ("2026-02", 27),
        ("2027-02", 26),
        ("2028-02", 29),
        ("2026-03", 31),
        ("2026-04", 30),
        ("2028-04", 28),
        ("2026-05", 29),
        ("2026-08", 31),
    ],
)
@pytest.mark.parametrize("text", ["LW", "lw", "Lw"])
def test_the_last_weekday(text, of, day):
    assert days_of(f"{text} * *", of) == [day]


@pytest.mark.parametrize(
    ("dates", "of", "days"),
    [
        ("1W,15,LW", "2026-08", [3, 15, 31]),
        ("1w,15,lw", "2026-05", [1, 15, 29]),
        ("L,LW", "2026-05", [29, 31]),
        ("L,LW,L-0", "2026-04", [30]),
        ("LW,L-1,15W", "2026-02", [16, 27]),
        ("15W,L-16,15", "2026-03", [15, 16]),
        ("1-3,L-3", "2026-04", [1, 2, 3, 27]),
        ("30,31W", "2026-02", []),
        # The 15th and all days after it.
        ("15-L", "2026-02", [*range(15, 29)]),
        ("15-L/5", "2026-03", [15, 20, 25, 30]),
        ("28-L,L-3", "2026-04", [27, 28, 29, 30]),
    ],
)
def test_lists_of_days(dates, of, days):
    assert days_of(f"{dates} * *", of) == days


@pytest.mark.parametrize("name", [f"job{number}" for number in range(5)])
def test_a_hash_up_to_the_last_day(name):
    assert parse("0 0 H(1-L) * *", name) == parse("0 0 H(1-31) * *", name)


FRIDAYS = [6, 13, 20, 27]
MONDAYS = [2, 9, 16, 23, 30]
ODD = [*range(1, 32, 2)]


@pytest.mark.parametrize(
    ("fields", "either", "both"),
    [
        # Of March 2026, which starts with a Sunday.
        ("13 * fri", FRIDAYS, [13]),
        ("12 * fri", [*FRIDAYS, 12], []),
        ("1-7 * mon", [*range(1, 8), *MONDAYS], [2]),
        ("L * tue", [3, 10, 17, 24, 31], [31]),
        ("L-4 * fri", FRIDAYS, [27]),
        ("L-3 * fri", [*FRIDAYS, 28], []),
        ("15W * mon", MONDAYS, [16]),
        ("15W,LW * tue", [3, 10, 16, 17, 24, 31], [31]),
        ("LW * 5L", [27, 31], []),
        ("25-L * L5", [*range(25, 32)], [27]),
        ("27 * L5,5L", [27], [27]),
        ("15-21 * fri#3", [*range(15, 22)], [20]),
        ("15 * 5#3", [15, 20], []),
        ("15-20 * 1#1,5#3,3#3,5L", [2, *range(15, 21), 27], [18, 20]),
        ("1-28,L-2 3 1#5", [*range(1, 30), 30], []),
        ("31 3 sun", [1, 8, 15, 22, 29, 31], []),
        ("*/2 * fri", [*ODD, *FRIDAYS], [13, 27]),
        ("1-7 * */6", [*range(1, 8), 8, 14, 15, 21, 22, 28, 29], [1, 7]),
        ("1-31 * fri", [*range(1, 32)], FRIDAYS),
        ("15 * 0-6", [*range(1, 32)], [15]),
    ],
)
def test_a_day_matches_by_one_field_or_by_both(fields, either, both):
    assert days_of(fields, "2026-03") == sorted({*either})
    assert days_of(fields, "2026-03", "either") == sorted({*either})
    assert days_of(fields, "2026-03", "both") == both


@pytest.mark.parametrize(
    ("fields", "days"),
    [
        ("13 * *", [13]),
        ("15W,L-2 * ?", [16, 29]),
        ("LW * */1", [31]),
        ("* * fri", FRIDAYS),
        ("? * 5L", [27]),
        ("*/1 * 5#3,1#1", [2, 20]),
        ("* * *", [*range(1, 32)]),
        ("*/2 * 0-6", ODD),
        ("1-31 * */6", [1, 7, 8, 14, 15, 21, 22, 28, 29]),
    ],
)
@pytest.mark.parametrize("day_match", [None, "either", "both"])
def test_a_field_that_is_a_star_never_adds_a_day(fields, days, day_match):
    assert days_of(fields, "2026-03", day_match) == days


NEVER = [
    ("31 2 *", None),
    ("31W 2 *", None),
    ("31W 4,6,9,11 *", None),
    ("30W,31 2 ?", None),
    ("L-29 2 *", None),
    ("L-30 2,4,6,9,11 *", None),
    ("31W 4 *", "either"),
    ("31W 4 *", "both"),
    ("31 jun sun", "both"),
    ("30-L 2 mon", "both"),
    ("L-30 4 mon", "both"),
    ("LW * sun", "both"),
    ("1W,15W * sat,sun", "both"),
    ("1 * 1#2", "both"),
    ("L * 1#1", "both"),
    ("L-30 * 5L", "both"),
    ("L-6 * 5#5", "both"),
    ("L-27 2 5#2", "both"),
    ("28,L-1 2 1#5", "both"),
]
AT_TIMES = [
    ("31W 1,2 *", None),
    ("29W 2 *", None),
    ("L-28 2 *", None),
    ("31 jun sun", None),
    ("L-30 4 mon", None),
    ("LW * sun", "either"),
    ("L-30 * mon", "both"),
    ("L-30 4,5 mon", "both"),
    ("L-28 2 sun", "both"),
    ("29 2 1#5", "both"),
    ("L 2 1#5", "both"),
    ("1W 2 1#1", "both"),
    ("3W * 1#1", "both"),
]


@pytest.mark.parametrize(("fields", "day_match"), NEVER)
def test_a_combination_that_never_matches_a_day_is_said_to(fields, day_match):
    assert "never matches a day" in problem(f"0 0 {fields}", day_match=day_match)
    assert "never matches a day" in problem(f"0 0 0 {fields}", None, "first", day_match)


@pytest.mark.parametrize(("fields", "day_match"), AT_TIMES)
def test_a_combination_that_matches_at_times_is_right(fields, day_match):
    assert problem(f"0 0 {fields}", day_match=day_match) is None
    days = parse(f"0 0 {fields}", day_match=day_match).days
    assert any(days.of_month(*each) for each in MONTHS)


def test_what_is_said_of_an_expression_depends_on_how_its_day_fields_combine():
    assert "seconds='first'" in problem("0 30 6 LW * sun")
    assert "seconds='first'" not in problem("0 30 6 LW * sun", day_match="both")
    assert "steps beyond" in ambiguity("*/90 0 31 2 sun")
    assert ambiguity("*/90 0 31 2 sun", day_match="both") is None
    assert "seconds='last'" in ambiguity("0 0 6 * * 1-5", day_match="both")


def test_the_working_days_of_the_month_end_have_slots_in_both_directions():
    slots = CronSlots("30 9 1W,LW * *", "Europe/Berlin")
    expected = ["2026-07-31 07:30", "2026-08-03 07:30", "2026-08-31 07:30", "2026-09-01 07:30"]
    found = [next(slots.after(utc(text) - timedelta(days=1))) for text in expected]
    assert found == [utc(text) for text in expected]
    assert [next(slots.before(utc(text) + timedelta(hours=1))) for text in expected] == found


def test_every_day_has_a_nearest_weekday_within_its_month():
    """Against a search of the whole month."""
    for each in MONTHS:
        for to in range(1, 32):
            nearest = nearest_working(month(*each), to)
            assert parse(f"0 0 {to}W * *").days.of_month(*each) == ((nearest.day,) if nearest else ())
