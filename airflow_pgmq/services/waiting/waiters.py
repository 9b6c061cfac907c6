"""What each waiter waits for, when to look next, and which waiters to wake: no I/O, time is an argument."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from airflow_pgmq.db.statements.watching import COUNTED, Arrived, Ask, Seen

#: Seconds between two looks without other reason: if notifications of inserts arrive, and if they do not.
SLOW_POLL = 60.0
FAST_POLL = 5.0

#: Seconds until the next look at a queue that another session had locked exclusively.
LOCKED_POLL = 1.0

#: PGMQ's own trigger is silent for 250 ms after each notification; after that, messages of that time are
#: looked for.
AFTER_THROTTLE = 0.3

#: Seconds until messages that are still there wake the next waiters: the first ones may have failed.
AGAIN = 1.0

#: Added to timers: one that fires a little early would find nothing and have to look again.
SLACK = 0.001

#: After a look, the queue is not looked at for this many times as long as the look took, and at least this
#: many seconds: thousands of messages a second, or a slow condition, must not keep server or watcher busy.
REST = 3.0
SHORTEST_REST = 0.01


@dataclass(frozen=True, slots=True)
class Visible:
    """The result of a wait."""

    #: Matching messages that are visible; counting ends at 1,000, or `min_messages` if that is more. If the
    #: notification gave the number: how many came together.
    count: int
    #: The earliest `enqueued_at` of the messages that were counted.
    oldest: datetime | None
    #: Seconds for which the message that has been visible longest has been visible; None if the database was
    #: not asked.
    waited: float | None


@dataclass(eq=False, slots=True)
class Waiter:
    """One call of `Watcher.wait`."""

    ask: Ask
    min_messages: int
    poll_interval: float | None
    result: asyncio.Future[Visible]


@dataclass(eq=False, slots=True)
class Queue:
    """A watched queue. It is kept for a while without waiters, since triggers often return soon."""

    waiters: dict[Ask, dict[Waiter, None]] = field(default_factory=dict)
    #: When a message is expected.
    look_at: float = -inf
    #: When to look again, because a throttled trigger may have been silent.
    again_at: float = inf
    #: When to look in any case.
    poll_at: float = inf
    #: Until when it is not looked at, after the last look.
    rested_at: float = -inf
    #: Whether inserts are announced on its channel.
    announced: bool = False
    #: Whether it is paused: then what arrives wakes nobody. And when a notification last said so.
    paused: bool = False
    told_paused_at: float = -inf
    #: When its last waiter left.
    left_at: float = inf
    #: Messages that waiters were woken for; the look after a throttle wakes no other waiters for them.
    spent: dict[Ask, int] = field(default_factory=dict)

    def due_at(self) -> float:
        """When to look next; never without waiters."""
        soonest = min(self.look_at, self.again_at, self.poll_at)
        return max(soonest, self.rested_at) if self.waiters else inf

    def waits_for_one(self, ask: Ask) -> bool:
        """Whether all waiters wait for one message, with this condition."""
        return self.waiters.keys() == {ask} and all(each.min_messages == 1 for each in self.waiters[ask])

    def poll_interval(self, notified: bool) -> float:
        """The longest time between two looks."""
        longest = SLOW_POLL if notified and self.announced else FAST_POLL
        wishes = [each.poll_interval for group in self.waiters.values() for each in group]
        return min([wish for wish in wishes if wish is not None], default=longest)


class Waiters:
    """All waiters of a watcher, by queue."""

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}

    def add(self, waiter: Waiter) -> bool:
        """Add a waiter; its queue is looked at as soon as possible. True if the queue is new."""
        is_new = waiter.ask.queue_name not in self.queues
        queue = self.queues.setdefault(waiter.ask.queue_name, Queue())
        queue.waiters.setdefault(waiter.ask, {})[waiter] = None
        queue.look_at = -inf
        return is_new

    def remove(self, waiter: Waiter, now: float) -> None:
        """Remove a waiter, with or without a result."""
        queue = self.queues[waiter.ask.queue_name]
        group = queue.waiters.get(waiter.ask, {})
        group.pop(waiter, None)
        if not group:
            queue.waiters.pop(waiter.ask, None)
        if not queue.waiters:
            queue.left_at = now

    def forget(self, before: float) -> bool:
        """Drop the queues without waiters since then; True if there were any."""
        old = [name for name, each in self.queues.items() if not each.waiters and each.left_at <= before]
        for name in old:
            del self.queues[name]
        return bool(old)

    def on_notify(self, queue_name: str, now: float, arrived: Arrived | None = None) -> None:
        """Note an insert; if `arrived` is given, all of its messages are visible.

        Then waiters for any message are woken without a look, which would take longer than all the rest. Of
        a paused queue nothing is visible until a notification without content announces that it is resumed.
        """
        if (queue := self.queues.get(queue_name)) is None or (arrived is not None and queue.paused):
            return
        queue.again_at = now + AFTER_THROTTLE
        anything = Ask.of(queue_name, None, None)
        if arrived is None or not queue.waits_for_one(anything):
            queue.look_at = now
            return
        left = arrived.count
        for waiter in queue.waiters[anything]:
            if left and not waiter.result.done():
                waiter.result.set_result(Visible(arrived.count, arrived.oldest, None))
                left -= 1
            elif not waiter.result.done():
                # As after a look: if the messages are not taken, the next waiter is woken.
                queue.look_at = min(queue.look_at, now + AGAIN)
        queue.spent[anything] = queue.spent.get(anything, 0) + arrived.count - left

    def on_settled(self, queue_name: str, now: float) -> None:
        """Note that messages of groups were removed: the next ones can be read, in order."""
        queue = self.queues.get(queue_name)
        if queue is not None and any(ask.ordered for ask in queue.waiters):
            queue.look_at = now

    def on_pause(self, queue_name: str, now: float) -> None:
        """Note that a queue was paused; a look says whether that holds for this role."""
        if (queue := self.queues.get(queue_name)) is not None:
            queue.paused, queue.told_paused_at = True, now
            queue.look_at = now

    def to_look_at(self, now: float) -> list[str]:
        """The queues to look at now. If one of them is only polled, others are polled with it."""
        waiting = {name: each for name, each in self.queues.items() if each.waiters}
        if not any(each.due_at() <= now for each in waiting.values()):
            return []
        polls = any(each.poll_at <= now for each in waiting.values())
        early = FAST_POLL / 2 if polls else 0.0
        return [name for name, each in waiting.items() if each.due_at() <= now or each.poll_at <= now + early]

    def next_at(self) -> float:
        """When the next queue is due."""
        return min((each.due_at() for each in self.queues.values()), default=inf)

    def limits(self, queue_names: list[str], now: float) -> dict[Ask, int]:
        """What to ask for now, each with the number up to which to count."""
        for name in queue_names:
            queue = self.queues[name]
            if min(queue.look_at, queue.poll_at) <= now:
                queue.spent.clear()
            queue.look_at = queue.poll_at = inf
            if queue.again_at <= now:
                queue.again_at = inf
        return {
            ask: max(COUNTED, *(each.min_messages for each in group))
            for name in queue_names
            for ask, group in self.queues[name].waiters.items()
        }

    def on_look(self, seen: Mapping[Ask, Seen], asked_at: float, now: float, notified: bool) -> None:
        """Wake the waiters for which there are enough messages, and set when to look again."""
        # Acks, too, must be announced to who waits in order.
        silent = {ask.queue_name for ask, found in seen.items() if not found.announced}
        for ask, found in seen.items():
            queue = self.queues.get(ask.queue_name)
            if queue is None:
                continue
            queue.announced = ask.queue_name not in silent
            # A look that began before the notification does not know of it.
            queue.paused = found.paused or queue.told_paused_at > asked_at
            queue.rested_at = now + max(REST * found.took, SHORTEST_REST)
            queue.look_at = min(queue.look_at, asked_at + found.next_in + SLACK)
            if self._wake(queue, ask, found):
                queue.look_at = min(queue.look_at, now + AGAIN)
        for name in {ask.queue_name for ask in seen} & self.queues.keys():
            self.queues[name].poll_at = now + self.queues[name].poll_interval(notified)

    def put_off(self, queue_names: Iterable[str], now: float) -> None:
        """Note queues that could not be looked at; they will be soon."""
        for name in self.queues.keys() & set(queue_names):
            self.queues[name].poll_at = now + LOCKED_POLL

    def matching(self, ask: Ask | None = None) -> Iterator[Waiter]:
        """The waiters with this condition, or all."""
        for queue in self.queues.values():
            for each, group in queue.waiters.items():
                if ask is None or each == ask:
                    yield from list(group)

    @staticmethod
    def _wake(queue: Queue, ask: Ask, found: Seen) -> bool:
        """Wake as many waiters as there are messages for, the oldest first; True if others could be next.

        Waking all would start a task for each of them, and most would find nothing.
        """
        group = queue.waiters.get(ask, {})
        left = found.count - queue.spent.get(ask, 0)
        for waiter in group:
            if not waiter.result.done() and waiter.min_messages <= left:
                waiter.result.set_result(Visible(found.count, found.oldest, found.waited))
                left -= waiter.min_messages
        queue.spent[ask] = found.count - left
        return any(not each.result.done() and each.min_messages <= found.count for each in group)
