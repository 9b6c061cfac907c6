"""Sending to the queues that are bound to a routing key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_pgmq.compat import AirflowSkipException
from airflow_pgmq.core.dedup import DEDUP_WINDOW, keys_of
from airflow_pgmq.core.delays import Delay, Ttl
from airflow_pgmq.core.source import with_source
from airflow_pgmq.links import PgmqMessagesLink
from airflow_pgmq.operators.base import DEFAULT_CONNECTION, PgmqOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.core.dedup import OnDuplicate, Scope


class PgmqSendTopicOperator(PgmqOperator):
    """Send one message or a list of them to every queue that is bound to a routing key (PGMQ 1.11 and newer).

    All queues get all messages in one transaction. The result in XCom has, by the name of the queue, what
    `PgmqSendOperator` says of each message. If no queue is bound, it is empty, and the log has a warning.

    :param routing_key: segments, separated by dots (templated)
    :param message: as of `PgmqSendOperator` (templated)
    :param headers: a JSON object that travels with every message (templated)
    :param delay: seconds, a timedelta, an instant, or text of seconds or ISO 8601 (templated)
    :param ttl: as of `PgmqSendOperator` (templated)
    :param group: FIFO group, the header `x-pgmq-group` (templated)
    :param dedup_key: as of `PgmqSendOperator`; claimed in each queue, so that a retry or a clear sends only
        to queues that do not have the message (templated)
    :param dedup_scope: `once` per window, or one at a time in the queue: `queued`
    :param dedup_window: how long `once` remembers a key; 7 days by default
    :param on_duplicate: `skip`, `replace` the waiting message, or `fail`
    :param skip_on_duplicate: end as skipped when all queues have all messages already, so that downstream
        tasks do not run
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises InvalidName: it is no routing key
    :raises FeatureMissing: PGMQ is older than 1.11
    :raises DuplicateMessage: with `on_duplicate="fail"`
    """

    template_fields: Sequence[str] = (
        "routing_key",
        "message",
        "headers",
        "delay",
        "ttl",
        "group",
        "dedup_key",
        "pgmq_conn_id",
    )
    template_fields_renderers = {"message": "json", "headers": "json"}  # noqa: RUF012 - as Airflow declares it
    operator_extra_links = (PgmqMessagesLink(),)

    def __init__(
        self,
        *,
        routing_key: str,
        message: Any,
        headers: Mapping[str, Any] | None = None,
        delay: Delay = None,
        ttl: Ttl = None,
        group: str | None = None,
        dedup_key: str | Sequence[str] | None = None,
        dedup_scope: Scope = "once",
        dedup_window: timedelta = DEDUP_WINDOW,
        on_duplicate: OnDuplicate = "skip",
        skip_on_duplicate: bool = False,
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.routing_key = routing_key
        self.message = message
        self.headers = headers
        self.delay = delay
        self.ttl = ttl
        self.group = group
        self.dedup_key = dedup_key
        self.dedup_scope = dedup_scope
        self.dedup_window = dedup_window
        self.on_duplicate = on_duplicate
        self.skip_on_duplicate = skip_on_duplicate
        self.pgmq_conn_id = pgmq_conn_id
        self._reached: list[str] = []

    def execute(self, context: Context) -> dict[str, Any]:
        """Send; return the result of each queue, as `PgmqSendOperator` returns it for its one."""
        many = isinstance(self.message, list)
        messages = self.message if many else [self.message]
        found = self.hook.send_batch_topic(
            self.routing_key,
            messages,
            headers=with_source(self.headers, context),
            delays=self.delay,
            ttl=self.ttl,
            group=self.group,
            dedup_keys=keys_of(self.dedup_key, len(messages)),
            dedup_scope=self.dedup_scope,
            dedup_window=self.dedup_window,
            on_duplicate=self.on_duplicate,
        )
        self._reached = list(found)
        if not found:
            self.log.warning("No queue is bound to %s: nothing was sent", self.routing_key)
        results = [result for each in found.values() for result in each]
        fresh = [result for result in results if result.status != "duplicate"]
        self.log.info(
            "Topic %s: queues %s, %d messages, %d duplicates",
            self.routing_key,
            ", ".join(found) or "none",
            len(results),
            len(results) - len(fresh),
        )
        if self.skip_on_duplicate and results and not fresh:
            raise AirflowSkipException(f"All {len(results)} messages were sent before.")
        as_dicts = {name: [result.as_dict() for result in each] for name, each in found.items()}
        return as_dicts if many else {name: each[0] for name, each in as_dicts.items()}

    def queues_written(self) -> Sequence[str]:
        """The queues that it has reached, for lineage."""
        return self._reached
