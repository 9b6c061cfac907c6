"""The hook's methods for topics, of PGMQ 1.11 and newer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_pgmq import metrics
from airflow_pgmq.core import message_stream
from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.dedup import DEDUP_WINDOW, OnDuplicate, Scope
from airflow_pgmq.core.delays import Delay, Ttl
from airflow_pgmq.core.message_stream import Keys
from airflow_pgmq.core.messages import TopicBinding, TopicRoute
from airflow_pgmq.core.send_results import SendResult
from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.statements import topics
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.services.topics import send


class TopicMethods(ConnectionBase):
    """Bind queues to patterns, and send to those that a routing key reaches."""

    def bind_topic(self, pattern: str, queue_name: str, *, conn: Connection | None = None) -> None:
        """Route messages whose routing key matches the pattern to the queue (PGMQ 1.11 and newer).

        :param pattern: segments, separated by dots; `*` is one segment, `#` any number of them
        :param queue_name: the queue
        :param conn: join this connection's transaction
        """
        self.client.run(lambda: topics.bind_if_there(pattern, queue_name), conn)

    def unbind_topic(self, pattern: str, queue_name: str, *, conn: Connection | None = None) -> bool:
        """Remove a binding; False if there was none."""
        return self.client.run(lambda: topics.unbind(pattern, queue_name), conn)

    def topics(self, queue_name: str | None = None, *, conn: Connection | None = None) -> list[TopicBinding]:
        """The bindings of topics to queues.

        :param queue_name: only those of this queue
        :param conn: join this connection's transaction
        """
        return self.client.run(lambda: topics.bindings(queue_name), conn)

    def test_routing(self, routing_key: str, *, conn: Connection | None = None) -> list[TopicRoute]:
        """The bindings that a routing key matches, by queue: where a message would go. It sends nothing.

        :param routing_key: segments, separated by dots
        :param conn: join this connection's transaction
        :raises InvalidName: it is no routing key
        """
        return self.client.run(lambda: topics.routes(routing_key), conn)

    def validate_routing_key(self, routing_key: str, *, conn: Connection | None = None) -> None:
        """Ask PGMQ whether it takes this routing key.

        :raises InvalidName: it does not; the text says why
        """
        self.client.run(lambda: topics.validate_routing_key(routing_key), conn)

    def validate_topic_pattern(self, pattern: str, *, conn: Connection | None = None) -> None:
        """Ask PGMQ whether `bind_topic` takes this pattern.

        :raises InvalidName: it does not; the text says why
        """
        self.client.run(lambda: topics.validate_pattern(pattern), conn)

    def send_topic(
        self,
        routing_key: str,
        message: Any,
        *,
        headers: Mapping[str, Any] | None = None,
        delay: Delay = None,
        ttl: Ttl = None,
        group: str | None = None,
        dedup_key: str | None = None,
        dedup_scope: Scope = "once",
        dedup_window: timedelta = DEDUP_WINDOW,
        on_duplicate: OnDuplicate = "skip",
        conn: Connection | None = None,
    ) -> dict[str, SendResult]:
        """Send a message to every queue bound to the routing key (PGMQ 1.11 and newer).

        All of them get it in one transaction, or none. A dedup key is claimed in each queue: a queue that is
        bound later gets the message if it is sent again, the others do not get it twice.

        :param routing_key: segments, separated by dots
        :param message: any JSON value, or a value with one JSON form (docs/reference/values.md)
        :param headers: a JSON object that travels with the message
        :param delay: as for `send`
        :param ttl: as for `send`
        :param group: FIFO group, the header `x-pgmq-group`
        :param dedup_key: as for `send`, in each queue
        :param dedup_scope: as for `send`
        :param dedup_window: as for `send`
        :param on_duplicate: as for `send`; with `fail`, one queue that has the key is enough
        :param conn: join this connection's transaction
        :return: the result for each queue, by its name; empty if no queue is bound to the key
        :raises InvalidName: it is no routing key
        """
        found = self.send_batch_topic(
            routing_key,
            [message],
            headers=headers,
            delays=delay,
            ttl=ttl,
            group=group,
            dedup_keys=None if dedup_key is None else [dedup_key],
            dedup_scope=dedup_scope,
            dedup_window=dedup_window,
            on_duplicate=on_duplicate,
            conn=conn,
        )
        return {queue_name: result for queue_name, (result,) in found.items()}

    def send_batch_topic(
        self,
        routing_key: str,
        messages: Sequence[Any],
        *,
        headers: Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None = None,
        delays: Delay | Sequence[Delay] = None,
        ttl: Ttl = None,
        group: str | None = None,
        dedup_keys: Keys | None = None,
        dedup_scope: Scope = "once",
        dedup_window: timedelta = DEDUP_WINDOW,
        on_duplicate: OnDuplicate = "skip",
        conn: Connection | None = None,
    ) -> dict[str, list[SendResult]]:
        """Send many messages to every queue bound to the routing key (PGMQ 1.11 and newer).

        All of them are sent to all queues in one transaction, or none.

        :param routing_key: segments, separated by dots
        :param messages: JSON values
        :param headers: of all messages, or one mapping (or None) for each
        :param delays: of all messages, or one for each: seconds, a timedelta or an instant
        :param ttl: of all messages, as for `send`
        :param group: FIFO group of all messages
        :param dedup_keys: as for `send_batch`, in each queue
        :param dedup_scope: as for `send`
        :param dedup_window: as for `send`
        :param on_duplicate: as for `send_topic`
        :param conn: join this connection's transaction
        :return: for each queue, by its name, the results in the order of the messages
        :raises InvalidName: it is no routing key
        """
        batch = prepare(
            messages,
            headers=headers,
            delays=delays,
            dedup_keys=message_stream.keys_of(messages, dedup_keys),
            group=group,
            ttl=ttl,
            max_bytes=self._max_message_bytes,
        )
        found = send(
            self.client,
            routing_key,
            batch,
            scope=dedup_scope,
            window=dedup_window,
            on_duplicate=on_duplicate,
            conn=conn,
        )
        for queue_name, results in found.items():
            counts = Counter(result.status for result in results)
            metrics.sent(queue_name, counts["sent"], counts["duplicate"])
        return found
