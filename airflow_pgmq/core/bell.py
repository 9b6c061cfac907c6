"""When a doorbell rings: decided from what was found in a queue; time is an argument.

Airflow 3.4 makes a Dag run of each ring, so an unneeded ring is a run that finds no message.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

#: Most seconds between two looks while a ring is outstanding: nothing announces that a queue became empty.
LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Head:
    """The visible message with the lowest id: the one that readers take next."""

    msg_id: int
    read_ct: int

    def is_behind(self, other: Head) -> bool:
        """Whether the other was read or removed since; False if a message with a lower id became visible."""
        return self.msg_id > other.msg_id or (self.msg_id == other.msg_id and self.read_ct != other.read_ct)


@dataclass(frozen=True, slots=True)
class Held:
    """The messages that readers hold: read, not settled, and still invisible."""

    count: int
    #: When the last of them becomes visible again, unless its reader extends the time; None: never.
    until: datetime | None

    def exceeds(self, other: Held | None) -> bool:
        """Whether a reader has read more since, or extended the time. A timeout that ends is not counted."""
        if other is None or self.count > other.count:
            return True
        return other.until is not None and (self.until is None or self.until > other.until)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look found of the messages that match."""

    visible: int
    #: The earliest `enqueued_at` of the visible messages that were counted.
    oldest: datetime | None = None
    head: Head | None = None
    held: Held | None = None


class Bell:
    """Rings when messages become visible, and then not again while they are being worked on.

    The first look that finds a visible message rings. Then a ring is outstanding, until a look finds that
    no message is visible and no reader holds any. Meanwhile it rings again only if messages are visible and
    during a whole interval no reader has read or held any: the run may have failed, or its event is
    lost. The next interval is twice as long, up to `longest`, until a message is read.

    A reader that holds messages and does nothing for as long as `longest` is given up: its messages do not
    count as held any longer, until more are read or the time is extended.

    :param shortest: fewest seconds between two rings
    :param longest: most seconds between two rings, while messages stay visible
    """

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = shortest
        self._longest = max(shortest, longest)
        self._interval = shortest
        self._rung_at: float | None = None
        self._head: Head | None = None
        self._held: Held | None = None
        self._given_up: Held | None = None
        #: When a reader was last seen at work, or the bell rang; and when a reader last read or extended.
        self._quiet_since = 0.0
        self._moved_at = 0.0
        self.is_outstanding = False

    def rings(self, sight: Sight, now: float) -> bool:
        """Whether to ring after this look."""
        if not self.is_outstanding:
            return bool(sight.visible) and self._ring(sight, now)
        is_worked_on = self._watch(sight, now)
        if not sight.visible:
            self.is_outstanding = is_worked_on
            return False
        return now - self._quiet_since >= self._interval and self._ring(sight, now)

    def pause(self, now: float) -> float:
        """Seconds until the next look, or until waiting for messages may begin again."""
        if self.is_outstanding:
            return min(self._shortest / 2, LONGEST_PAUSE)
        # However often a queue becomes empty and gets messages, rings are at least `shortest` apart.
        return 0.0 if self._rung_at is None else max(0.0, self._rung_at + self._shortest - now)

    def _watch(self, sight: Sight, now: float) -> bool:
        """Note what readers did; whether a reader holds messages."""
        has_read = sight.head is not None and self._head is not None and sight.head.is_behind(self._head)
        if has_read:
            self._interval = self._shortest
        if has_read or (sight.held is not None and sight.held.exceeds(self._held)):
            self._moved_at = now
        is_held = sight.held is not None and sight.held.exceeds(self._given_up)
        if is_held and now - self._moved_at >= self._longest:
            is_held = False
        if not is_held:
            self._given_up = sight.held
        if has_read or is_held:
            self._quiet_since = now
        self._head = sight.head or self._head
        self._held = sight.held
        return is_held

    def _ring(self, sight: Sight, now: float) -> bool:
        self._interval = min(2 * self._interval, self._longest) if self.is_outstanding else self._shortest
        self._rung_at = self._quiet_since = now
        if not self.is_outstanding:
            self._moved_at = now
            self._head, self._held = sight.head, sight.held
        self.is_outstanding = True
        return True
