"""Slots at equal distances, and single ones."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core.schedule.interval_slots import IntervalSlots
from airflow_pgmq.core.schedule.single_slots import SingleSlots
from airflow_pgmq.core.schedule.zones import instant

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def texts(slots: list[datetime], zone: ZoneInfo) -> list[str]:
    return [f"{slot.astimezone(zone):%m-%d %H:%M}" for slot in slots]


def test_every_ninety_minutes_is_elapsed_time() -> None:
    found = IntervalSlots(timedelta(minutes=90), utc("2026-03-28 22:00"), BERLIN)
    slots = list(islice(found.after(utc("2026-03-28 22:30")), 3))
    assert slots == [utc("2026-03-28 23:30"), utc("2026-03-29 01:00"), utc("2026-03-29 02:30")]
    assert texts(slots, BERLIN) == ["03-29 00:30", "03-29 03:00", "03-29 04:30"]


def test_every_second_week_is_at_the_same_local_time() -> None:
    found = IntervalSlots(timedelta(weeks=2), datetime(2026, 3, 16, 9), BERLIN)
    slots = list(islice(found.after(utc("2026-03-01")), 3))
    assert texts(slots, BERLIN) == ["03-02 09:00", "03-16 09:00", "03-30 09:00"]
    assert [slot.hour for slot in slots] == [8, 8, 7]


def test_whole_days_from_an_anchor_with_a_zone_are_elapsed_time() -> None:
    found = IntervalSlots(timedelta(days=1), datetime(2026, 3, 28, 9, tzinfo=BERLIN), BERLIN)
    assert texts(list(islice(found.after(utc("2026-03-28 12:00")), 1)), BERLIN) == ["03-29 10:00"]


def test_a_local_time_in_a_gap_is_after_it() -> None:
    found = IntervalSlots(timedelta(days=1), datetime(2026, 3, 28, 2, 30), BERLIN)
    slots = list(islice(found.after(utc("2026-03-28 12:00")), 2))
    assert texts(slots, BERLIN) == ["03-29 03:00", "03-30 02:30"]


@given(
    interval=st.one_of(
        st.integers(1, 200_000).map(lambda seconds: timedelta(seconds=seconds)),
        st.integers(1, 40).map(lambda days: timedelta(days=days)),
    ),
    anchor=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.replace(microsecond=0)),
    is_aware=st.booleans(),
    zone=ZONES.map(ZoneInfo),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)),
)
def test_by_counting_from_the_anchor(
    interval: timedelta, anchor: datetime, is_aware: bool, zone: ZoneInfo, at: datetime
) -> None:
    at = at.replace(tzinfo=UTC)
    anchor = anchor.replace(tzinfo=UTC) if is_aware else anchor
    slots = IntervalSlots(interval, anchor, zone)
    steps = (at.replace(tzinfo=None) - anchor.replace(tzinfo=None)) // interval
    near = [anchor + n * interval for n in range(steps - 4, steps + 5)]
    local = not is_aware and interval % timedelta(days=1) == timedelta(0)
    if local:
        expected = [instant(each, zone) for each in near]
    elif is_aware:
        expected = near
    else:
        shift = instant(anchor, zone) - anchor.replace(tzinfo=UTC)
        steps = (at - shift - anchor.replace(tzinfo=UTC)) // interval
        expected = [instant(anchor, zone) + n * interval for n in range(steps - 4, steps + 5)]
    after = [slot for slot in expected if slot > at]
    before = [slot for slot in expected if slot < at][::-1]
    assert after
    assert before
    assert list(islice(slots.after(at), len(after))) == after
    assert list(islice(slots.before(at), len(before))) == before


def test_slots_end_with_the_years() -> None:
    found = IntervalSlots(timedelta(days=365), datetime(1970, 1, 5), UTC)
    last = list(found.after(utc("2990-01-01")))
    assert len(last) == 10
    assert last[-1].year == 2999
    assert list(takewhile(lambda slot: slot.year >= 1900, found.before(utc("1902-01-01"))))


def test_single_slots_are_sorted_and_once() -> None:
    first, second = utc("2026-06-01 10:00"), utc("2026-06-02 10:00")
    slots = SingleSlots([second, first, second])
    assert list(slots.after(utc("2026-01-01"))) == [first, second]
    assert list(slots.after(first)) == [second]
    assert list(slots.before(second)) == [first]
    assert list(slots.before(first)) == []
    assert list(slots.after(second)) == []


@pytest.mark.parametrize("seconds", [1, 59])
def test_the_shortest_intervals(seconds: int) -> None:
    found = IntervalSlots(timedelta(seconds=seconds), datetime(1970, 1, 5), UTC)
    at = utc("2026-06-01 10:00:30")
    after, before = next(found.after(at)), next(found.before(at))
    assert timedelta(0) < after - at <= timedelta(seconds=seconds)
    assert timedelta(0) < at - before <= timedelta(seconds=seconds)
