"""How messages come: close together, and then not for a while."""

from __future__ import annotations

from airflow_pgmq.core.event_delivery import Quiet

#: How many times as long the second silence after a burst is as the first.
LONGER = 5.0


class Burst:
    """What a stream has shown since it was quiet last, and which silences its watchers are to hear of."""

    def __init__(self, quiet_after: float) -> None:
        self._quiet_after = quiet_after
        self._shown = 0
        self._stored = 0
        #: Whether a second silence is to follow the first.
        self._trailing = False

    def show(self, count: int) -> None:
        """So many messages were shown to the watchers."""
        self._shown += count

    def store(self) -> None:
        """The events of one of them are stored."""
        self._stored += 1

    def silence(self) -> float | None:
        """Seconds without a message after which the watchers are to hear of it; None: they have."""
        if self._shown:
            return self._quiet_after
        return LONGER * self._quiet_after if self._trailing else None

    def quiet(self) -> Quiet:
        """The news that it is over."""
        quiet = Quiet(burst=self._stored, is_last=not self._shown)
        self._trailing = not quiet.is_last
        self._shown = 0
        if quiet.is_last:
            self._stored = 0
        return quiet

    def end(self) -> None:
        """Nobody needs to hear more of it."""
        self._trailing = False
