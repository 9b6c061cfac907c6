"""Messages on their way into asset events, and what becomes of each: no driver, no Airflow.

Airflow's acked stream counts as accepted what a watcher left behind when it was cancelled, what no watcher
wanted and what a failing filter swallowed. So the watchers leave marks here, and a message is archived only
where the marks and Airflow's counts agree.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from airflow_pgmq.core.messages import Message

Unmatched: TypeAlias = Literal["release", "archive", "dead_letter"]
#: `return` is a release at the end of the reader, which says nothing of the message.
Verdict: TypeAlias = Literal["archive", "release", "return", "put_off", "dead_letter"]


@dataclasses.dataclass(slots=True)
class Held:
    """A message that was read and is not settled."""

    #: As last read: if it came back while it was outstanding, the newer reading fences the ack.
    message: Message
    #: How many events were about to be handed to Airflow with it, and how many were.
    offered: int = 0
    taken: int = 0
    #: Why a watcher refused it.
    refusal: str | None = None


@dataclasses.dataclass(slots=True)
class Delivery:
    """What goes through the stream as one, a message or a batch; the same object for every watcher."""

    held: list[Held]
    #: How many watchers have dealt with all of it.
    finished: int = 0

    def is_settled(self, *, acked: int, failed: int, rejected: int) -> bool:
        """Whether every watcher that it was meant for has dealt with all of it and its events are stored.

        A watcher that was cancelled in the middle counts as `acked`, but has not finished.
        """
        return failed == 0 and 0 < self.finished == acked + rejected

    def verdict(self, held: Held, *, is_settled: bool, is_rejected: bool, unmatched: Unmatched) -> Verdict:
        """What to do with one of its messages.

        A refusal by one watcher outweighs that another took it: the message is looked at by people, and the
        event of the other stands.
        """
        if not is_settled or held.offered != held.taken:
            return "release"
        if held.refusal or is_rejected:
            return "dead_letter"
        if held.taken:
            return "archive"
        return "put_off" if unmatched == "release" else unmatched


@dataclasses.dataclass(slots=True)
class Quiet(Delivery):
    """Comes through the stream when it has fallen silent, and once more later: watchers trail their bursts.

    One trailing event would do, did Airflow's scheduler always come by before it.
    """

    held: list[Held] = dataclasses.field(default_factory=list)
    #: How many messages got into stored events since the last silence.
    burst: int = 0
    is_last: bool = False
    #: How many watchers trailed.
    trailed: int = 0

    @property
    def is_the_end(self) -> bool:
        """Whether the burst needs nothing more."""
        return self.is_last or not self.trailed


class Pace:
    """Whether the events of a watcher came so close together that Airflow may have left some without a run.

    Airflow 3.3.2 queues a Dag once until its scheduler comes by, and the run gets the events up to the one
    that queued it.
    """

    def __init__(self, distance: float) -> None:
        self._distance = distance
        self._last: float | None = None
        self._is_crowded = False
        # A watcher that came in the middle of a burst cannot know what there was before it.
        self._is_first = True

    def note(self, now: float, *, is_trailing: bool = False) -> None:
        """An event was taken, at this time in seconds; one that trails a burst needs none to trail it."""
        if not is_trailing and self._last is not None and now - self._last < self._distance:
            self._is_crowded = True
        self._last = now

    def needs_another(self, quiet: Quiet) -> bool:
        """Whether one more event is needed in a silence; after its last one all starts anew."""
        needed = self._is_crowded or (self._is_first and quiet.burst > 1)
        if quiet.is_last or not needed:
            self._is_crowded = self._is_first = False
        return needed
