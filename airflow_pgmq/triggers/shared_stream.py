"""One reader of a queue for every watcher in a triggerer: `PgmqEventTrigger(deliver="payload")`.

The contract is that of `airflow.triggers.shared_stream`, new in Airflow 3.3: `open_stream` yields what is
shown to every watcher, `advance` is told when all are done with it and the events made of it are stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

from airflow.exceptions import AirflowOptionalProviderFeatureException

from airflow_pgmq import compat
from airflow_pgmq.core.event_burst import Burst
from airflow_pgmq.core.event_delivery import Delivery, Held, Quiet, Verdict
from airflow_pgmq.core.event_settings import StreamSettings
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.payload import Unreadable
from airflow_pgmq.db.statements import streaming
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services.waiting.timing import within
from airflow_pgmq.triggers.in_flight import Holding
from airflow_pgmq.triggers.outages import RetryForever

try:
    from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer
except ImportError as exc:
    raise AirflowOptionalProviderFeatureException(
        "deliver='payload' needs Airflow 3.3 or newer; deliver='doorbell' works with every Airflow."
    ) from exc

log = logging.getLogger(__name__)

#: Seconds for the other watchers of the queue to join: one that comes later misses what was shown before.
GATHERING_TIME = 1.0
#: Messages that were read more often may be what ends the triggerer: fewer and fewer are shown at once.
CALM = 3
#: Seconds until the next attempt to read what was visible and could not be read.
LOCKED_PAUSE = 1.0


class QueueStream(SharedStreamProducer):
    """Reads, shows the watchers what was read, and decides what becomes of it.

    Messages are read in a transaction of their own: rolled back, a read would leave no trace in `read_ct`,
    and a message that kills its reader would come for ever. Nothing here raises for an outage or a row that
    is gone: that would end every watcher of the queue, and the triggerer would start them again, for ever.

    Where Airflow loses events of a burst, the last message of one is archived when the events that follow the
    burst are stored. A triggerer that is killed in between leaves that message to come again, and so the
    burst has a later event.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings
        self._holding = Holding(settings)
        self._tail: Held | None = None
        self._burst = Burst(settings.quiet_after)
        self._in_vain = False
        self._trails = not compat.keeps_every_event()

    async def open_stream(self) -> AsyncIterator[tuple[Delivery, Delivery]]:
        """Messages as fast as Airflow stores their events; after a burst, the news that it is over."""
        self._holding.start()
        retry = RetryForever(log, f"Queue {self.settings.queue_name}, reading")
        await asyncio.sleep(GATHERING_TIME)
        while True:
            try:
                deliveries = await self._next()
            except Exception as exc:
                await retry.endure(exc)
                continue
            retry.succeeded()
            for delivery in deliveries:
                yield delivery, delivery

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Decide about each message, in the order in which they were shown."""
        for delivery, outcome in batch:
            is_settled = delivery.is_settled(
                acked=outcome.acked, failed=outcome.failed, rejected=outcome.rejected
            )
            if isinstance(delivery, Quiet):
                self._heard(delivery, is_settled)
            for held in delivery.held:
                verdict = delivery.verdict(
                    held,
                    is_settled=is_settled,
                    is_rejected=outcome.rejected > 0,
                    unmatched=self.settings.unmatched,
                )
                if verdict == "archive" and held.taken and self._trails:
                    self._let_go_of_tail("archive")
                    self._tail = held
                    self._burst.store()
                    self._holding.less.set()
                else:
                    self._holding.decide(verdict, held)

    async def aclose(self) -> None:
        """The last watcher has gone."""
        await self._holding.close()

    async def _next(self) -> list[Delivery]:
        """What the watchers are shown next; nothing, if what was visible went to somebody else."""
        while (room := self._room()) <= 0:
            self._holding.less.clear()
            await self._holding.less.wait()
        watcher = await PgmqHook(self.settings.pgmq_conn_id).watcher()
        messages = await watcher.run(
            streaming.read(
                self.settings.queue_name,
                max_messages=min(room, self.settings.batch_size),
                visibility_timeout=self.settings.visibility_timeout,
                calm=CALM,
            )
        )
        if messages:
            self._in_vain = False
            return self._deliveries([held for message in messages if (held := self._admit(message))])
        if self._in_vain:
            # What is visible is locked by somebody else's transaction, which may last.
            await asyncio.sleep(LOCKED_PAUSE)
        try:
            await within(watcher.wait(self.settings.queue_name), self._burst.silence())
        except asyncio.TimeoutError:
            return [self._burst.quiet()]
        self._in_vain = True
        return []

    def _room(self) -> int:
        """How many messages may be read; the tail of a burst, which waits for others, takes no place."""
        if self._holding.has_tried_more_than(CALM, apart_from=self._tail):
            return 0
        return self.settings.max_in_flight - len(self._holding) + (self._tail is not None)

    def _admit(self, message: Message) -> Held | None:
        """Hold a message; None if the watchers are not to see it."""
        held = self._holding.add(message)
        if held is None:
            return None
        if isinstance(message.message, Unreadable):
            held.refusal = message.message.reason
        elif message.tries > self.settings.max_reads:
            held.refusal = f"tried {message.tries} times"
        if held.refusal:
            self._holding.decide("dead_letter", held)
            return None
        if message.was_expired(self.settings.visibility_timeout):
            self._holding.decide("archive", held)
            return None
        return held

    def _deliveries(self, held: list[Held]) -> list[Delivery]:
        if self._trails:
            self._burst.show(len(held))
        if self.settings.per == "message":
            return [Delivery([each]) for each in held]
        return [Delivery(held)] if held else []

    def _heard(self, quiet: Quiet, is_settled: bool) -> None:
        """The watchers are done with a silence."""
        if not is_settled:
            self._let_go_of_tail("release")
        elif quiet.is_the_end:
            self._let_go_of_tail("archive")
            self._burst.end()

    def _let_go_of_tail(self, verdict: Verdict) -> None:
        if self._tail is not None:
            self._holding.decide(verdict, self._tail)
        self._tail = None
