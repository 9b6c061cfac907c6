"""Messages from the callbacks of Dags and tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_pgmq.core.dedup import DEDUP_WINDOW, keys_of
from airflow_pgmq.core.delays import Delay, Ttl
from airflow_pgmq.core.source import with_source

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.core.dedup import OnDuplicate, Scope
    from airflow_pgmq.hooks import PgmqHook

__all__ = ["PgmqNotifier"]


class PgmqNotifier(BaseNotifier):
    """Send messages from a callback: `on_failure_callback=PgmqNotifier(…)`, of a task or a Dag.

    Airflow may run a callback more than once for the same event; with a `dedup_key` made of `run_id` and
    `try_number` that is still one message. In asynchronous callbacks (deadline alerts in the triggerer), the
    event loop is not blocked. The header `source` names the task or the run. The parameters are those of
    `PgmqSendOperator`.

    :param queue_name: an existing queue (templated)
    :param message: any JSON value, or a value with one JSON form (docs/reference/values.md); a list is
        several messages, so put a message that is a list into a list (templated)
    :param headers: a JSON object that travels with every message (templated)
    :param delay: seconds, a timedelta, an instant, or text of seconds or ISO 8601 (templated)
    :param ttl: seconds, a timedelta, or text of seconds, from when a message becomes visible, after which
        our consumers archive it unprocessed (header `expires_at`); None: it does not expire (templated)
    :param group: FIFO group, the header `x-pgmq-group` (templated)
    :param dedup_key: one key, or a list with one for each message; each is sent at most once (templated)
    :param dedup_scope: `once` per window, or one at a time in the queue: `queued`
    :param dedup_window: how long `once` remembers a key; 7 days by default
    :param on_duplicate: `skip`, `replace` the waiting message, or `fail`: the callback raises
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
        pgmq_conn_id: str = "pgmq_default",
        **kwargs: Any,
    ) -> None:
        # Airflow 3.1 and newer pass the context of an asynchronous callback here.
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
        self.pgmq_conn_id = pgmq_conn_id

    @cached_property
    def hook(self) -> PgmqHook:
        """The hook, imported only when something is sent, so that Dag files are parsed fast."""
        from airflow_pgmq.hooks import PgmqHook

        return PgmqHook(self.pgmq_conn_id)

    def notify(self, context: Context) -> None:
        """Send the messages; errors are raised, and Airflow logs them."""
        messages = self.message if isinstance(self.message, list) else [self.message]
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
        if len(results) == 1:
            self.log.info("Queue %s: %s", self.queue_name, results[0])
        else:
            duplicates = sum(result.status == "duplicate" for result in results)
            self.log.info("Queue %s: %d messages, %d duplicates", self.queue_name, len(results), duplicates)

    async def async_notify(self, context: Context) -> None:
        """Send the messages without blocking the event loop."""
        from asgiref.sync import sync_to_async

        # A separate thread, because with a shared one all callbacks of a triggerer would wait for each other;
        # asgiref's, because only from there Airflow's connection look-up can get back to the event loop.
        await sync_to_async(self.notify, thread_sensitive=False)(context)
