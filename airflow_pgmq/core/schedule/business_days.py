"""Slots on days off are moved to business days."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Literal

from airflow_pgmq.core.schedule import Slots
from airflow_pgmq.core.schedule.exclusions import JUMPS, Exclusions
from airflow_pgmq.core.schedule.zones import instant

Direction = Literal["next", "previous"]

_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
#: Days off in a row over which a slot is moved; behind more of them it is left out.
FURTHEST = 60


class BusinessDaySlots:
    """The slots of another schedule, those on days off at the same local time of the next or previous one.

    A slot that is moved to where another one is, is the same slot.
    """

    def __init__(self, slots: Slots, exclusions: Exclusions, direction: Direction) -> None:
        self._slots = slots
        self._exclusions = exclusions
        self._zone = exclusions.zone
        self._from = -1 if direction == "next" else 1
        #: A day is looked at again and again, and may have 86,400 slots.
        self._of = lru_cache(maxsize=4)(self._slots_of)

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC."""
        for slots in self._from_day(instant, 1):
            yield from slots[bisect_right(slots, instant) :]

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Slots earlier than `instant`, descending, in UTC."""
        for slots in self._from_day(instant, -1):
            yield from slots[: bisect_left(slots, instant)][::-1]

    def _from_day(self, at: datetime, step: int) -> Iterator[list[datetime]]:
        """The slots of each day, ascending, from that of the instant on."""
        day: date | None = at.astimezone(self._zone).date()
        empty = 0
        while day is not None and empty <= JUMPS:
            found = self._of(day)
            empty = 0 if found else empty + 1
            yield found
            if found or self._exclusions.day_off(day) is not None:
                day += step * _DAY
            else:
                day = self._next_day(day, step)

    def _next_day(self, day: date, step: int) -> date | None:
        """The next day with slots, after a business day without any; None if there is none."""
        edge = self._start(day + _DAY) - _TICK if step > 0 else self._start(day)
        slot = next(self._slots.after(edge) if step > 0 else self._slots.before(edge), None)
        if slot is None:
            return None
        own = slot.astimezone(self._zone).date()
        # It may be moved towards this day.
        return min(own, self._target(own), key=lambda each: step * each.toordinal())

    def _slots_of(self, day: date) -> list[datetime]:
        """The slots that a day has in the end, ascending."""
        if self._exclusions.day_off(day) is not None:
            return []
        slots = self._own(day)
        for distance in range(1, FURTHEST + 1):
            other = day + self._from * distance * _DAY
            if self._exclusions.day_off(other) is None:
                break
            slots |= {
                instant(datetime.combine(day, slot.astimezone(self._zone).time()), self._zone)
                for slot in self._own(other)
            }
        return sorted(slots)

    def _own(self, day: date) -> set[datetime]:
        end = self._start(day + _DAY)
        return set(takewhile(lambda slot: slot < end, self._slots.after(self._start(day) - _TICK)))

    def _target(self, day: date) -> date:
        """The business day to which a day's slots are moved."""
        days = (day - self._from * distance * _DAY for distance in range(FURTHEST + 1))
        return next((each for each in days if self._exclusions.day_off(each) is None), day)

    def _start(self, day: date) -> datetime:
        return instant(datetime.combine(day, time()), self._zone)
