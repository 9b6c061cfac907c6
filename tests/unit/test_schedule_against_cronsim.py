"""Random crons in random zones around changes of clocks, against cronsim, which shares no code with croniter.

cronsim follows Debian's cron; we follow croniter, as Airflow does. Where they are known to differ, the
expression is rewritten so that it means to cronsim what it means here:

- A day field that begins with `*`, as `*/2`, restricts the other in Debian; here the two are a union.
- A field of all dates or weekdays beside one with a `*` inside restricts nothing here.
- A weekday's `n/s` goes on to Sunday's other number 7 in cronsim; here to Saturday.
- The range of one value with a step, `9-9/2`, is read as `9/2` by cronsim.
- Debian follows elapsed time if minute or hour begins with `*`; here it is if the hours are all of a day.
- With a field for seconds, cronsim always follows elapsed time: where we don't, it is asked in UTC.
- Following elapsed time, cronsim leaps to a minute as if all hours had sixty of them, and misses it where
  clocks change by half an hour (Lord Howe): it is asked in UTC, and the oracle alone in that zone.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_pgmq.core.schedule.cron import problem
from airflow_pgmq.core.schedule.cron_slots import CronSlots
from tests.unit.crons import MONTHS, UTC, WEEKDAYS, DayField, Example, clock_changes, examples, runs

NUMBERS = {name: number for names in (MONTHS, WEEKDAYS) for number, name in names.items()}


def for_cronsim(given: Example) -> str:
    """The expression with the same meaning in cronsim; seconds come first."""
    minute, hour = given.minute.text, given.hour.text
    if given.every_hour:
        hour = "*"
    elif not given.second:
        minute, hour = without_stars(minute, range(60)), without_stars(hour, range(24))
    date, weekday = given.date.text, given.weekday.text
    if given.either:
        date, weekday = without_stars(date, range(1, 32)), without_stars(weekday, range(7))
    else:
        date, weekday = star_for_all(given.date), star_for_all(given.weekday)
    weekday = re.sub(r"(^|,)(\w+)/", r"\1\2-6/", weekday)
    fields = [minute, hour, date, given.month.text, weekday]
    if given.second:
        fields.insert(0, given.second.text)
    return " ".join(",".join(map(without_step, field.split(","))) for field in fields)


def without_stars(text: str, values: range) -> str:
    def listed(step: re.Match[str]) -> str:
        return ",".join(map(str, values[:: int(step[1] or 1)]))

    return re.sub(r"\*(?:/(\d+))?", listed, text)


def star_for_all(field: DayField) -> str:
    return "*" if field.everything else field.text


def without_step(term: str) -> str:
    """The one value of a range with a step that has no other."""
    ends = re.fullmatch(r"(\w+)-(\w+)/\d+", term)
    if ends and number(ends[1]) == number(ends[2]):
        return ends[1]
    return term


def number(text: str) -> int:
    return int(NUMBERS.get(text.lower(), text))


def changes_by_hours(zone: str, at: datetime) -> bool:
    before, after = (each.astimezone(ZoneInfo(zone)).utcoffset() for each in (at - timedelta(seconds=1), at))
    return (after - before) % timedelta(hours=1) == timedelta(0)


@runs(400)
@given(
    example=st.booleans().flatmap(
        lambda seconds: examples(seconds=seconds, daily=True, wraps=False, hashes=False)
    ),
    change=clock_changes(),
    before=st.integers(1, 30 * 60),
)
def test_slots_are_those_of_cronsim(example, change, before):
    zone, at = change
    order = "first" if example.seconds_first else "last"
    assume(problem(example.text, seconds=order) is None)
    if example.every_hour:
        zone = zone if changes_by_hours(zone, at) else "UTC"
    elif example.second:
        zone = "UTC"
    start = at - timedelta(minutes=before)
    local = start.astimezone(ZoneInfo(zone))
    # The second pass of a repeated hour: cronsim forgets the pass, and goes back to the first.
    assume(not local.fold)

    found = islice(CronSlots(example.text, zone, seconds=order).after(start), 300)
    expected = islice(CronSim(for_cronsim(example), local), 300)
    end = at + timedelta(hours=36)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == theirs.astimezone(UTC), for_cronsim(example)
        if ours > end:
            break
