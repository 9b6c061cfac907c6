"""A few kinds of schedules, and their slots by brute force, without a library."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86400))


@dataclass(frozen=True)
class Every:
    """A slot every this many seconds; 30 minutes must be a multiple, so that the zone does not matter."""

    seconds: int
    zone: str = "UTC"

    @property
    def cron(self) -> str:
        if self.seconds < 60:
            return f"* * * * * */{self.seconds}"
        return f"*/{self.seconds // 60} * * * *"

    def on(self, day: date) -> tuple[datetime, ...]:
        """The slots of a day of UTC."""
        midnight = datetime.combine(day, datetime.min.time(), UTC)
        return tuple(midnight + SECOND * n for n in range(0, 86400, self.seconds))


@dataclass(frozen=True)
class Hourly:
    """At one minute of every hour: whenever the wall clock shows it, twice in a repeated hour."""

    minute: int
    zone: str = "UTC"

    @property
    def cron(self) -> str:
        return f"{self.minute} * * * *"

    def on(self, day: date) -> tuple[datetime, ...]:
        """The slots of a day of UTC."""
        return tuple(at for at, wall in _minutes(day, self.zone) if wall.minute == self.minute)


@dataclass(frozen=True)
class Daily:
    """Once a day: the first instant at which the day's wall clock shows the time, or a later one in a gap."""

    hour: int
    minute: int
    zone: str = "UTC"

    @property
    def cron(self) -> str:
        return f"{self.minute} {self.hour} * * *"

    def on(self, day: date) -> tuple[datetime, ...]:
        """The slots of a day of UTC."""
        found = (self._of(day + DAY * n) for n in (-1, 0, 1))
        return tuple(at for at in found if at.date() == day)

    def _of(self, local: date) -> datetime:
        walls = [pair for n in (-1, 0, 1) for pair in _minutes(local + DAY * n, self.zone)]
        time = (self.hour, self.minute)
        return next(at for at, wall in walls if wall.date() == local and (wall.hour, wall.minute) >= time)


@dataclass(frozen=True)
class Yearly:
    """The first second of a year: a job that has nothing to do."""

    zone: str = "UTC"
    cron = "0 0 1 1 *"

    def on(self, day: date) -> tuple[datetime, ...]:
        """The slots of a day of UTC, far from any new year."""
        assert 2 < day.timetuple().tm_yday < 364
        return ()


@dataclass(frozen=True)
class Apart:
    """Slots of elapsed time since the first Monday of 1970."""

    minutes: int
    zone: str = "UTC"

    @property
    def anchor(self) -> datetime:
        return EPOCH + 4 * DAY

    def on(self, day: date) -> tuple[datetime, ...]:
        """The slots of a day of UTC."""
        midnight = datetime.combine(day, datetime.min.time(), UTC)
        return tuple(
            at
            for at in (midnight + MINUTE * n for n in range(1440))
            if (at - self.anchor) % (MINUTE * self.minutes) == timedelta(0)
        )


@dataclass(frozen=True)
class Without:
    """Slots of another schedule without those of an hour of each second day of the month."""

    other: Every
    zone: str = "UTC"

    def on(self, day: date) -> tuple[datetime, ...]:
        """The slots of a day of UTC."""
        return tuple(
            at for at in self.other.on(day) if not any(start <= at < start + HOUR for start in self.starts())
        )

    def starts(self) -> list[datetime]:
        """When these hours begin."""
        return [datetime(year, month, 2, 3, tzinfo=UTC) for year in (2026, 2027) for month in range(1, 13)]


@dataclass(frozen=True)
class Workdaily:
    """Once a day; on weekends at the same time of the Monday after, which is the same slot, or not at all."""

    daily: Daily
    business_day: str

    @property
    def zone(self) -> str:
        return self.daily.zone

    def on(self, day: date) -> tuple[datetime, ...]:
        """The slots of a day of UTC."""
        zone = ZoneInfo(self.zone)
        return tuple(at for at in self.daily.on(day) if at.astimezone(zone).isoweekday() < 6)


Schedule = Every | Hourly | Daily | Yearly | Apart | Without | Workdaily


def between(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    """The slots in (after, until]."""
    found: list[datetime] = []
    for n in range((until.date() - after.date()).days + 1):
        slots = _on(schedule, after.date() + DAY * n)
        found += slots[bisect_right(slots, after) : bisect_right(slots, until)]
    return found


@lru_cache(maxsize=4096)
def _on(schedule: Schedule, day: date) -> tuple[datetime, ...]:
    return schedule.on(day)


@lru_cache(maxsize=256)
def _minutes(day: date, zone: str) -> tuple[tuple[datetime, datetime], ...]:
    """Every minute of a day of UTC, with the local time of the zone."""
    midnight, local = datetime.combine(day, datetime.min.time(), UTC), ZoneInfo(zone)
    return tuple((at, at.astimezone(local)) for at in (midnight + MINUTE * n for n in range(1440)))
