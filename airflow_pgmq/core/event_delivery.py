"""Messages on their way into asset events, and what becomes of each: no driver, no Airflow.

Airflow's acked stream counts a message as accepted also when its asset watcher was cancelled, when no asset
watcher wanted it, and when a filter failed on it. So the asset watchers record here what they did, and a
message is archived only if these records and Airflow's counts agree.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from airflow_pgmq.core.messages import Message

Unmatched: TypeAlias = Literal["release", "archive", "dead_letter"]
#: Three give a message back: `retry` at once, and the read counts as a try; `release` after a delay, because
#: no asset watcher wants it; `return` at once, because the reader ends and no asset watcher has judged it.
Verdict: TypeAlias = Literal["archive", "retry", "return", "release", "dead_letter"]


@dataclasses.dataclass(slots=True)
class Held:
    """A message that was read and is not settled yet."""

    #: As last read: if it was read again before it was settled, the newer read fences the ack.
    message: Message
    #: How many events were about to be handed to Airflow with it, and how many were.
    offered: int = 0
    taken: int = 0
    #: Why an asset watcher refused it.
    refusal: str | None = None


@dataclasses.dataclass(slots=True)
class Delivery:
    """One item of the stream, a message or a batch; every asset watcher gets the same object."""

    held: list[Held]
    #: How many asset watchers have dealt with all of it.
    finished: int = 0

    def is_settled(self, *, acked: int, failed: int, rejected: int) -> bool:
        """Whether each asset watcher that it was for has dealt with all of it and its events are stored.

        An asset watcher that was cancelled in the middle counts as `acked`, but has not finished.
        """
        return failed == 0 and 0 < self.finished == acked + rejected

    def verdict(self, held: Held, *, is_settled: bool, is_rejected: bool, unmatched: Unmatched) -> Verdict:
        """What to do with one of its messages.

        If one asset watcher refuses it and another took it, it becomes a dead letter for people to look at,
        and the event of the other remains.
        """
        if not is_settled or held.offered != held.taken:
            return "retry"
        if held.refusal or is_rejected:
            return "dead_letter"
        if held.taken:
            return "archive"
        return unmatched


@dataclasses.dataclass(slots=True)
class Quiet(Delivery):
    """A notice in the stream that no message came for a while, and once more later.

    At each, asset watchers may send one more event after their burst. One would be enough if Airflow's
    scheduler always had run before it.
    """

    held: list[Held] = dataclasses.field(default_factory=list)
    #: How many messages got into stored events since the last silence.
    burst: int = 0
    is_last: bool = False
    #: How many asset watchers sent one more event.
    trailed: int = 0

    @property
    def is_the_end(self) -> bool:
        """Whether the burst needs no further event."""
        return self.is_last or not self.trailed


class Pace:
    """Whether an asset watcher's events came so close together that Airflow may have made no run for some.

    Airflow 3.3.2 queues a Dag once until its scheduler looks, and the run gets the events up to the one
    that queued it.
    """

    def __init__(self, distance: float) -> None:
        self._distance = distance
        self._last: float | None = None
        self._is_crowded = False
        # An asset watcher that starts in the middle of a burst does not know what came before.
        self._is_first = True

    def note(self, now: float, *, is_trailing: bool = False) -> None:
        """Note an event that Airflow took, at `now` in seconds; one after a burst needs no further one."""
        if not is_trailing and self._last is not None and now - self._last < self._distance:
            self._is_crowded = True
        self._last = now

    def needs_another(self, quiet: Quiet) -> bool:
        """Whether one more event is needed in a silence; after the last silence, counting starts again."""
        needed = self._is_crowded or (self._is_first and quiet.burst > 1)
        if quiet.is_last or not needed:
            self._is_crowded = self._is_first = False
        return needed
