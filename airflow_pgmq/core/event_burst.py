"""Bursts: messages that come close together, followed by a pause."""

from __future__ import annotations

from airflow_pgmq.core.event_delivery import Quiet

#: The second silence after a burst is this many times as long as the first.
LONGER = 5.0


class Burst:
    """What a stream has shown since it was last quiet, and which silences its asset watchers are told of."""

    def __init__(self, quiet_after: float) -> None:
        self._quiet_after = quiet_after
        self._shown = 0
        self._stored = 0
        #: Whether a second silence is to follow the first.
        self._trailing = False

    def show(self, count: int) -> None:
        """Note that this many messages were shown to the asset watchers."""
        self._shown += count

    def store(self) -> None:
        """Note that the events of one of them are stored."""
        self._stored += 1

    def silence(self) -> float | None:
        """Seconds without a message after which the asset watchers are told; None: they were told."""
        if self._shown:
            return self._quiet_after
        return LONGER * self._quiet_after if self._trailing else None

    def quiet(self) -> Quiet:
        """The notice that the burst is over."""
        quiet = Quiet(burst=self._stored, is_last=not self._shown)
        self._trailing = not quiet.is_last
        self._shown = 0
        if quiet.is_last:
            self._stored = 0
        return quiet

    def end(self) -> None:
        """Note that no asset watcher needs another notice of this burst."""
        self._trailing = False
