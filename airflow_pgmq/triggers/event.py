"""Starting Dags by messages: what an `AssetWatcher` watches."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_pgmq import compat, metrics
from airflow_pgmq.core import containment, xcom
from airflow_pgmq.core.bell import Bell, Sight
from airflow_pgmq.core.event_delivery import Delivery, Held, Pace, Quiet
from airflow_pgmq.core.event_settings import StreamSettings
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.client import LockNotAvailable
from airflow_pgmq.db.statements import watching
from airflow_pgmq.errors import InvalidArgument, QueueNotFound
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
    """Updates an asset when messages come, and so starts the Dags that are scheduled on it.

    `deliver="doorbell"`, the default, on every Airflow: the trigger looks, reads nothing, and updates the
    asset with one small event (`queue_name`, `visible`, `oldest`). The run reads the messages itself and acks
    them after its work. The bell rings when messages become visible, and then not again while they are being
    worked on: Airflow 3.4 makes a run of each event. It rings again when messages stay visible and nobody has
    read or holds any for `ring_interval` seconds, then for twice as long, and so on up to
    `max_ring_interval`. Nothing is lost by a lost event, a paused Dag, runs that Airflow merged, or a
    triggerer that was killed: the messages are still in the queue, and the bell rings for them.

    `deliver="payload"`, Airflow 3.3 and newer: the messages are in the events, as
    `triggering_asset_events[asset][i].extra["payload"]["messages"]`. One reader per queue and triggerer feeds
    every watcher, and a message is archived when Airflow has stored every event made of it. It cannot
    promise that

    * a run sees the message: events of a paused Dag, or of an asset that no Dag is scheduled on, are stored
      and start nothing. Airflow 3.3 also starts one run with the first event of a burst and leaves the
      others to the next event, so events without messages follow a burst, one `quiet_after` seconds later and
      one after five times as long; if the Dag is at `max_active_runs` all that time, they wait for the event
      after those. Airflow 3.4 loses no event of a burst, so none follow it there;
    * a message is in one event only: a triggerer that was killed or a watcher that was removed leaves
      messages that come again, marked by a `read_ct` above 1;
    * each watcher sees each message: with several triggerers it goes to the watchers in the process that
      read it. Give such a queue no other consumers.

    Errors are logged and waited out: an event that told of them would start a Dag run.

    :param queue_name: the queue
    :param deliver: `doorbell` or `payload`
    :param condition: only messages that contain this (jsonb `@>`)
    :param headers_condition: only messages whose headers contain this
    :param ring_interval: seconds between two rings at least (doorbell)
    :param max_ring_interval: seconds between two rings at most while nobody reads the messages, and how long
        a reader may hold messages without a sign of life before the bell rings for others; half an hour, or
        `ring_interval` if that is longer (doorbell)
    :param trigger_queue: only triggerers that serve this queue run the trigger (Airflow 3.4)
    :param pgmq_conn_id: the Airflow connection
    :param per: one event for each `message`, or one for each `batch` (payload, like all that follow)
    :param batch_size: messages read at once, and in an event at most
    :param max_in_flight: messages read and not yet stored by Airflow, at most; throughput is this per second
        or two
    :param max_event_bytes: a larger message is in its event without `message` and `headers`, and
        `by_reference` is true; `PgmqHook.get_messages` finds it by its `msg_id`
    :param visibility_timeout: seconds until the messages of a killed triggerer come back; extended meanwhile
    :param unmatched: what becomes of a message that no watcher wants: `release` it for later, `archive` it,
        or `dead_letter`
    :param unmatched_delay: seconds after which a released one comes back
    :param max_reads: a message that was read more often goes to the dead-letter queue
    :param dead_letter_queue: `<queue_name>_dlq` by default
    :param quiet_after: seconds without a message after which a burst is over
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
            raise InvalidArgument(f"deliver must be 'doorbell' or 'payload', not {self.deliver!r}")
        if not 0 < self.ring_interval <= self._longest:
            raise InvalidArgument("ring_interval must be positive, and max_ring_interval not shorter")
        if self.trigger_queue is not None:
            compat.route(self, self.trigger_queue)
        self.check()
        self.make_plain()
        if self.deliver == "payload":
            # Airflow older than 3.3 is found out when the Dag file is parsed.
            import airflow_pgmq.triggers.shared_stream  # noqa: F401

    @property
    def _longest(self) -> float:
        given = self.max_ring_interval
        return max(HALF_AN_HOUR, self.ring_interval) if given is None else given

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ring when messages come, and when nobody takes them."""
        retry = RetryForever(self.log, f"Queue {self.queue_name}")
        bell = Bell(self.ring_interval, self._longest)
        while True:
            try:
                sight = await (self._look() if bell.is_outstanding else self._wait())
            except LockNotAvailable:
                # Nothing is known of the queue while somebody holds it for himself.
                await asyncio.sleep(bell.pause(time.monotonic()))
                continue
            except Exception as exc:
                if isinstance(exc, QueueNotFound):
                    # One that is made again has nothing to do with this one.
                    bell = Bell(self.ring_interval, self._longest)
                await retry.endure(exc)
                continue
            retry.succeeded()
            if bell.rings(sight, time.monotonic()):
                yield _event(
                    queue_name=self.queue_name,
                    visible=sight.visible,
                    oldest=sight.oldest and sight.oldest.isoformat(),
                )
            await asyncio.sleep(bell.pause(time.monotonic()))

    async def _wait(self) -> Sight:
        """What woke us."""
        started = time.monotonic()
        watcher = await PgmqHook(self.pgmq_conn_id).watcher()
        visible = await watcher.wait(
            self.queue_name, condition=self.condition, headers_condition=self.headers_condition
        )
        metrics.woken(self.queue_name, visible.waited, time.monotonic() - started)
        return Sight(visible.count, visible.oldest)

    async def _look(self) -> Sight:
        """What became of the messages that the bell rang for."""
        watcher = await PgmqHook(self.pgmq_conn_id).watcher()
        return await watcher.look(watching.sight(self.queue_name, self.condition, self.headers_condition))

    def shared_stream_key(self) -> Hashable | None:
        """All but what each watcher decides for itself: watchers that agree on it share one reader."""
        return None if self.deliver == "doorbell" else ("airflow_pgmq", *self.stream_settings().values())

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> QueueStream:
        """The reader; that this method is there makes Airflow wait for the events to be stored."""
        from airflow_pgmq.triggers.shared_stream import QueueStream

        return QueueStream(cls(**kwargs))

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Delivery]
    ) -> AsyncIterator[TriggerEvent]:
        """Turn what this watcher wants into events; never ends and never raises, Airflow would ack."""
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
                    # Reached only when Airflow has taken the event from us.
                    for held, _ in batch:
                        held.taken += 1
                    pace.note(time.monotonic())
            each.finished += 1

    def _choose(self, each: Delivery) -> list[list[tuple[Held, Row]]]:
        """The messages that this watcher wants and what its events say of them, event by event."""
        wanted = [(held, message) for held in each.held if (message := self._wanted(held))]
        if self.per == "message":
            return [[one] for one in wanted]
        return [wanted] if wanted else []

    def _wanted(self, held: Held) -> Row | None:
        """What an event says of the message, or None if this watcher does not want it."""
        message = held.message
        try:
            if not self._matches(message.message, self.condition):
                return None
            if not self._matches(message.headers, self.headers_condition):
                return None
            # What Airflow's database refuses would end the triggerer.
            return xcom.in_event(message, self.max_event_bytes)
        except Exception as exc:
            self.log.warning("Queue %s: message %d is refused: %s", self.queue_name, message.msg_id, exc)
            held.refusal = f"refused: {exc}"
            return None

    @staticmethod
    def _matches(value: Any, condition: Mapping[str, Any] | None) -> bool:
        return not condition or containment.contains(value, condition)

    def _event_of(self, messages: list[Row]) -> TriggerEvent:
        return _event(queue_name=self.queue_name, messages=messages)


def _event(**content: Any) -> TriggerEvent:
    return TriggerEvent(content)  # type: ignore[no-untyped-call]
