"""Slots at equal distances from an anchor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import count

from airflow_pgmq.core.schedule.zones import UTC, YEARS, instant

DAY = timedelta(days=1)


class IntervalSlots:
    """Every so often, before the anchor as well as after it.

    Whole days from an anchor without a zone are days of the job's zone: at the same local time, also after
    clocks have changed. All else is elapsed time.
    """

    def __init__(self, interval: timedelta, anchor: datetime, zone: tzinfo) -> None:
        self._interval = interval
        self._zone = zone
        self._is_local = anchor.tzinfo is None and not interval % DAY
        self._anchor = anchor
        if not self._is_local:
            self._anchor = anchor.astimezone(UTC) if anchor.tzinfo else instant(anchor, zone)

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC."""
        return self._walk(instant, 1)

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Slots earlier than `instant`, descending, in UTC."""
        return self._walk(instant, -1)

    def _walk(self, at: datetime, step: int) -> Iterator[datetime]:
        # From the other side of the instant: a change of clocks is less than a day.
        start = at.astimezone(self._zone).replace(tzinfo=None) - step * DAY if self._is_local else at
        for number in count((start - self._anchor) // self._interval + (step < 0), step):
            try:
                found = self._anchor + number * self._interval
                slot = instant(found, self._zone) if self._is_local else found
            except OverflowError:
                return
            if slot.year not in YEARS:
                return
            if slot > at if step > 0 else slot < at:
                yield slot
