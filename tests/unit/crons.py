"""Random cron expressions with their meaning, and the simplest way to find their slots: check every instant.

Nothing here is shared with the package: a term is made together with its values, by walking a field's values
one by one, and a slot is found by checking the local time of every second or minute of a period.
"""

from __future__ import annotations

import os
from binascii import crc32
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cache, partial, reduce
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

UTC = timezone.utc
#: `make chaos` asks for more.
FACTOR = int(os.environ.get("EXAMPLES_FACTOR", "1"))
NAME = "report"
MONTHS = {number: date(2026, number, 1).strftime("%b").lower() for number in range(1, 13)}
#: 1 March 2026 is a Sunday.
WEEKDAYS = {number: date(2026, 3, 1 + number).strftime("%a").lower() for number in range(7)}


def runs(count: int) -> settings:
    """This many examples; without a deadline for each, because a busy machine is slow."""
    return settings(max_examples=count * FACTOR, deadline=None, suppress_health_check=[HealthCheck.too_slow])


Match = Callable[[date], bool]


@dataclass(frozen=True)
class Field:
    text: str
    values: frozenset[int]


@dataclass(frozen=True)
class DayField:
    text: str
    match: Match
    everything: bool = False
    #: False for days that depend on the month's length or weekdays: `1-30,L` is not a list of all dates.
    fixed: bool = True

    @property
    def open(self) -> bool:
        return self.text in ("*", "*/1", "?")


@dataclass(frozen=True)
class Example:
    """A cron and its meaning."""

    minute: Field
    hour: Field
    date: DayField
    month: Field
    weekday: DayField
    second: Field | None = None
    seconds_first: bool = False
    day_match: str | None = None

    @property
    def text(self) -> str:
        fields = [each.text for each in (self.minute, self.hour, self.date, self.month, self.weekday)]
        second = [self.second.text] if self.second else []
        return " ".join(second + fields if self.seconds_first else fields + second)

    @property
    def either(self) -> bool:
        """Date or weekday is enough, except if the other is `*`, or is `*/2` and all days are listed."""
        return self.day_match != "both" and not (
            self.date.open
            or self.weekday.open
            or (self.date.everything and "*" in self.weekday.text)
            or (self.weekday.everything and "*" in self.date.text)
        )

    def on(self, day: date) -> bool:
        if day.month not in self.month.values:
            return False
        return (any if self.either else all)((self.date.match(day), self.weekday.match(day)))

    def at(self, wall: datetime) -> bool:
        """Whether this local time is a time of the cron."""
        return (
            wall.minute in self.minute.values
            and wall.hour in self.hour.values
            and wall.second in (self.second.values if self.second else (0,))
            and self.on(wall.date())
        )

    @property
    def every_hour(self) -> bool:
        return len(self.hour.values) == 24

    def __repr__(self) -> str:
        return f"<{self.text}>"


def walk(low: int, high: int, begin: int, end: int, step: int) -> frozenset[int]:
    """Every step-th value from begin to end, one after the other, and on from low after high."""
    values = [begin]
    while values[-1] != end:
        values.append(values[-1] + 1 if values[-1] < high else low)
    return frozenset(values[::step])


def spelled(names: dict[int, str], value: int) -> st.SearchStrategy[str]:
    """A number, its name, or with a zero before it."""
    forms = [str(value), f"{value:02}"]
    if value in names:
        forms += [names[value], names[value].upper()]
    return st.sampled_from(forms)


@st.composite
def term(draw, low: int, high: int, position: int, *, names=(), wraps: bool, hashes: bool) -> Field:
    """One member of a list, without days' own forms."""
    names = dict(names)
    size = high - low + 1
    step = draw(st.integers(1, size + 2))
    begin, end = draw(st.tuples(st.integers(low, high), st.integers(low, high)))
    if not wraps and end < begin:
        begin, end = end, begin
    first, last = draw(spelled(names, begin)), draw(spelled(names, end))
    forms = {
        "*": walk(low, high, low, high, 1),
        f"*/{step}": walk(low, high, low, high, step),
        first: frozenset([begin]),
        f"{first}/{step}": walk(low, high, begin, high, step),
        f"{first}-{last}": walk(low, high, begin, end, 1),
        f"{first}-{last}/{step}": walk(low, high, begin, end, step),
    }
    if hashes:
        forms |= hashed(low, high, position, begin, end, step)
    text = draw(st.sampled_from(sorted(forms)))
    return Field(text, forms[text])


def hashed(low: int, high: int, position: int, begin: int, end: int, step: int) -> dict[str, frozenset[int]]:
    """Jenkins's hashes as in croniter: the name's CRC, shifted by the field's position."""
    crc = crc32(NAME.encode()) >> position

    def stepped(low: int, high: int) -> frozenset[int]:
        offset = crc % (min(low + step - 1, high) - low + 1)
        return walk(low, high, low + offset, high, step)

    forms = {"h": frozenset([low + crc % (high - low + 1)]), f"H/{step}": stepped(low, high)}
    if begin < end:
        forms[f"H({begin}-{end})"] = frozenset([begin + crc % (end - begin + 1)])
        forms[f"h({begin}-{end})/{step}"] = stepped(begin, end)
    return forms


def listed(terms: st.SearchStrategy[Field]) -> st.SearchStrategy[Field]:
    return st.lists(terms, min_size=1, max_size=3).map(
        lambda each: Field(
            ",".join(one.text for one in each), reduce(frozenset.union, (one.values for one in each))
        )
    )


def dates(wraps: bool, hashes: bool) -> st.SearchStrategy[DayField]:
    def of_values(field: Field) -> DayField:
        return DayField(field.text, lambda day: day.day in field.values, len(field.values) == 31)

    plain = term(1, 31, 2, wraps=wraps, hashes=hashes).map(of_values)
    forms = [
        plain,
        plain,
        picked(st.sampled_from("lL"), last),
        picked(st.sampled_from(["LW", "lw"]), last_working),
    ]
    if wraps:
        forms += [
            st.integers(1, 31).map(lambda n: DayField(f"{n}-L", lambda day: day.day >= n, n == 1)),
            st.integers(0, 30).flatmap(lambda n: picked(st.just(f"L-{n}"), partial(last, before=n))),
            st.integers(1, 31).flatmap(lambda n: picked(st.just(f"{n}W"), partial(nearest_working, to=n))),
        ]
    return st.just(DayField("*", lambda _: True, True)) | day_list(st.one_of(forms), 31)


Month = tuple[date, ...]


def picked(
    texts: st.SearchStrategy[str], pick: Callable[[Month], date | None]
) -> st.SearchStrategy[DayField]:
    """One day of each month, found by a look at all its days."""
    of_month = cache(pick)
    return texts.map(
        lambda text: DayField(text, lambda day: day == of_month(month(day.year, day.month)), fixed=False)
    )


@cache
def month(year: int, number: int) -> Month:
    days = (date(year, number, 1) + timedelta(days=n) for n in range(31))
    return tuple(day for day in days if day.month == number)


def working(days: Month) -> Month:
    return tuple(day for day in days if day.isoweekday() <= 5)


def last(days: Month, before: int = 0) -> date | None:
    return days[-1 - before] if before < len(days) else None


def last_working(days: Month) -> date | None:
    return last(working(days))


def nearest_working(days: Month, to: int) -> date | None:
    return min(working(days), key=lambda day: abs(day.day - to)) if to <= len(days) else None


def cron_weekday(day: date) -> int:
    return day.isoweekday() % 7


def weekdays(wraps: bool, hashes: bool) -> st.SearchStrategy[DayField]:
    def of_values(field: Field) -> DayField:
        return DayField(field.text, lambda day: cron_weekday(day) in field.values, len(field.values) == 7)

    def nth(field: Field, n: int) -> DayField:
        return DayField(
            f"{field.text}#{n}",
            lambda day: cron_weekday(day) in field.values and n == (day.day - 1) // 7 + 1,
        )

    def last(n: int, form: str) -> DayField:
        return DayField(
            form.format(n),
            lambda day: cron_weekday(day) == n % 7 and (day + timedelta(days=7)).month != day.month,
        )

    number = st.integers(0, 6)
    single = number.flatmap(lambda n: spelled(WEEKDAYS, n).map(lambda text: Field(text, frozenset([n]))))
    ranges = st.tuples(number, number).map(
        lambda ends: Field(f"{WEEKDAYS[ends[0]]}-{WEEKDAYS[ends[1]]}", walk(0, 6, *ends, 1))
    )
    # 7 is Sunday, too; and 0-7 the whole week.
    sevens = st.integers(1, 7).map(lambda n: Field(f"{n}-7", walk(0, 6, n % 7, 0, 1))) | st.sampled_from(
        [Field("7", frozenset([0])), Field("0-7", frozenset(range(7)))]
    )
    plain = term(0, 6, 4, names=WEEKDAYS.items(), wraps=wraps, hashes=hashes) | sevens
    return st.sampled_from(
        [DayField("*", lambda _: True, True), DayField("?", lambda _: True, True)]
    ) | day_list(
        plain.map(of_values)
        | st.builds(nth, single | ranges if wraps else single, st.integers(1, 5))
        | st.builds(last, st.integers(0, 7), st.sampled_from(["{}L", "l{}"] if wraps else ["{}L"])),
        7,
    )


def day_list(terms: st.SearchStrategy[DayField], size: int) -> st.SearchStrategy[DayField]:
    def union(each: list[DayField]) -> DayField:
        matches = [one.match for one in each]
        text = ",".join(one.text for one in each)
        everything = covers([one.match for one in each if one.fixed], size)
        return DayField(text, lambda day: any(match(day) for match in matches), everything)

    return st.lists(terms, min_size=1, max_size=3).map(union)


def covers(matches: list[Match], size: int) -> bool:
    """Whether a list has every date or every weekday, not only in some month."""
    # A first, second, third, fourth and fifth week; 31 days, and 28.
    days = [date(2026, 1, n) for n in range(1, 32)] + [date(2026, 2, n) for n in range(1, 29)]
    return all(any(match(day) for match in matches) for day in days)


@st.composite
def examples(
    draw, *, seconds: bool = False, daily: bool = False, wraps: bool = True, hashes: bool = True
) -> Example:
    """An expression of the whole grammar; `daily` makes many match on every day."""
    options = {"wraps": wraps, "hashes": hashes}
    every_day = DayField("*", lambda _: True, True)
    every_month = Field("*", frozenset(range(1, 13)))
    plain = daily and draw(st.integers(0, 3)) > 0
    hour = draw(st.just(Field("*", frozenset(range(24)))) | listed(term(0, 23, 1, **options)))
    return Example(
        minute=draw(listed(term(0, 59, 0, **options))),
        hour=hour,
        date=every_day if plain else draw(dates(wraps, hashes)),
        month=every_month
        if plain
        else draw(st.just(every_month) | listed(term(1, 12, 3, names=MONTHS.items(), **options))),
        weekday=every_day if plain else draw(weekdays(wraps, hashes)),
        second=draw(listed(term(0, 59, 5, **options))) if seconds else None,
        seconds_first=seconds and draw(st.booleans()),
    )


# Clocks.

ZONES = sorted(
    name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/"))
)
#: Earlier, offsets have odd seconds.
YEARS = range(1975, 2100)


@cache
def changes(zone: str, year: int) -> tuple[datetime, ...]:
    """The instants of a year at which the zone's clocks change."""
    known = ZoneInfo(zone)
    found = []
    at = datetime(year, 1, 1, tzinfo=UTC)
    while at.year == year:
        following = at + timedelta(days=1)
        if at.astimezone(known).utcoffset() != following.astimezone(known).utcoffset():
            low, high = at, following
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                if middle.astimezone(known).utcoffset() == at.astimezone(known).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(high)
        at = following
    return tuple(found)


@st.composite
def clock_changes(draw) -> tuple[str, datetime]:
    """A zone and an instant at which its clocks change; now and then one at which they don't."""
    zone = draw(st.sampled_from(ZONES))
    year = draw(st.sampled_from(YEARS))
    return zone, draw(st.sampled_from(changes(zone, year) or (datetime(year, 3, 1, tzinfo=UTC),)))


def slots_between(example: Example, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """Slots in (start, end) by the documented rule, asked of each second or minute."""
    step = timedelta(seconds=1) if example.second else timedelta(minutes=1)
    at = start + step
    before = start.astimezone(zone)
    while at < end:
        local = at.astimezone(zone)
        walls = [local.replace(tzinfo=None)]
        if not example.every_hour:
            if local.fold:
                walls = []
            skipped = local.utcoffset() - before.utcoffset()
            walls += [local.replace(tzinfo=None) - step * back for back in range(1, skipped // step + 1)]
        if any(example.at(wall) for wall in walls):
            yield at
        before = local
        at += step
