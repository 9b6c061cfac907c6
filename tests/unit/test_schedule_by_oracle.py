"""Random crons around random changes of clocks, compared with a check of every single instant."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_pgmq.core.schedule.cron import parse, problem
from airflow_pgmq.core.schedule.cron_slots import CronSlots
from tests.unit.crons import NAME, UTC, YEARS, Example, clock_changes, examples, month, runs, slots_between

MICROSECOND = timedelta(microseconds=1)


def schedule(example: Example, zone: str) -> CronSlots:
    return CronSlots(example.text, zone, NAME, order(example))


def order(example: Example) -> str:
    return "first" if example.seconds_first else "last"


def check_stretch(example: Example, zone: str, start: datetime, end: datetime, pick: float) -> None:
    """Slots in (start, end): forwards, backwards, and from an instant in between."""
    expected = list(slots_between(example, ZoneInfo(zone), start, end))
    found = schedule(example, zone)

    assert list(takewhile(lambda slot: slot < end, found.after(start))) == expected
    assert list(takewhile(lambda slot: slot > start, found.before(end))) == expected[::-1]
    between = min(start + (end - start) * pick, end - MICROSECOND)
    later = [slot for slot in expected if slot > between]
    earlier = [slot for slot in expected if slot <= between]
    assert list(takewhile(lambda slot: slot < end, found.after(between))) == later
    assert list(takewhile(lambda slot: slot > start, found.before(between + MICROSECOND))) == earlier[::-1]


@runs(250)
@given(example=examples(), day=st.dates(date(YEARS[0], 1, 1), date(YEARS[-1], 1, 1)))
def test_days_are_those_that_a_look_at_each_day_finds(example, day):
    """Without changes of clocks; over years, because an expression may match few days."""
    days = [day + timedelta(days=n) for n in range(1, 1200)]
    expected = [each for each in days if example.on(each)]
    if problem(example.text, NAME) is not None:
        assert "never matches" in problem(example.text, NAME)
        assert not any(example.on(date(1996, 1, 1) + timedelta(days=n)) for n in range(366 * 40))
        return

    start, end = (datetime(each.year, each.month, each.day, tzinfo=UTC) for each in (days[0], days[-1]))
    end += timedelta(days=1)
    first = f"0 0 {' '.join(example.text.split()[2:])}"
    midnights = CronSlots(first, "UTC", NAME)
    found = list(takewhile(lambda slot: slot < end, midnights.after(start - MICROSECOND)))
    assert [slot.date() for slot in found] == expected
    assert list(takewhile(lambda slot: slot >= start, midnights.before(end))) == found[::-1]


@runs(250)
@given(
    example=examples(),
    day_match=st.sampled_from([None, "either", "both"]),
    year=st.sampled_from(YEARS),
)
def test_days_match_by_one_day_field_or_by_both(example, day_match, year):
    example = replace(example, day_match=day_match)
    found = problem(example.text, NAME, day_match=day_match)
    if found is not None:
        assert "never matches" in found
        assert not any(example.on(date(1996, 1, 1) + timedelta(days=n)) for n in range(366 * 40))
        return

    days = parse(example.text, NAME, day_match=day_match).days
    for number in (12 * year + n for n in range(48)):
        each = divmod(number, 12)[0], number % 12 + 1
        assert days.of_month(*each) == tuple(day.day for day in month(*each) if example.on(day))


@runs(120)
@given(
    example=examples(daily=True),
    change=clock_changes(),
    before=st.integers(1, 30 * 60),
    length=st.integers(60, 48 * 60),
    pick=st.floats(0, 1),
)
def test_slots_around_a_change_are_what_a_look_at_every_minute_finds(example, change, before, length, pick):
    zone, at = change
    assume(problem(example.text, NAME) is None)
    start = at.replace(second=0) - timedelta(minutes=before)
    check_stretch(example, zone, start, start + timedelta(minutes=length), pick)


@runs(60)
@given(
    example=examples(seconds=True, daily=True),
    change=clock_changes(),
    before=st.integers(1, 90 * 60),
    length=st.integers(60, 3 * 3600),
    pick=st.floats(0, 1),
)
def test_slots_around_a_change_are_what_a_look_at_every_second_finds(example, change, before, length, pick):
    zone, at = change
    assume(problem(example.text, NAME, order(example)) is None)
    start = at - timedelta(seconds=before)
    check_stretch(example, zone, start, start + timedelta(seconds=length), pick)
