"""One reader of a queue for every asset watcher in a triggerer: `PgmqEventTrigger(deliver="payload")`.

It implements `airflow.triggers.shared_stream`, new in Airflow 3.3: `open_stream` yields deliveries to every
asset watcher; Airflow calls `advance` when all asset watchers are done with one and its events are stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial

from airflow.exceptions import AirflowOptionalProviderFeatureException

from airflow_pgmq import compat
from airflow_pgmq.core.event_burst import Burst
from airflow_pgmq.core.event_delivery import Delivery, Held, Quiet, Verdict
from airflow_pgmq.core.event_settings import StreamSettings
from airflow_pgmq.core.groups import GroupCursor
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.payload import Unreadable
from airflow_pgmq.db.statements import Work, groups, streaming
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services.waiting.timing import within
from airflow_pgmq.triggers.in_flight import InFlight
from airflow_pgmq.triggers.outages import RetryForever

try:
    from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer
except ImportError as exc:
    raise AirflowOptionalProviderFeatureException(
        "deliver='payload' needs Airflow 3.3 or newer; deliver='doorbell' works with every Airflow."
    ) from exc

log = logging.getLogger(__name__)

#: Seconds for the other asset watchers of the queue to join: a later one misses the messages shown before.
GATHERING_TIME = 1.0
#: A message that was read more often may be what kills the triggerer: fewer of them are shown at once.
CALM = 3
#: Seconds until the next read after messages were visible but locked.
LOCKED_PAUSE = 1.0


class QueueStream(SharedStreamProducer):
    """Reads messages, passes them to the asset watchers, and decides what happens to each.

    Messages are read in a separate transaction: a rollback would undo the count in `read_ct`, and a message
    that kills its reader would come again without end. Nothing here raises because of an outage or a missing
    row: that would end every asset watcher of the queue, and the triggerer would restart them again and
    again.

    Where Airflow loses events of a burst, the last message of a burst is archived only when the events that
    follow the burst are stored. If the triggerer is killed before, that message comes again, and so the
    burst gets a later event.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings
        self._in_flight = InFlight(settings)
        self._tail: Held | None = None
        self._burst = Burst(settings.quiet_after)
        self._found_nothing = False
        self._trails = not compat.keeps_every_event()
        # In order, it would hold its group back.
        self._keeps_tail = self._trails and not settings.ordered
        self._groups = GroupCursor()

    async def open_stream(self) -> AsyncIterator[tuple[Delivery, Delivery]]:
        """Yield messages as fast as Airflow stores their events; after a burst, yield `Quiet`."""
        self._in_flight.start()
        retry = RetryForever(log, f"Queue {self.settings.queue_name}, reading")
        await asyncio.sleep(GATHERING_TIME)
        while True:
            try:
                deliveries = await self._next()
            except Exception as exc:
                await retry.log_and_wait(exc)
                continue
            retry.succeeded()
            for delivery in deliveries:
                yield delivery, delivery

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Decide what happens to each message, in the order in which they were shown."""
        for delivery, outcome in batch:
            is_settled = delivery.is_settled(
                acked=outcome.acked, failed=outcome.failed, rejected=outcome.rejected
            )
            if isinstance(delivery, Quiet):
                self._settle_quiet(delivery, is_settled)
            for held in delivery.held:
                verdict = delivery.verdict(
                    held,
                    is_settled=is_settled,
                    is_rejected=outcome.rejected > 0,
                    unmatched=self.settings.unmatched,
                )
                if verdict == "archive" and held.taken and self._keeps_tail:
                    self._let_go_of_tail("archive")
                    self._tail = held
                    self._burst.store()
                    self._in_flight.fewer.set()
                else:
                    self._in_flight.decide(verdict, held)

    async def aclose(self) -> None:
        """Close the stream: the last asset watcher has ended."""
        await self._in_flight.close()

    async def _next(self) -> list[Delivery]:
        """The next deliveries for the asset watchers; empty if another reader took the visible messages."""
        while (room := self._room()) <= 0:
            self._in_flight.fewer.clear()
            await self._in_flight.fewer.wait()
        watcher = await PgmqHook(self.settings.pgmq_conn_id).watcher()
        messages = await watcher.run(partial(self._read, min(room, self.settings.batch_size)))
        if messages:
            self._found_nothing = False
            return self._deliveries([held for message in messages if (held := self._admit(message))])
        if self._found_nothing:
            # The visible messages are locked by another transaction, which may last.
            await asyncio.sleep(LOCKED_PAUSE)
        try:
            waiting = watcher.wait(self.settings.queue_name, ordered=self.settings.ordered)
            await within(waiting, self._burst.silence())
        except asyncio.TimeoutError:
            return [self._burst.quiet()]
        self._found_nothing = True
        return []

    def _read(self, most: int) -> Work[list[Message]]:
        queue_name, timeout = self.settings.queue_name, self.settings.visibility_timeout
        if self.settings.ordered:
            return groups.read(queue_name, self._groups, max_messages=most, visibility_timeout=timeout)
        return streaming.read(queue_name, max_messages=most, visibility_timeout=timeout, calm=CALM)

    def _room(self) -> int:
        """How many messages may be read; the last message of a burst does not count."""
        if self._in_flight.has_tried_more_than(CALM, apart_from=self._tail):
            return 0
        return self.settings.max_in_flight - len(self._in_flight) + (self._tail is not None)

    def _admit(self, message: Message) -> Held | None:
        """Hold a message; return None if the asset watchers must not see it."""
        held = self._in_flight.add(message)
        if held is None:
            return None
        if isinstance(message.message, Unreadable):
            held.refusal = message.message.reason
        elif message.tries > self.settings.max_reads:
            held.refusal = f"tried {message.tries} times"
        if held.refusal:
            self._in_flight.decide("dead_letter", held)
            return None
        if message.was_expired(self.settings.visibility_timeout):
            self._in_flight.decide("archive", held)
            return None
        return held

    def _deliveries(self, held: list[Held]) -> list[Delivery]:
        if self._trails:
            self._burst.show(len(held))
        if self.settings.per == "message":
            return [Delivery([each]) for each in held]
        return [Delivery(held)] if held else []

    def _settle_quiet(self, quiet: Quiet, is_settled: bool) -> None:
        """The asset watchers are done with a `Quiet`: settle the last message of the burst."""
        if not is_settled:
            self._let_go_of_tail("retry")
        elif quiet.is_the_end:
            self._let_go_of_tail("archive")
            self._burst.end()

    def _let_go_of_tail(self, verdict: Verdict) -> None:
        if self._tail is not None:
            self._in_flight.decide(verdict, self._tail)
        self._tail = None
