"""The trigger of an `AssetWatcher`: messages start Dags."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_pgmq import compat, metrics
from airflow_pgmq.core import json_contains, xcom
from airflow_pgmq.core.bell import Bell, Sight
from airflow_pgmq.core.event_delivery import Delivery, Held, Pace, Quiet
from airflow_pgmq.core.event_settings import StreamSettings
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.client import LockNotAvailable
from airflow_pgmq.db.statements import watching
from airflow_pgmq.db.statements.watching import Ask
from airflow_pgmq.errors import InvalidArgument, QueueNotFound, text_of
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.triggers.outages import RetryForever
from airflow_pgmq.triggers.serializable import NOT_STORED, Serializable

if TYPE_CHECKING:
    from airflow_pgmq.triggers.shared_stream import QueueStream

__all__ = ["PgmqEventTrigger"]

Deliver: TypeAlias = Literal["doorbell", "payload"]

HALF_AN_HOUR = 1800.0


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class PgmqEventTrigger(Serializable, StreamSettings, BaseEventTrigger):
    """Updates an asset when messages arrive, and so starts the Dags that are scheduled on it.

    `deliver="doorbell"`, the default, works on every Airflow: the trigger reads no message. It updates the
    asset with one small event (`queue_name`, `visible`, `oldest`, and `slots`: those of periodic jobs, at
    most 100, the earliest ones); the run reads the messages itself and acks them after its work. The bell
    rings (the trigger sends an event) when messages become visible, and not again while a consumer works on
    them, because Airflow 3.4 starts a run for each event. It rings again if messages stay visible and for
    `ring_interval` seconds no consumer has read or held any, then after twice as long, and so on up to
    `max_ring_interval`. A lost event, a paused Dag, runs that Airflow merged or a killed triggerer lose no
    message: it is still in the queue, and the bell rings for it.

    `deliver="payload"`, Airflow 3.3 and newer: the messages are in the events, as
    `triggering_asset_events[asset][i].extra["payload"]["messages"]`. One reader per queue and triggerer
    serves all asset watchers, and a message is archived when Airflow has stored all events that contain it.
    It cannot promise that

    * a run gets the message: events of a paused Dag, or of an asset that no Dag is scheduled on, are stored
      and start nothing. Airflow 3.3 also starts one run with the first event of a burst and leaves the
      others to the next event. So events without messages follow a burst, one `quiet_after` seconds later and
      one after five times as long; if the Dag is at `max_active_runs` all that time, the burst's events wait
      for a later event. Airflow 3.4 loses no event of a burst, so no such events are sent there;
    * a message is in only one event: after a triggerer was killed or an asset watcher was removed, messages
      come again, with a `read_ct` above 1;
    * each asset watcher gets each message: with several triggerers, a message goes to the asset watchers in
      the process that read it. Give such a queue no other consumers.

    Errors are logged and the trigger continues: an event about an error would start a Dag run.

    :param queue_name: the queue
    :param deliver: `doorbell` or `payload`
    :param condition: only messages that contain this (jsonb `@>`)
    :param headers_condition: only messages whose headers contain this
    :param ordered: of each group (`group=` of a message), only the next message, once no other one of it is
        out, for consumers that read with `ordered` (docs/guides/ordering.md)
    :param ring_interval: the shortest time in seconds between two rings (doorbell)
    :param max_ring_interval: the longest time in seconds between two rings while no consumer reads the
        messages, and how long a reader may hold messages without renewing them before the bell rings for
        others; by default half an hour, or `ring_interval` if that is longer (doorbell)
    :param trigger_queue: only triggerers that serve this queue run the trigger (Airflow 3.4)
    :param pgmq_conn_id: the Airflow connection
    :param per: one event for each `message`, or one for each `batch` (payload, like all that follow)
    :param batch_size: at most this many messages are read at once, and are in one event
    :param max_in_flight: at most this many messages are read and not yet stored by Airflow, so at most about
        this many messages go through in one to two seconds
    :param max_event_bytes: a larger message is in its event without `message` and `headers`, and
        `by_reference` is true; `PgmqHook.get_messages` finds it by its `msg_id`
    :param visibility_timeout: seconds until the messages of a killed triggerer come back; a running triggerer
        extends it
    :param unmatched: what to do with a message that no asset watcher wants: `release` it for later, `archive`
        it, or `dead_letter` it
    :param unmatched_delay: seconds after which a released message is visible again
    :param max_reads: a message that was tried more often goes to the dead letter queue; reads that gave it
        back untried do not count
    :param dead_letter_queue: `<queue_name>_dlq` by default
    :param quiet_after: a burst is over after this many seconds without a message
    """

    deliver: Deliver = "doorbell"
    condition: Mapping[str, Any] | None = None
    headers_condition: Mapping[str, Any] | None = None
    ring_interval: float = 10.0
    max_ring_interval: float | None = None
    trigger_queue: str | None = dataclasses.field(default=None, metadata=NOT_STORED)

    def __post_init__(self) -> None:
        BaseEventTrigger.__init__(self)  # type: ignore[no-untyped-call]
        if self.deliver not in ("doorbell", "payload"):
            raise InvalidArgument(f"deliver must be 'doorbell' or 'payload', not {self.deliver!r}.")
        if not 0 < self.ring_interval <= self._longest_interval:
            raise InvalidArgument("ring_interval must be positive, and max_ring_interval not shorter.")
        if self.trigger_queue is not None:
            compat.route(self, self.trigger_queue)
        self.check()
        self.make_plain()
        if self.deliver == "payload":
            # Imported here so that an Airflow older than 3.3 is reported when the Dag file is parsed.
            import airflow_pgmq.triggers.shared_stream  # noqa: F401

    @property
    def _longest_interval(self) -> float:
        given = self.max_ring_interval
        return max(HALF_AN_HOUR, self.ring_interval) if given is None else given

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ring when messages arrive, and again when no consumer reads them."""
        retry = RetryForever(self.log, f"Queue {self.queue_name}")
        bell = Bell(self.ring_interval, self._longest_interval)
        while True:
            try:
                sight = await (self._look() if bell.is_outstanding else self._wait())
            except LockNotAvailable:
                # While another session locks the queue exclusively, its state is unknown.
                await asyncio.sleep(bell.pause(time.monotonic()))
                continue
            except Exception as exc:
                if isinstance(exc, QueueNotFound):
                    # The queue was dropped; a new one with its name starts with a new bell.
                    bell = Bell(self.ring_interval, self._longest_interval)
                await retry.log_and_wait(exc)
                continue
            retry.succeeded()
            if bell.rings(sight, time.monotonic()):
                yield _event(
                    queue_name=self.queue_name,
                    visible=sight.visible,
                    oldest=sight.oldest and sight.oldest.isoformat(),
                    slots=await self._slots(),
                )
            await asyncio.sleep(bell.pause(time.monotonic()))

    async def _wait(self) -> Sight:
        """Wait until messages are visible; return how many, and when the oldest of them was enqueued."""
        started = time.monotonic()
        watcher = await PgmqHook(self.pgmq_conn_id).watcher()
        visible = await watcher.wait(
            self.queue_name,
            condition=self.condition,
            headers_condition=self.headers_condition,
            ordered=self.ordered,
        )
        metrics.woken(self.queue_name, visible.waited, time.monotonic() - started)
        return Sight(visible.count, visible.oldest)

    @property
    def _ask(self) -> Ask:
        return Ask.of(self.queue_name, self.condition, self.headers_condition, ordered=self.ordered)

    async def _look(self) -> Sight:
        """Return the state of the queue after a ring, without waiting."""
        watcher = await PgmqHook(self.pgmq_conn_id).watcher()
        return await watcher.look(watching.sight(self._ask))

    async def _slots(self) -> list[str]:
        """The slots of the messages that it rings for."""
        try:
            watcher = await PgmqHook(self.pgmq_conn_id).watcher()
            return await watcher.look(watching.visible_slots(self._ask))
        except Exception as exc:
            # The ring is what matters.
            self.log.warning("Queue %s: the ring names no slots: %s", self.queue_name, exc)
            return []

    def shared_stream_key(self) -> Hashable | None:
        """The settings of the reader: asset watchers with equal keys share one. None for the doorbell."""
        return None if self.deliver == "doorbell" else ("airflow_pgmq", *self.stream_settings().values())

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> QueueStream:
        """Create the reader. Because this method exists, Airflow tells it when events are stored."""
        from airflow_pgmq.triggers.shared_stream import QueueStream

        return QueueStream(cls(**kwargs))

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Delivery]
    ) -> AsyncIterator[TriggerEvent]:
        """Turn the messages that this asset watcher wants into events.

        It never ends and never raises: Airflow would then ack messages that are in no event.
        """
        pace = Pace(2 * self.quiet_after)
        async for each in shared_stream:
            if isinstance(each, Quiet):
                if pace.needs_another(each):
                    each.trailed += 1
                    yield self._event_of([])
                    pace.note(time.monotonic(), is_trailing=True)
            else:
                for batch in self._choose(each):
                    for held, _ in batch:
                        held.offered += 1
                    yield self._event_of([message for _, message in batch])
                    # Reached only after Airflow has taken the event.
                    for held, _ in batch:
                        held.taken += 1
                    pace.note(time.monotonic())
            each.finished += 1

    def _choose(self, each: Delivery) -> list[list[tuple[Held, Row]]]:
        """The messages that this asset watcher wants, each with its content in an event, grouped by event."""
        wanted = [(held, message) for held in each.held if (message := self._wanted(held))]
        if self.per == "message":
            return [[one] for one in wanted]
        return [wanted] if wanted else []

    def _wanted(self, held: Held) -> Row | None:
        """The message's content in an event, or None if this asset watcher does not want it."""
        message = held.message
        try:
            if not self._matches(message.message, self.condition):
                return None
            if not self._matches(message.headers, self.headers_condition):
                return None
            # Content that Airflow's database refuses would end the triggerer.
            return xcom.in_event(message, self.max_event_bytes)
        except Exception as exc:
            self.log.warning("Queue %s: message %d is refused: %s", self.queue_name, message.msg_id, exc)
            held.refusal = f"refused: {text_of(exc)}"
            return None

    @staticmethod
    def _matches(value: Any, condition: Mapping[str, Any] | None) -> bool:
        return not condition or json_contains.contains(value, condition)

    def _event_of(self, messages: list[Row]) -> TriggerEvent:
        return _event(queue_name=self.queue_name, messages=messages)


def _event(**content: Any) -> TriggerEvent:
    return TriggerEvent(content)  # type: ignore[no-untyped-call]
