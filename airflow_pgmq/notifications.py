"""Messages from the callbacks of Dags and tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_pgmq.core.batch import Delay, Ttl
from airflow_pgmq.core.source import with_source

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.db.statements.sending import Scope
    from airflow_pgmq.hooks import PgmqHook

__all__ = ["PgmqNotifier"]


class PgmqNotifier(BaseNotifier):
    """Send a message from a callback: `on_failure_callback=PgmqNotifier(…)`, of a task or a Dag.

    Airflow may call back more than once for the same event; a `dedup_key` made of `run_id` and `try_number`
    makes that one message. Where Airflow has asynchronous callbacks (deadline alerts in the triggerer), the
    event loop is not blocked. The header `source` says which task it was, or which run: `PgmqSendOperator`'s.

    :param queue_name: an existing queue (templated)
    :param message: any JSON value, or what has one way to be one (docs/values.md) (templated)
    :param headers: a JSON object that travels with the message (templated)
    :param delay: seconds, a timedelta, an instant, or text of seconds or ISO 8601 (templated)
    :param ttl: seconds, a timedelta, or text of seconds, from when the message becomes visible, after which
        our consumers archive it unseen (header `expires_at`); without one it does not expire (templated)
    :param dedup_key: send each key at most once (templated)
    :param dedup_scope: `once` per window, or one at a time in the queue: `queued`
    :param dedup_window: how long `once` remembers a key; 7 days by default
    :param pgmq_conn_id: the Airflow connection (templated)
    """

    template_fields: Sequence[str] = (
        "queue_name",
        "message",
        "headers",
        "delay",
        "ttl",
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
        dedup_key: str | None = None,
        dedup_scope: Scope = "once",
        dedup_window: timedelta = timedelta(days=7),
        pgmq_conn_id: str = "pgmq_default",
        **kwargs: Any,
    ) -> None:
        # Airflow 3.1 and newer hand over the context of an asynchronous callback here.
        super().__init__(**kwargs)
        self.queue_name = queue_name
        self.message = message
        self.headers = headers
        self.delay = delay
        self.ttl = ttl
        self.dedup_key = dedup_key
        self.dedup_scope = dedup_scope
        self.dedup_window = dedup_window
        self.pgmq_conn_id = pgmq_conn_id

    @cached_property
    def hook(self) -> PgmqHook:
        """The hook, imported when something is sent: a Dag file stays light."""
        from airflow_pgmq.hooks import PgmqHook

        return PgmqHook(self.pgmq_conn_id)

    def notify(self, context: Context) -> None:
        """Send; an error is the caller's to log."""
        result = self.hook.send(
            self.queue_name,
            self.message,
            headers=with_source(self.headers, context),
            delay=self.delay,
            ttl=self.ttl,
            dedup_key=self.dedup_key,
            dedup_scope=self.dedup_scope,
            dedup_window=self.dedup_window,
        )
        self.log.info("Queue %s: %s", self.queue_name, result)

    async def async_notify(self, context: Context) -> None:
        """The same without blocking the event loop."""
        from asgiref.sync import sync_to_async

        # A thread of its own: the shared one would make all callbacks of a triggerer wait for each other. And
        # asgiref's, because Airflow's connection lookup finds its way back to the event loop only from there.
        await sync_to_async(self.notify, thread_sensitive=False)(context)
