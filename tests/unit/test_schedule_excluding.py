"""What a job leaves out or moves, against counting day by day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from itertools import islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core.schedule import Slots, excluding
from airflow_pgmq.core.schedule.cron_slots import CronSlots
from airflow_pgmq.core.schedule.excluding import Blackout, Calendar, Holidays
from airflow_pgmq.core.schedule.zones import instant
from airflow_pgmq.errors import CalendarNotFound

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)
NEVER: dict[str, Any] = {}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def applied(
    cron: str, exclude: Any = (), business_day: Any = None, zone: ZoneInfo = BERLIN, calendars: Any = NEVER
) -> Slots:
    return excluding.applied(
        lambda zone: CronSlots(cron, zone), exclude, business_day, zone, calendars, is_local=True
    )


def days(slots: Iterator[datetime], count: int) -> list[str]:
    return [f"{slot.astimezone(BERLIN):%m-%d %H:%M}" for slot in islice(slots, count)]


def test_dates_are_days_of_the_zone() -> None:
    found = applied("30 0 * * *", [date(2026, 12, 25)])
    assert days(found.after(utc("2026-12-24")), 2) == ["12-26 00:30", "12-27 00:30"]
    assert days(found.before(utc("2026-12-26")), 2) == ["12-26 00:30", "12-24 00:30"]


def test_weekends() -> None:
    found = applied("0 9 * * *", ["weekends"])
    # 2026-06-05 is a Friday.
    assert days(found.after(utc("2026-06-04 12:00")), 2) == ["06-05 09:00", "06-08 09:00"]


def test_a_blackout_is_passed_over_at_once() -> None:
    window = Blackout(datetime(2026, 6, 1), datetime(2026, 6, 8))
    found = applied("* * * * * *", [window])
    assert next(found.after(utc("2026-05-31 21:59:59"))) == instant(window.end, BERLIN)
    assert next(found.before(utc("2026-06-07 12:00"))) == utc("2026-05-31 21:59:59")


@pytest.mark.parametrize(
    ("business_day", "expected"),
    [
        ("next", ["06-05 09:00", "06-08 09:00", "06-09 09:00"]),
        ("previous", ["06-05 09:00", "06-08 09:00", "06-09 09:00"]),
        ("skip", ["06-05 09:00", "06-08 09:00", "06-09 09:00"]),
    ],
)
def test_daily_slots_that_are_moved_meet_others(business_day: str, expected: list[str]) -> None:
    found = applied("0 9 * * *", business_day=business_day)
    assert days(found.after(utc("2026-06-04 12:00")), 3) == expected


@pytest.mark.parametrize(
    ("business_day", "expected"),
    [
        # The 1st of August 2026 is a Saturday, of November a Sunday.
        ("next", ["07-01 09:00", "08-03 09:00", "09-01 09:00", "10-01 09:00", "11-02 09:00"]),
        ("previous", ["07-01 09:00", "07-31 09:00", "09-01 09:00", "10-01 09:00", "10-30 09:00"]),
        ("skip", ["07-01 09:00", "09-01 09:00", "10-01 09:00", "12-01 09:00", "01-01 09:00"]),
    ],
)
def test_monthly_slots_are_moved(business_day: str, expected: list[str]) -> None:
    found = applied("0 9 1 * *", business_day=business_day)
    assert days(found.after(utc("2026-06-15")), 5) == expected


def test_holidays_of_a_country_and_of_a_calendar_count_too() -> None:
    calendars = {"bank": {date(2026, 12, 28): "inventory"}}
    found = applied(
        "0 9 24 12 *",
        [Holidays("DE", "BY"), Calendar("bank"), date(2026, 12, 24)],
        "next",
        calendars=calendars,
    )
    # After Christmas Eve come two holidays, the second a Saturday, then a Sunday and the inventory.
    assert days(found.after(utc("2026-12-01")), 1) == ["12-29 09:00"]


def test_a_calendar_that_is_not_there() -> None:
    with pytest.raises(CalendarNotFound, match="'bank'"):
        applied("0 9 * * *", [Calendar("bank")])


def test_a_job_that_is_left_out_always_ends() -> None:
    found = applied("0 9 * * 6", ["weekends"])
    assert list(found.after(utc("2026-06-01"))) == []
    assert list(found.before(utc("2026-06-01"))) == []


def test_without_anything_to_leave_out_the_schedule_is_the_same() -> None:
    own = CronSlots("0 9 * * *", BERLIN)
    assert excluding.applied(lambda zone: own, (), None, BERLIN, {}, is_local=True) is own


def test_a_time_in_a_gap_is_moved_as_that_time() -> None:
    """Clocks change on Sundays: the next day must not have a slot at the end of their gap, too."""
    found = applied("30 2 * * *", business_day="next")
    assert days(found.after(utc("2026-03-27 12:00")), 2) == ["03-30 02:30", "03-31 02:30"]


CRONS = st.sampled_from(
    [
        "0 9 * * *",
        "30 2 * * *",
        "0 0 * * *",
        "15 8,20 * * 1,6",
        "0 9 1,15 * *",
        "0 */6 * * *",
        "59 23 * * 0,5",
    ]
)
DATES = st.dates(date(2026, 3, 20), date(2026, 4, 10))


@given(
    cron=CRONS,
    dates=st.lists(DATES, max_size=8),
    weekends=st.booleans(),
    business_day=st.sampled_from([None, "next", "previous", "skip"]),
    blackout=st.none() | st.tuples(DATES, st.integers(1, 100)),
    zone=st.sampled_from(["Europe/Berlin", "UTC", "America/New_York"]).map(ZoneInfo),
    at=st.datetimes(datetime(2026, 3, 15), datetime(2026, 4, 15)),
)
def test_by_counting_day_by_day(
    cron: str,
    dates: list[date],
    weekends: bool,
    business_day: Any,
    blackout: tuple[date, int] | None,
    zone: ZoneInfo,
    at: datetime,
) -> None:
    exclude: list[Any] = [*dates, *(["weekends"] if weekends else [])]
    window = None
    if blackout:
        begin = datetime.combine(blackout[0], time(8))
        window = Blackout(begin, begin + timedelta(hours=blackout[1]))
        exclude.append(window)
    expected = sorted(_by_counting(cron, dates, weekends, business_day, window, zone))
    found = applied(cron, exclude, business_day, zone)
    instant_ = at.replace(tzinfo=UTC)
    end, start = utc("2026-04-25"), utc("2026-03-05")
    assert list(takewhile(lambda slot: slot < end, found.after(instant_))) == [
        slot for slot in expected if instant_ < slot < end
    ]
    assert (
        list(takewhile(lambda slot: slot > start, found.before(instant_)))
        == [slot for slot in expected if start < slot < instant_][::-1]
    )


def _by_counting(
    cron: str, dates: list[date], weekends: bool, business_day: Any, window: Blackout | None, zone: ZoneInfo
) -> set[datetime]:
    def is_off(day: date) -> bool:
        return day in dates or ((weekends or business_day is not None) and day.isoweekday() > 5)

    found = set()
    walls = takewhile(lambda wall: wall < utc("2026-07-01"), CronSlots(cron, UTC).after(utc("2026-01-01")))
    for each in walls:
        day, wall = each.date(), each.time()
        slot = instant(each.replace(tzinfo=None), zone)
        if is_off(day):
            if business_day not in ("next", "previous"):
                continue
            while is_off(day):
                day += DAY if business_day == "next" else -DAY
            slot = instant(datetime.combine(day, wall), zone)
        if window and instant(window.start, zone) <= slot < instant(window.end, zone):
            continue
        found.add(slot)
    return found


@pytest.mark.parametrize(
    ("exclude", "business_day", "expected"),
    [
        ("weekends", None, "exclude must be a list, not str"),
        ([5], None, "exclude takes dates, 'weekends', Blackout, Calendar and Holidays, not 5"),
        (["mondays"], None, "not 'mondays'"),
        ([datetime(2026, 1, 1)], None, "exclude takes dates"),
        ([Calendar("")], None, "Calendar needs a name"),
        ([Holidays("XX")], None, "XX"),
        ([Blackout(datetime(2026, 1, 2), datetime(2026, 1, 1))], None, "before it starts"),
        ([Blackout(datetime(2026, 1, 2), datetime(2026, 1, 3, tzinfo=UTC))], None, "a zone for both"),
        ([Blackout("a", "b")], None, "Blackout needs two datetimes"),  # type: ignore[arg-type]
        ([], "nearest", "business_day must be 'next', 'previous', 'skip' or None, not 'nearest'"),
    ],
)
def test_mistakes(exclude: Any, business_day: Any, expected: str) -> None:
    assert expected in "; ".join(excluding.problems(exclude, business_day))


def test_what_is_left_out_is_stored_and_read_again() -> None:
    exclude = (
        date(2026, 12, 25),
        "weekends",
        Calendar("bank"),
        Holidays("DE", "BY"),
        Blackout(datetime(2026, 1, 1), datetime(2026, 1, 2)),
        Blackout(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
    )
    assert list(excluding.problems(exclude, None)) == []
    assert excluding.from_stored(excluding.stored(exclude)) == exclude
