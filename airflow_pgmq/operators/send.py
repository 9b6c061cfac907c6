"""Sending messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from airflow_pgmq.compat import AirflowSkipException
from airflow_pgmq.core.dedup import DEDUP_WINDOW, keys_of
from airflow_pgmq.core.delays import Delay, Ttl
from airflow_pgmq.core.source import with_source
from airflow_pgmq.links import PgmqMessagesLink, PgmqQueueLink
from airflow_pgmq.operators.base import DEFAULT_CONNECTION, PgmqOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.core.dedup import OnDuplicate, Scope
    from airflow_pgmq.core.send_results import SendResult


class PgmqSendOperator(PgmqOperator):
    """Send one message or a list of them, each dedup key at most once.

    The result in XCom says what happened to each message: with a key, a retry or a cleared run shows
    `duplicate` and sends nothing. Outlet assets get the message ids in their event's `extra`.

    :param queue_name: an existing queue (templated)
    :param message: any JSON value, or a value with one JSON form (docs/reference/values.md); a list is
        several messages, so put a message that is a list into a list (templated)
    :param headers: a JSON object that travels with every message (templated)
    :param delay: seconds, a timedelta, an instant, or text of seconds or ISO 8601 (templated)
    :param ttl: seconds, a timedelta, or text of seconds, from when a message becomes visible, after which our
        consumers archive it unprocessed (header `expires_at`); None: it does not expire (templated)
    :param group: FIFO group, the header `x-pgmq-group` (templated)
    :param dedup_key: one key, or a list with one for each message; build it from what the message means,
        never from the clock: with `{{ macros.pgmq.run_key(dag_run) }}` in it, the message is sent once per
        slot, or once per run without a slot. Without a key, each retry and each clear sends again (templated)
    :param dedup_scope: `once` per window, or one at a time in the queue: `queued`
    :param dedup_window: how long `once` remembers a key; 7 days by default
    :param on_duplicate: `skip`, `replace` the waiting message, or `fail`
    :param skip_on_duplicate: end as skipped when nothing was sent, so that downstream tasks do not run
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises InvalidMessage: Postgres would refuse the message, or it is over `[pgmq] max_message_bytes`
    :raises QueueNotFound: there is no such queue
    :raises DuplicateMessage: with `on_duplicate="fail"`
    """

    template_fields: Sequence[str] = (
        "queue_name",
        "message",
        "headers",
        "delay",
        "ttl",
        "group",
        "dedup_key",
        "pgmq_conn_id",
    )
    template_fields_renderers = {"message": "json", "headers": "json"}  # noqa: RUF012 - as Airflow declares it
    operator_extra_links = (PgmqQueueLink(), PgmqMessagesLink())

    def __init__(
        self,
        *,
        queue_name: str,
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
        self.queue_name = queue_name
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

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Send; return the result of each message as a dict, or a list of them for a list of messages."""
        many = isinstance(self.message, list)
        messages = self.message if many else [self.message]
        results = self.hook.send_batch(
            self.queue_name,
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
        self._report(results, context)
        return [result.as_dict() for result in results] if many else results[0].as_dict()

    def queues_written(self) -> Sequence[str]:
        """The queue, for lineage."""
        return [self.queue_name]

    def _report(self, results: Sequence[SendResult], context: Context) -> None:
        fresh = [result for result in results if result.status != "duplicate"]
        if len(results) == 1:
            self.log.info("Queue %s: %s", self.queue_name, results[0])
        else:
            self.log.info(
                "Queue %s: %d messages, %d duplicates",
                self.queue_name,
                len(results),
                len(results) - len(fresh),
            )
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra["msg_ids"] = [result.msg_id for result in results]
        if self.skip_on_duplicate and results and not fresh:
            raise AirflowSkipException(f"All {len(results)} messages were sent before.")
