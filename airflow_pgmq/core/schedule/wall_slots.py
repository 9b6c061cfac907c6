"""Wall-clock times of a zone as slots."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

from airflow_pgmq.core.schedule import Slots
from airflow_pgmq.core.schedule.zones import UTC, instant

#: More than clocks have ever been changed by at once.
_DAY = timedelta(days=1, hours=1)


class WallSlots:
    """The slots that a schedule has in UTC, read as times of day in a zone; each of them once."""

    def __init__(self, walls: Slots, zone: tzinfo) -> None:
        self._walls = walls
        self._zone = zone

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC."""
        last = instant
        for slot in self._slots(self._walls.after(self._near(instant) - _DAY)):
            if slot > last:
                yield slot
                last = slot

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Slots earlier than `instant`, descending, in UTC."""
        last = instant
        for slot in self._slots(self._walls.before(self._near(instant) + _DAY)):
            if slot < last:
                yield slot
                last = slot

    def _near(self, at: datetime) -> datetime:
        return at.astimezone(self._zone).replace(tzinfo=UTC)

    def _slots(self, walls: Iterator[datetime]) -> Iterator[datetime]:
        return (instant(wall.replace(tzinfo=None), self._zone) for wall in walls)
