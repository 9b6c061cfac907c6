"""Wall-clock times of a zone as slots."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

from airflow_pgmq.core.schedule import Slots
from airflow_pgmq.core.schedule.zones import UTC, edge, instant

_TICK, _SECOND = timedelta(microseconds=1), timedelta(seconds=1)


class WallSlots:
    """The slots that a schedule has in UTC, read as times of day in a zone; each of them once."""

    def __init__(self, walls: Slots, zone: tzinfo) -> None:
        self._walls = walls
        self._zone = zone

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC."""
        last = instant
        start = edge(instant, self._zone, backward=False).replace(tzinfo=UTC)
        for slot in self._slots(self._walls.after(start - _TICK)):
            if slot > last:
                yield slot
                last = slot

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Slots earlier than `instant`, descending, in UTC."""
        last = instant
        start = edge(instant, self._zone, backward=True).replace(tzinfo=UTC)
        for slot in self._slots(self._walls.before(start + _SECOND)):
            if slot < last:
                yield slot
                last = slot

    def _slots(self, walls: Iterator[datetime]) -> Iterator[datetime]:
        return (instant(wall.replace(tzinfo=None), self._zone) for wall in walls)
