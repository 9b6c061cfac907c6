"""Messages whose work is done, until they are acked together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from airflow_pgmq.core.messages import Message
from airflow_pgmq.services.consuming.timer import ACKS

#: Seconds that a finished message waits for others, while the work on the next one runs.
LONGEST_WAIT = 0.005
#: Seconds until the timer looks again, if the consumer is busy with the database.
AGAIN = 0.002


class Finished:
    """A group of messages to be acked: with the next read, by count, or after a few milliseconds.

    A worker that dies repeats at most these. The consumer's thread has the lock, except while the work runs:
    then the timer's thread may ack.

    :param ack: acks in the timer's thread; if it raises, the messages stay in the group
    """

    def __init__(self, ack: Callable[[Sequence[Message]], object]) -> None:
        self._ack = ack
        self._messages: list[Message] = []
        #: Whether an ack of these was tried, and its answer may be lost.
        self._again = False
        self._is_timed = False
        self._has_ended = False
        # Re-entrant, so that an acquire that a signal has interrupted can be made again.
        self._lock = threading.RLock()
        #: Whether the consumer's thread has it.
        self._is_held = False

    def __len__(self) -> int:
        return len(self._messages)

    def begin(self) -> None:
        """Begin a drain, in this thread."""
        self._hold()

    def end(self) -> None:
        """From now on, the timer acks nothing."""
        self._has_ended = True
        ACKS.cancel(self)
        if not self._is_held:
            self._hold()

    def add(self, messages: Sequence[Message]) -> None:
        """Add messages whose work is done."""
        self._messages += messages

    def take(self) -> tuple[list[Message], bool]:
        """The group, which is empty afterwards; and whether it may have been acked already."""
        taken = self._messages, self._again
        self._messages, self._again = [], False
        return taken

    @contextmanager
    def acking(self, messages: Sequence[Message], unfinished: Mapping[int, Message]) -> Iterator[None]:
        """Around an ack: what a signal leaves of it is in the group again, for the end of the drain."""
        try:
            yield
        except Exception:
            raise
        except BaseException:
            left = [each for each in messages if each.msg_id in unfinished]
            self._messages, self._again = [*left, *self._messages], True
            raise

    @contextmanager
    def work(self) -> Iterator[None]:
        """Around the work on other messages, which may take any time."""
        if self._messages and not self._is_timed:
            ACKS.set(self, LONGEST_WAIT, self._on_time)
            self._is_timed = True
        if self._is_held:
            self._is_held = False
            self._lock.release()
        try:
            yield
        finally:
            try:
                self._hold()
            except BaseException:
                self._hold()
                raise

    def _hold(self) -> None:
        self._lock.acquire()
        self._is_held = True

    def _on_time(self) -> None:
        if self._has_ended:
            return
        if not self._lock.acquire(blocking=False):
            ACKS.set(self, AGAIN, self._on_time)
            if self._has_ended:
                ACKS.cancel(self)
            return
        try:
            self._is_timed = False
            # If an answer is lost, the consumer's thread finds out what became of them.
            if self._messages and not self._again and not self._has_ended:
                self._ack(self._messages)
                self._messages = []
        except Exception:
            # The consumer's thread acks them, and raises what hinders that.
            self._again = True
        finally:
            self._lock.release()
