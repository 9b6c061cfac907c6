"""When a job is due: one protocol for crons, intervals, single instants and recurrence rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol


class Slots(Protocol):
    """The slots of a schedule, in whole seconds and in UTC, in both directions."""

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending."""

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Slots earlier than `instant`, descending."""
