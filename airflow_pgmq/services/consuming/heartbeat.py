"""Renews the visibility timeout of messages during the work, in the timer's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence, Set
from types import TracebackType
from typing import Any, TypeAlias

from airflow_pgmq.core.delays import ParsedDelay
from airflow_pgmq.core.messages import Fence, Message
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import overview, reading
from airflow_pgmq.services.consuming.kept_connection import KeptConnection
from airflow_pgmq.services.consuming.timer import TIMER

#: A `logging.Logger`, or Airflow's logger of a task, which is another type.
Log: TypeAlias = Any

#: The share of the visibility timeout after which the first beat comes: shorter work needs none. Later ones
#: come more often, so that two may fail before a message becomes visible.
FIRST = 1 / 3
LATER = 1 / 4


class Heartbeat:
    """Renews the visibility timeout of the held messages, several times before it ends.

    A message that is no longer ours (read by another reader meanwhile, or removed) is not renewed, and its
    fence is added to `lost`; if we read it again, it is ours again. The thread cannot run while the whole
    process is frozen, or C code keeps the interpreter's lock; then the timeout ends, and the late ack is
    refused.
    """

    def __init__(self, client: Client, queue_name: str, visibility_timeout: int, log: Log) -> None:
        self.queue_name = queue_name
        self.visibility_timeout = visibility_timeout
        self.lost: set[Fence] = set()
        # No retry: the next beat is the next attempt.
        self._connection = KeptConnection(client, patience=0, for_a_call=True)
        self._log = log
        self._held: dict[int, Message] = {}
        #: Since when some are held; before, there were none.
        self._since = 0.0
        self._is_timed = False
        self._is_failing = False
        # Held during a beat, so that ack and beat of one message never run together: they could deadlock.
        self._beating = threading.Lock()
        # Two threads replace `_held` by a changed copy.
        self._changing = threading.Lock()

    def __enter__(self) -> Heartbeat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._changing:
            self._held = {}
            # A beat that runs sets no other one.
            self._is_timed = True
            TIMER.cancel(self)
        # A beat on a dead network may hang; what it renews is fenced.
        if self._beating.acquire(timeout=LATER * self.visibility_timeout):
            self._beating.release()

    def hold(self, messages: Iterable[Message]) -> None:
        """Renew these from now on, in addition to those that are held."""
        with self._changing:
            lost = self.lost
            ours = {each.msg_id: each for each in messages if not lost or each.fence not in lost}
            if not self._held:
                self._since = time.monotonic()
            self._held = {**self._held, **ours}
            if ours and not self._is_timed:
                self._set_timer(FIRST * self.visibility_timeout)

    def let_go(self, messages: Sequence[Message]) -> None:
        """Stop renewing these; when this returns, no beat for them is running."""
        quiet = self._beating.acquire(timeout=LATER * self.visibility_timeout)
        try:
            with self._changing:
                self._forget({message.msg_id for message in messages})
        finally:
            if quiet:
                self._beating.release()

    def _set_timer(self, seconds: float) -> None:
        TIMER.set(self, seconds, self._on_time)
        self._is_timed = True

    def _on_time(self) -> None:
        with self._changing:
            self._is_timed = False
            if not self._held:
                return
            left = self._since + FIRST * self.visibility_timeout - time.monotonic()
            self._set_timer(left if left > 0 else LATER * self.visibility_timeout)
        if left > 0:
            return
        try:
            with self._beating, self._connection:
                self._beat()
            self._is_failing = False
        except Exception as exc:
            if not self._is_failing:
                self._log.warning("The heartbeat of queue %s fails, trying again: %s", self.queue_name, exc)
            self._is_failing = True

    def _beat(self) -> None:
        held = self._held
        if not held:
            return
        messages = list(held.values())
        ours = self._connection.run(
            # Briefly: the heartbeats of other consumers come after it.
            lambda again: overview.briefly(
                reading.set_vt(self.queue_name, messages, ParsedDelay(self.visibility_timeout))
            )
        )
        with self._changing:
            # Messages that were let go of or read again during the beat are not lost.
            lost = {each for each in held.keys() - set(ours) if self._held.get(each) is held[each]}
            self.lost |= {held[each].fence for each in lost}
            self._forget(lost)
        if lost:
            self._log.warning(
                "Queue %s: messages %s are no longer ours, not renewed: read again, removed, or the queue "
                "was made again",
                self.queue_name,
                sorted(lost),
            )

    def _forget(self, gone: Set[int]) -> None:
        self._held = {msg_id: each for msg_id, each in self._held.items() if msg_id not in gone}
