"""Recurrence rules, compared with what plain dateutil counts from DTSTART."""

from __future__ import annotations

import datetime as datetime_module
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import groupby, islice, takewhile
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import YEARLY, rrule, rrulestr
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from airflow_pgmq.core.schedule.recurrence import RecurrenceSlots, problem

UTC = timezone.utc
SECOND = timedelta(seconds=1)
QUARTER = timedelta(minutes=15)
#: Years in which the slots of a frequency are compared, after that of DTSTART.
YEARS = {"YEARLY": 30, "MONTHLY": 12, "WEEKLY": 6, "DAILY": 4, "HOURLY": 1, "MINUTELY": 0, "SECONDLY": 0}
#: So many times of a rule are compared.
MOST = 60
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
#: Shortly before clocks change in one of the zones; a whole day is missing in Apia at the end of 2011.
NEAR_CHANGES = (
    datetime(2024, 3, 29, 2, 30),
    datetime(2024, 10, 26, 2, 15),
    datetime(2024, 3, 9, 2, 30),
    datetime(2024, 11, 2, 1, 45),
    datetime(2024, 10, 5, 2, 10),
    datetime(2024, 4, 6, 1, 40),
    datetime(2011, 12, 28, 12, 0),
)


def utc(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)


def first_shown(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which clocks show this time or a later one: another way to say what a slot is."""
    # Clocks change at whole quarters of an hour, so this meets each change.
    at = wall.replace(minute=0, second=0, tzinfo=UTC) - timedelta(days=1)
    while (local := at.astimezone(zone).replace(tzinfo=None)) + QUARTER <= wall:
        at += QUARTER
    return at + max(wall - local, timedelta(0))


def by_dateutil(
    rule: str, start: datetime, zone: ZoneInfo, last_year: int
) -> tuple[list[datetime], datetime]:
    """The first slots, and the instant before which these are all."""
    end = utc(last_year, 12, 18)
    try:
        walls = list(ended(rrulestr(rule, dtstart=start), last_year))
    except ValueError:  # dateutil finds some rules empty
        return [], end
    found = [slot for slot, _ in groupby(first_shown(wall, zone) for wall in walls)]
    if len(walls) == MOST:
        # Where a day is missing, many of these times are one slot.
        end = min(end, found[-1])
    return [slot for slot in found if slot < end], end


def ended(walls: Iterator[datetime], last_year: int) -> Iterator[datetime]:
    """Times before the last days of a year, in which dateutil ends, other than in the year 9999."""
    with patch.object(datetime_module, "MAXYEAR", last_year):
        found = []
        try:
            for wall in walls:
                if wall >= datetime(last_year, 12, 20) or len(found) == MOST:
                    break
                found.append(wall)
        except ValueError as exc:
            if "empty rule" not in str(exc):
                raise
    return iter(found)


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    signed = st.integers(1, high).flatmap(lambda n: st.sampled_from((n, -n)))
    values = signed if low < 0 else st.integers(low, high)
    return st.lists(values, min_size=1, max_size=4).map(lambda found: ",".join(map(str, found)))


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, str]:
    frequency = draw(st.sampled_from(tuple(YEARS)))
    allowed = {"BYMONTH": (1, 12), "BYHOUR": (0, 23), "BYMINUTE": (0, 59), "BYSECOND": (0, 59)}
    if frequency != "WEEKLY":
        allowed["BYMONTHDAY"] = (-1, 31)
    if frequency not in ("MONTHLY", "WEEKLY", "DAILY"):
        allowed["BYYEARDAY"] = (-1, 366)
    if frequency == "YEARLY":
        allowed["BYWEEKNO"] = (-1, 53)
    # dateutil looks through a day second by second.
    most = 3 if YEARS[frequency] else 2
    names = draw(st.lists(st.sampled_from(sorted(allowed)), max_size=most, unique=True))
    parts = {name: draw(numbers(*allowed[name])) for name in names}
    if draw(st.booleans()):
        prefix = st.just("")
        if frequency in ("MONTHLY", "YEARLY") and "BYWEEKNO" not in parts and draw(st.booleans()):
            prefix = st.sampled_from(("1", "2", "-1", "5", "-5", "+3"))
        days = draw(st.lists(st.tuples(prefix, st.sampled_from(WEEKDAYS)), min_size=1, max_size=4))
        parts["BYDAY"] = ",".join(map("".join, days))
    if draw(st.booleans()):
        parts["INTERVAL"] = str(draw(st.sampled_from((1, 2, 3, 4, 5, 7, 10, 24, 25, 60, 90, 1000, 1441))))
    if draw(st.booleans()):
        parts["WKST"] = draw(st.sampled_from(WEEKDAYS))
    if draw(st.sampled_from((True, False, False))):
        positions = draw(st.lists(st.sampled_from((1, 2, 3, -1, -2)), min_size=1))
        # dateutil needs minutes for a year of seconds without a match.
        parts["BYSETPOS"] = ",".join(map(str, positions + [1] * (YEARS[frequency] == 0)))
    if draw(st.sampled_from((True, False, False))):
        parts["COUNT"] = str(draw(st.integers(1, 30)))
    return frequency, ";".join([f"FREQ={frequency}", *(f"{name}={value}" for name, value in parts.items())])


def starts() -> st.SearchStrategy[datetime]:
    anywhere = st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1)).map(
        lambda at: at.replace(microsecond=0)
    )
    return st.one_of(anywhere, st.sampled_from(NEAR_CHANGES))


def text(rule: str, start: datetime, *more: str) -> str:
    return "\n".join([f"DTSTART:{start:%Y%m%dT%H%M%S}", f"RRULE:{rule}", *more])


def check(slots: RecurrenceSlots, expected: list[datetime], begin: datetime, end: datetime) -> None:
    """Slots between two instants: forwards, backwards, and from each of them."""
    assert list(takewhile(lambda slot: slot < end, slots.after(begin))) == expected
    assert list(takewhile(lambda slot: slot > begin, slots.before(end))) == expected[::-1]
    for index, slot in list(enumerate(expected))[:: max(len(expected) // 7, 1)]:
        later = takewhile(lambda other: other < end, slots.after(slot))
        assert list(islice(later, 5)) == expected[index + 1 : index + 6]
        earlier = takewhile(lambda other: other > begin, slots.before(slot + SECOND / 2))
        assert list(islice(earlier, 5)) == expected[: index + 1][::-1][:5]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules(), starts(), st.sampled_from(ZONES))
@example(
    ("WEEKLY", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU"), datetime(1997, 8, 5, 9), "America/New_York"
)
@example(("DAILY", "FREQ=DAILY"), datetime(2024, 3, 29, 2, 30), "Europe/Berlin")
@example(("MINUTELY", "FREQ=MINUTELY;INTERVAL=10"), datetime(2024, 10, 6, 1, 35), "Australia/Lord_Howe")
@example(("HOURLY", "FREQ=HOURLY;INTERVAL=5"), datetime(2011, 12, 28, 12), "Pacific/Apia")
@example(("HOURLY", "FREQ=HOURLY;BYSETPOS=1"), datetime(2011, 12, 28, 12), "Pacific/Apia")
@example(("MINUTELY", "FREQ=MINUTELY"), datetime(2011, 12, 29, 23, 59), "Pacific/Apia")
@example(("SECONDLY", "FREQ=SECONDLY;INTERVAL=600"), datetime(2024, 10, 27, 1, 30), "Europe/Berlin")
@example(("YEARLY", "FREQ=YEARLY;BYWEEKNO=1,53,-1;WKST=SU"), datetime(2000, 6, 1), "UTC")
@example(("MONTHLY", "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1,2;BYHOUR=2,3"), datetime(2024, 1, 30), "UTC")
@example(("WEEKLY", "FREQ=WEEKLY;BYDAY=MO,SU;BYSETPOS=-1;WKST=TH"), datetime(2020, 1, 2), "UTC")
def test_slots_are_what_dateutil_counts_from_the_start(case, start, name):
    frequency, rule = case
    if frequency == "WEEKLY" and "BYSETPOS" in rule:
        # dateutil takes the first week from DTSTART on; the RFC says that a set starts with its week.
        week_start = WEEKDAYS.index(rule.partition("WKST=")[2][:2] or "MO")
        start -= timedelta(days=(start.weekday() - week_start) % 7)
    last_year = start.year + YEARS[frequency]
    if frequency == "SECONDLY":
        # dateutil needs a minute for a year without a match.
        assume(not {"BYMONTH", "BYMONTHDAY", "BYYEARDAY"} & set(rule.replace("=", ";").split(";")))
    zone = ZoneInfo(name)
    expected, end = by_dateutil(rule, start, zone, last_year)
    begin = first_shown(start, zone) - SECOND

    check(RecurrenceSlots(text(rule, start), name), expected, begin, end)
    if expected:
        assert problem(text(rule, start), name) is None


@settings(max_examples=60, deadline=None)
@given(rules(), starts(), st.sampled_from(ZONES), st.integers(0, 40), st.booleans(), st.data())
def test_until_and_exdate_take_away(case, start, name, last, in_utc, data):
    _, rule = case
    assume("COUNT" not in rule)
    zone = ZoneInfo(name)
    whole = list(
        islice(RecurrenceSlots(text(rule, start), name).after(first_shown(start, zone) - SECOND), 50)
    )
    assume(len(whole) > last)
    end = whole[last]
    local = end.astimezone(zone)
    # The wall-clock time of a moved slot is not one of the rule.
    assume(in_utc or (local.fold == 0 and first_shown(local.replace(tzinfo=None) - SECOND, zone) < end))
    until = f"{end:%Y%m%dT%H%M%SZ}" if in_utc else f"{local:%Y%m%dT%H%M%S}"
    gone = data.draw(st.sets(st.sampled_from(whole)))
    in_lists = ",".join(f"{slot:%Y%m%dT%H%M%SZ}" for slot in sorted(gone))

    full = text(f"{rule};UNTIL={until}", start, *([f"EXDATE:{in_lists}"] if gone else []))
    expected = [slot for slot in whole[: last + 1] if slot not in gone]
    check(
        RecurrenceSlots(full, name), expected, first_shown(start, zone) - SECOND, end + timedelta(days=9999)
    )


@pytest.mark.parametrize(
    "parts",
    [
        {"byweekno": (1, -1, 52, 53), "wkst": 0},
        {"byweekno": (1, 53), "wkst": 3},
        {"byweekno": (53,), "wkst": 0},
        {"byweekno": (52,), "wkst": 6},
        {"byweekno": (-1, -53, 2), "wkst": 6},
        {"byyearday": (60, -1, 366, -366), "wkst": 0},
        {"bymonth": 2, "bymonthday": (29, -1), "wkst": 0},
    ],
)
def test_years_of_21_kinds_are_all_years(parts):
    """Over four centuries, because the years 2100, 2200 and 2300 are no leap years."""
    names = {
        "byweekno": "BYWEEKNO",
        "byyearday": "BYYEARDAY",
        "bymonth": "BYMONTH",
        "bymonthday": "BYMONTHDAY",
    }
    lists = {
        names[key]: ",".join(map(str, value)) if isinstance(value, tuple) else value
        for key, value in parts.items()
        if key != "wkst"
    }
    rule = ";".join(
        ["FREQ=YEARLY", f"WKST={WEEKDAYS[parts['wkst']]}", *(f"{k}={v}" for k, v in lists.items())]
    )
    start, end = datetime(1900, 1, 1), datetime(2350, 1, 1)
    expected = [at.replace(tzinfo=UTC) for at in rrule(YEARLY, dtstart=start, until=end, **parts)]

    slots = RecurrenceSlots(text(rule, start), "UTC")

    assert (
        list(takewhile(lambda slot: slot <= end.replace(tzinfo=UTC), slots.after(utc(1899, 1, 1))))
        == expected
    )
    assert list(slots.before(utc(2350, 1, 2))) == expected[::-1]


def shown(slots: Iterator[datetime], most: int) -> list[str]:
    return [f"{slot:%Y-%m-%d %H:%M}" for slot in islice(slots, most)]


@pytest.mark.parametrize(
    ("rule", "zone", "expected"),
    [
        ("FREQ=WEEKLY;INTERVAL=2", "UTC", ["2024-01-08 00:00", "2024-01-22 00:00"]),
        ("rrule:freq=daily;byhour=9;", "Asia/Kolkata", ["2024-01-01 03:30", "2024-01-02 03:30"]),
        ("DTSTART:20240105T080000\nRRULE:FREQ=DAILY;COUNT=1", "Europe/Berlin", ["2024-01-05 07:00"]),
        (
            "DTSTART;TZID=Asia/Kolkata:20240105T080000\nFREQ=DAILY;COUNT=1",
            "Europe/Berlin",
            ["2024-01-05 02:30"],
        ),
        ('DTSTART;TZID="Asia/Kolkata":20240105T080000\nFREQ=DAILY;COUNT=1', "UTC", ["2024-01-05 02:30"]),
        ("DTSTART:20240105T080000Z\nRRULE:FREQ=DAILY;COUNT=1", "Europe/Berlin", ["2024-01-05 08:00"]),
        ("DTSTART;VALUE=DATE:20240105\nRRULE:FREQ=DAILY;COUNT=1", "Europe/Berlin", ["2024-01-04 23:00"]),
        ("FREQ=DAILY;BYHOUR=9;UNTIL=20240102", "Europe/Berlin", ["2024-01-01 08:00", "2024-01-02 08:00"]),
        ("FREQ=DAILY;BYHOUR=9;UNTIL=20240101T090000", "Europe/Berlin", ["2024-01-01 08:00"]),
        ("FREQ=DAILY;BYHOUR=9;UNTIL=20240102T075959Z", "Europe/Berlin", ["2024-01-01 08:00"]),
        # COUNT counts days that EXDATE takes away.
        ("DTSTART:20240105T000000\nFREQ=DAILY;COUNT=2\nEXDATE:20240105T000000", "UTC", ["2024-01-06 00:00"]),
        # Each way to say the second of three days.
        *(
            (
                f"DTSTART:20240105T080000\nFREQ=DAILY;COUNT=3\nEXDATE{exdate}",
                "Europe/Berlin",
                ["2024-01-05 07:00", "2024-01-07 07:00"],
            )
            for exdate in (
                ":20240106T080000",
                ":20240106T070000Z",
                ";TZID=Europe/Berlin:20240106T080000",
                ";TZID=Asia/Kolkata:20240106T123000",
                ";VALUE=DATE:20240106",
                ";VALUE=DATE-TIME:20200101T000000,20240106T080000",
                ":20200101T000000\nEXDATE:20240106T080000",
            )
        ),
        # DTSTART is a slot only if it matches.
        ("DTSTART:20240105T080000\nFREQ=WEEKLY;BYDAY=MO;COUNT=1", "UTC", ["2024-01-08 08:00"]),
        # The first of Monday and Tuesday: January 8, as the week began before DTSTART.
        ("DTSTART:20240102T000000\nFREQ=WEEKLY;BYDAY=MO,TU;BYSETPOS=1;COUNT=1", "UTC", ["2024-01-08 00:00"]),
        ("FREQ=MONTHLY;BYDAY=-1FR", "UTC", ["2024-01-26 00:00", "2024-02-23 00:00"]),
        ("FREQ=MONTHLY;BYDAY=SU,1MO;UNTIL=20240113", "UTC", ["2024-01-01 00:00", "2024-01-07 00:00"]),
        # 02:30 is moved to 03:00, which is a slot only once; without 02:30, it still is one.
        (
            "DTSTART:20240331T023000\nFREQ=MINUTELY;INTERVAL=30;COUNT=3",
            "Europe/Berlin",
            ["2024-03-31 01:00", "2024-03-31 01:30"],
        ),
        (
            "DTSTART:20240331T023000\nFREQ=MINUTELY;INTERVAL=30;COUNT=3\nEXDATE:20240331T023000",
            "Europe/Berlin",
            ["2024-03-31 01:00", "2024-03-31 01:30"],
        ),
        (
            "DTSTART:20241027T020000\nFREQ=MINUTELY;UNTIL=20241027T000030Z",
            "Europe/Berlin",
            ["2024-10-27 00:00"],
        ),
        # UNTIL is in the repeated hour: 02:30 was before it.
        (
            "DTSTART:20241026T023000\nFREQ=DAILY;UNTIL=20241027T010000Z",
            "Europe/Berlin",
            ["2024-10-26 00:30", "2024-10-27 00:30"],
        ),
    ],
)
def test_a_rule_in_a_zone(rule, zone, expected):
    ends = "UNTIL" in rule or "COUNT" in rule
    most = len(expected) + 1 if ends else len(expected)
    assert shown(RecurrenceSlots(rule, zone).after(utc(2023, 12, 31, 23, 59)), most) == expected


def test_a_zone_may_be_an_object():
    zone = timezone(timedelta(hours=2))
    assert shown(RecurrenceSlots("FREQ=DAILY;BYHOUR=9", zone).before(utc(2024, 1, 2)), 1) == [
        "2024-01-01 07:00"
    ]
    assert problem("FREQ=DAILY", zone) is None


def test_slots_are_whole_seconds_in_utc():
    slot = next(RecurrenceSlots("FREQ=SECONDLY", "Asia/Kolkata").after(utc(2024, 1, 1, 0, 0, 0, 1)))
    assert (slot, slot.tzinfo) == (utc(2024, 1, 1, 0, 0, 1), UTC)


def test_positions_are_those_of_the_whole_week_at_new_year():
    """Monday is 2024-12-30, Wednesday 2025-01-01."""
    second, last = (
        RecurrenceSlots(f"FREQ=WEEKLY;BYDAY={days};BYHOUR=9", "UTC")
        for days in ("MO,WE,FR;BYSETPOS=2", "MO,WE;BYSETPOS=-1")
    )
    assert shown(second.after(utc(2025, 1, 1, 1)), 2) == ["2025-01-01 09:00", "2025-01-08 09:00"]
    assert shown(last.before(utc(2024, 12, 31, 1)), 2) == ["2024-12-25 09:00", "2024-12-18 09:00"]


def test_a_time_that_is_repeated_is_used_once():
    """On October 27, it is 02:00 to 03:00 twice, from 00:00 and from 01:00 in UTC."""
    slots = RecurrenceSlots("FREQ=MINUTELY;INTERVAL=30", "Europe/Berlin")
    expected = ["2024-10-27 00:00", "2024-10-27 00:30", "2024-10-27 02:00"]
    assert shown(slots.after(utc(2024, 10, 26, 23, 59)), 3) == expected
    assert shown(slots.after(utc(2024, 10, 27, 1, 10)), 1) == expected[2:]
    assert shown(slots.before(utc(2024, 10, 27, 1, 10)), 2) == expected[1::-1]
    assert shown(slots.before(utc(2024, 10, 27, 2, 0, 1)), 3) == expected[::-1]


def test_slots_exist_from_1900_to_2999():
    slots = RecurrenceSlots("DTSTART:19000101T000000\nFREQ=YEARLY", "UTC")
    assert shown(slots.after(datetime.min.replace(tzinfo=UTC)), 1) == ["1900-01-01 00:00"]
    assert shown(slots.before(datetime.max.replace(tzinfo=UTC)), 1) == ["2999-01-01 00:00"]
    assert shown(slots.after(utc(2998, 6, 1)), 2) == ["2999-01-01 00:00"]
    assert shown(slots.before(utc(1901, 6, 1)), 9) == ["1901-01-01 00:00", "1900-01-01 00:00"]
    assert shown(slots.before(utc(1900, 1, 1)), 1) == shown(slots.after(utc(3000, 1, 1)), 1) == []


def test_a_schedule_ends_where_nothing_follows_for_100_years():
    century, longer = (RecurrenceSlots(f"FREQ=YEARLY;INTERVAL={years}", "UTC") for years in (100, 101))
    assert shown(century.after(utc(1969, 1, 1)), 3) == [
        "1970-01-05 00:00",
        "2070-01-05 00:00",
        "2170-01-05 00:00",
    ]
    assert shown(century.before(utc(2071, 1, 1)), 3) == ["2070-01-05 00:00", "1970-01-05 00:00"]
    assert shown(longer.after(utc(1969, 1, 1)), 3) == ["1970-01-05 00:00"]
    assert shown(longer.after(utc(2000, 1, 1)), 3) == ["2071-01-05 00:00"]
    assert shown(longer.before(utc(2100, 1, 1)), 3) == ["2071-01-05 00:00"]
    # A start that is far away is not a gap.
    far = RecurrenceSlots("DTSTART:21500101T000000\nFREQ=DAILY", "UTC")
    assert shown(far.after(utc(2000, 1, 1)), 1) == ["2150-01-01 00:00"]


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("", "has 0 lines RRULE; write one"),
        ("FREQ=DAILY\nFREQ=DAILY", "has 2 lines RRULE; write one"),
        ("DTSTART:20240101\nDTSTART:20240101\nFREQ=DAILY", "has 2 lines DTSTART; write one"),
        *(
            (
                f"{line}\nRRULE:FREQ=DAILY",
                f"has a line {name}; leave it out, only DTSTART, RRULE and EXDATE are known",
            )
            for line, name in (
                ("RDATE:20240101T000000", "RDATE"),
                ("EXRULE:FREQ=WEEKLY", "EXRULE"),
                ("BEGIN:VEVENT", "BEGIN"),
                ("X-NAME:1", "X-NAME"),
                ("RRULE;X-A=1:FREQ=DAILY", "RRULE;X-A=1"),
                ("DTSTART;VALUE=PERIOD:20240101", "DTSTART;VALUE=PERIOD"),
            )
        ),
        (
            "FREQ=FORTNIGHTLY",
            "has FREQ=FORTNIGHTLY; write one of YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY",
        ),
        ("INTERVAL=2", "has FREQ=; write one of YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY"),
        ("FREQ=DAILY;WKST=XX", "has WKST=XX; write one of MO, TU, WE, TH, FR, SA, SU"),
        ("hello", "has a part 'HELLO', which RFC 5545 does not know; leave it out"),
        ("FREQ=DAILY;BYEASTER=1", "has a part 'BYEASTER', which RFC 5545 does not know; leave it out"),
        ("FREQ=DAILY;BYHOUR=1;BYHOUR=2", "has BYHOUR twice; write it once"),
        ("FREQ=DAILY;COUNT=1;UNTIL=20240101", "has COUNT and UNTIL; write one of them"),
        ("FREQ=DAILY;INTERVAL=0", "has INTERVAL=0; write a number from 1 to 999999999"),
        ("FREQ=DAILY;INTERVAL=1,2", "has INTERVAL=1,2; write a number from 1 to 999999999"),
        (f"FREQ=DAILY;INTERVAL={10**9}", "has INTERVAL=1000000000; write a number from 1 to 999999999"),
        ("FREQ=DAILY;COUNT=10001", "has COUNT=10001; write a number from 1 to 10000"),
        ("FREQ=DAILY;BYHOUR=9,24", "has BYHOUR=24; write a number from 0 to 23"),
        ("FREQ=DAILY;BYMINUTE=-1", "has BYMINUTE=-1; write a number from 0 to 59"),
        ("FREQ=DAILY;BYSECOND=60", "has BYSECOND=60; write a number from 0 to 59"),
        ("FREQ=DAILY;BYHOUR=", "has BYHOUR=; write a number from 0 to 23"),
        ("FREQ=DAILY;BYMONTH=13", "has BYMONTH=13; write a number from 1 to 12"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "has BYMONTHDAY=0; write a number from -31 to 31, but not 0"),
        ("FREQ=MONTHLY;BYSETPOS=367", "has BYSETPOS=367; write a number from -366 to 366, but not 0"),
        (
            "FREQ=MONTHLY;BYDAY=6MO",
            "has BYDAY=6MO; write MO, TU, WE, TH, FR, SA, SU, here also with a number, -5 to 5, not 0",
        ),
        (
            "FREQ=YEARLY;BYDAY=0MO",
            "has BYDAY=0MO; write MO, TU, WE, TH, FR, SA, SU, here also with a number, -53 to 53, not 0",
        ),
        ("FREQ=WEEKLY;BYDAY=2MO", "has BYDAY=2MO; write MO, TU, WE, TH, FR, SA, SU, here without a number"),
        (
            "FREQ=YEARLY;BYWEEKNO=2;BYDAY=2MO",
            "has BYDAY=2MO; write MO, TU, WE, TH, FR, SA, SU, here without a number",
        ),
        ("FREQ=MONTHLY;BYWEEKNO=2", "has BYWEEKNO with FREQ=MONTHLY; use FREQ=YEARLY"),
        (
            "FREQ=DAILY;BYYEARDAY=2",
            "has BYYEARDAY with FREQ=DAILY; use FREQ=YEARLY, HOURLY, MINUTELY, SECONDLY",
        ),
        (
            "FREQ=WEEKLY;BYMONTHDAY=2",
            "has BYMONTHDAY with FREQ=WEEKLY; use FREQ=YEARLY, MONTHLY, DAILY, HOURLY, MINUTELY, SECONDLY",
        ),
        *(
            (
                rule,
                f"has the time {value!r}; write 20240131T093000, 20240131T093000Z without TZID, "
                "or a day as 20240131 with VALUE=DATE",
            )
            for rule, value in (
                ("FREQ=DAILY;UNTIL=TOMORROW", "TOMORROW"),
                ("FREQ=DAILY;UNTIL=20240230", "20240230"),
                ("EXDATE:20240101T000000,\nFREQ=DAILY", ""),
                ("EXDATE;VALUE=DATE:20240101T000000\nFREQ=DAILY", "20240101T000000"),
                ("DTSTART;TZID=UTC:20240101T000000Z\nFREQ=DAILY", "20240101T000000Z"),
            )
        ),
        (
            "DTSTART:18991231T000000\nFREQ=DAILY",
            "has a DTSTART in the year 1899; write one from 1900 to 2999",
        ),
        (
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
            "never matches in the 100 years after 1970-01-05; change its parts or EXDATE",
        ),
        (
            "DTSTART:20240101T000000\nFREQ=DAILY;COUNT=1\nEXDATE;VALUE=DATE:20240101",
            "never matches in the 100 years after 2024-01-01; change its parts or EXDATE",
        ),
        (
            "FREQ=DAILY;UNTIL=19600101",
            "never matches in the 100 years after 1970-01-05; change its parts or EXDATE",
        ),
        (
            "DTSTART:19500101T000000\nFREQ=DAILY;COUNT=9",
            "never matches in the 100 years after 1970-01-01; change its parts or EXDATE",
        ),
        ("EXDATE;TZID=Asia/Kolkata:00010101T000000\nFREQ=DAILY", "has date value out of range"),
    ],
)
def test_what_is_wrong_is_said(rule, wrong):
    assert problem(rule, "UTC") == f"RRULE '{' '.join(rule.split())}' {wrong}"
    if not wrong.startswith("never"):
        with pytest.raises(ValueError) as caught:
            RecurrenceSlots(rule, "UTC")
        assert str(caught.value) == problem(rule, "UTC")


@pytest.mark.parametrize("rule", ["DTSTART;TZID=Mars/A:20240101T000000\nFREQ=DAILY", "FREQ=DAILY"])
def test_an_unknown_zone_is_said(rule):
    wrong = "has unknown time zone 'Mars/A'; use a name such as 'Europe/Berlin' or 'UTC'"
    assert problem(rule, "Mars/A") == f"RRULE '{' '.join(rule.split())}' {wrong}"


def test_a_long_rule_is_shortened_in_the_sentence():
    assert len(problem("FREQ=DAILY;BYHOUR=" + "99," * 1000, "UTC")) < 300


SIXTY = ",".join(map(str, range(60)))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("frequency", YEARS)
@pytest.mark.parametrize(
    "parts",
    [
        "BYMONTH=2;BYMONTHDAY=30",
        "BYMONTH=4,6,9,11;BYMONTHDAY=31;BYHOUR=23;BYMINUTE=59",
        "BYSETPOS=366",
        "BYSETPOS=366;BYHOUR=1;BYMINUTE=1;BYSECOND=1",
        "BYDAY=TU;INTERVAL=604800;BYHOUR=23;BYSETPOS=366",
        f"BYMONTH=2;BYMONTHDAY=30;BYMINUTE={SIXTY};BYSECOND={SIXTY}",
    ],
)
def test_a_rule_without_slots_is_found_in_bounded_time(frequency, parts):
    """dateutil alone would look through all seconds of 8,000 years."""
    if frequency == "WEEKLY":
        parts = parts.replace("BYMONTHDAY=30", "UNTIL=19690101").replace("BYMONTHDAY=31", "UNTIL=19690101")
    rule = f"FREQ={frequency};{parts}"
    slots = RecurrenceSlots(rule, "Europe/Berlin")

    assert problem(rule, "Europe/Berlin").startswith(f"RRULE '{rule[:200]}")
    assert "never matches" in problem(rule, "Europe/Berlin")
    assert list(slots.after(utc(2024, 1, 1))) == list(slots.before(utc(2024, 1, 1))) == []


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("rule", "later"),
    [
        ("FREQ=SECONDLY;INTERVAL=86400;BYHOUR=0", ["2024-01-02 00:00"]),
        ("FREQ=SECONDLY;INTERVAL=999999999", ["2033-05-22 03:33"]),
        ("FREQ=SECONDLY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=29;BYHOUR=23;BYMINUTE=59", ["2024-02-29 23:59"]),
        ("FREQ=DAILY;INTERVAL=999999999", []),
        ("FREQ=YEARLY;INTERVAL=999999999", []),
        ("FREQ=DAILY;INTERVAL=36500;COUNT=10000", ["2069-12-11 00:00"]),
        ("FREQ=YEARLY;COUNT=10000", ["2024-01-05 00:00"]),
        (
            f"FREQ=YEARLY;BYYEARDAY=366;BYSETPOS=-1;BYHOUR={SIXTY[:61]};BYMINUTE={SIXTY};BYSECOND={SIXTY}",
            ["2024-12-31 23:59"],
        ),
    ],
)
def test_a_rule_with_rare_slots_answers_in_bounded_time(rule, later):
    assert problem(rule, "UTC") is None
    assert shown(RecurrenceSlots(rule, "UTC").after(utc(2024, 1, 1)), 1) == later
