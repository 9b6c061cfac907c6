"""Times without slots: days off, and windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from airflow_pgmq.core.schedule import Slots
from airflow_pgmq.core.schedule.zones import instant

#: Why a day is off; None if it is not.
DayOff = Callable[[date], "str | None"]

#: A schedule ends where this many times in a row a slot is left out and the next one looked for behind the
#: time that leaves it out: twenty years of weekends.
JUMPS = 1000
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
#: Days off in a row that are left out together.
_RUN = 400


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without slots, and why."""

    start: datetime
    #: The first instant behind it.
    end: datetime
    reason: str


def weekend(day: date) -> str | None:
    """Saturdays and Sundays."""
    return "weekend" if day.weekday() >= 5 else None


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Days and windows in which a job has no slots."""

    zone: tzinfo
    days: Sequence[DayOff] = ()
    windows: Sequence[Gap] = ()

    def day_off(self, day: date) -> str | None:
        """Why a local day is off."""
        return next((why for is_off in self.days if (why := is_off(day)) is not None), None)

    def gap(self, at: datetime) -> Gap | None:
        """The time without slots around an instant."""
        for window in self.windows:
            if window.start <= at < window.end:
                return window
        if not self.days:
            return None
        day = at.astimezone(self.zone).date()
        if (reason := self.day_off(day)) is None:
            return None
        first, last = self._last_off(day, -1), self._last_off(day, 1)
        return Gap(self._midnight(first), self._midnight(last + _DAY), reason)

    def _last_off(self, day: date, step: int) -> date:
        """The last of the days off in a row."""
        for _ in range(_RUN):
            following = day + step * _DAY
            if self.day_off(following) is None:
                break
            day = following
        return day

    def _midnight(self, day: date) -> datetime:
        return instant(datetime.combine(day, time()), self.zone)


class OpenSlots:
    """The slots of another schedule, without those that are left out."""

    def __init__(self, slots: Slots, exclusions: Exclusions) -> None:
        self._slots = slots
        self._exclusions = exclusions

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC."""
        return self._open(self._slots.after, instant, lambda gap: gap.end - _TICK)

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Slots earlier than `instant`, descending, in UTC."""
        return self._open(self._slots.before, instant, lambda gap: gap.start)

    def _open(
        self,
        walk: Callable[[datetime], Iterator[datetime]],
        at: datetime,
        behind: Callable[[Gap], datetime],
    ) -> Iterator[datetime]:
        # Not slot by slot: a week of a job of every second has 604,800.
        jumps, found = 0, walk(at)
        while jumps <= JUMPS:
            slot = next(found, None)
            if slot is None:
                return
            if (gap := self._exclusions.gap(slot)) is None:
                jumps = 0
                yield slot
            else:
                jumps += 1
                found = walk(behind(gap))
