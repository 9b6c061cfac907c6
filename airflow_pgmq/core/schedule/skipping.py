"""Slots without single ones that people left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from airflow_pgmq.core.schedule import Slots


class Skipping:
    """The same slots, without these."""

    def __init__(self, slots: Slots, skipped: Collection[datetime]) -> None:
        self._slots = slots
        self._skipped = frozenset(skipped)

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending."""
        return (slot for slot in self._slots.after(instant) if slot not in self._skipped)

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Slots earlier than `instant`, descending."""
        return (slot for slot in self._slots.before(instant) if slot not in self._skipped)
