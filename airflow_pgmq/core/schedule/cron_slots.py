"""Cron expressions in a time zone → slots in UTC, in both directions.

croniter would send a fixed-time job twice in the hour that clocks repeat.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, tzinfo
from heapq import merge
from itertools import tee

from airflow_pgmq.core.schedule.ascending import rest
from airflow_pgmq.core.schedule.cron import Cron, DayMatch, Order, parse
from airflow_pgmq.core.schedule.zones import YEARS, both, edge, instant, time_zone

_TICK = timedelta(microseconds=1)


class CronSlots:
    """The slots of one cron expression.

    A local time that does not exist is moved to the first instant after the gap, one that exists twice
    is used once; jobs of every hour (hour field `*`) follow elapsed time instead.
    """

    def __init__(
        self,
        cron: str,
        zone: str | tzinfo,
        hash_id: str | None = None,
        seconds: Order | None = None,
        day_match: DayMatch | None = None,
    ) -> None:
        self._zone = time_zone(zone) if isinstance(zone, str) else zone
        self._cron = parse(cron, hash_id, seconds, day_match)
        self._every_hour = len(self._cron.hours) == 24

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC."""
        last = instant
        for slot in self._near(instant, backward=False):
            if slot > last:
                yield slot
                last = slot

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Slots earlier than `instant`, descending, in UTC."""
        last = instant
        # Slots are whole seconds: the walk need not pass the instant itself.
        for slot in self._near(instant - _TICK, backward=True):
            if slot < last:
                yield slot
                last = slot

    def _near(self, at: datetime, *, backward: bool) -> Iterator[datetime]:
        """Slots in order, from a little before the instant, some of them more than once."""
        walls = _walls(self._cron, edge(at, self._zone, backward=backward), backward)
        if self._every_hour:
            return self._elapsed(walls, backward)
        return (instant(wall, self._zone) for wall in walls)

    def _elapsed(self, walls: Iterator[datetime], backward: bool) -> Iterator[datetime]:
        """All instants at which clocks in the zone show one of these times."""
        pairs = (both(wall, self._zone) for wall in walls)
        once, again = tee(each for each in pairs if each[0] <= each[1])
        return merge((first for first, _ in once), (second for _, second in again), reverse=backward)


def _walls(cron: Cron, start: datetime, backward: bool) -> Iterator[datetime]:
    """Wall-clock times of an expression in order, from `start` on."""
    edge = start.hour, start.minute, start.second
    first, other = start.date(), (23, 59, 59) if backward else (0, 0, 0)
    for day in _days(cron, first, backward):
        for hour, minute, second in _times(cron, edge if day == first else other, backward):
            yield datetime(day.year, day.month, day.day, hour, minute, second)


def _days(cron: Cron, start: date, backward: bool) -> Iterator[date]:
    year, month, edge = start.year, start.month, start.day
    step = -1 if backward else 1
    while year in YEARS:
        for day in rest(cron.days.of_month(year, month), edge, backward):
            yield date(year, month, day)
        months = year * 12 + month - 1 + step
        year, month, edge = months // 12, months % 12 + 1, 31 if backward else 1


def _times(cron: Cron, edge: tuple[int, int, int], backward: bool) -> Iterator[tuple[int, int, int]]:
    """The times of a day from this one on."""
    limit = 59 if backward else 0
    for hour in rest(cron.hours, edge[0], backward):
        in_hour = hour == edge[0]
        for minute in rest(cron.minutes, edge[1] if in_hour else limit, backward):
            in_minute = in_hour and minute == edge[1]
            for second in rest(cron.seconds, edge[2] if in_minute else limit, backward):
                yield hour, minute, second
