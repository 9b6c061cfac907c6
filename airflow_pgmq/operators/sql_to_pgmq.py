"""Rows of a query into a queue, inside the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_pgmq.core.dedup import DEDUP_WINDOW
from airflow_pgmq.core.delays import Ttl
from airflow_pgmq.core.source import with_source
from airflow_pgmq.links import PgmqMessagesLink, PgmqQueueLink
from airflow_pgmq.operators.base import DEFAULT_CONNECTION, PgmqOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.db.statements.transfers import QueryScope


class SqlToPgmqOperator(PgmqOperator):
    """Send every row of a query as a message, in one statement: no row passes through the worker.

    The optional columns `dedup_key`, `headers` (jsonb), `delay` (interval, or a number of seconds) and
    `visible_at` (timestamptz) say how a row is sent. The column `message` (jsonb) is the payload; without
    it, all other columns are, as one object. A row whose key is null is sent without a key. All rows are
    sent, or none. The result counts `sent` and `duplicates`.

    :param queue_name: an existing queue in the database of the connection (templated)
    :param sql: one query, or the path of a `.sql` file (templated)
    :param parameters: values of `%(name)s` in the query (templated)
    :param headers: a JSON object that travels with every message (templated)
    :param ttl: seconds, a timedelta, or text of seconds, from when a message becomes visible, after which our
        consumers archive it unprocessed; a row whose own headers have `expires_at` keeps that (templated)
    :param dedup_scope: `once` per window, one at a time in the queue: `queued`, or `none`: keys are ignored
    :param dedup_window: how long `once` remembers a key; 7 days by default
    :param on_duplicate: `skip` or `fail`; equal keys inside the query are duplicates
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises InvalidQuery: the sql is not one query
    :raises DuplicateMessage: with `on_duplicate="fail"`
    """

    template_fields: Sequence[str] = ("queue_name", "sql", "parameters", "headers", "ttl", "pgmq_conn_id")
    template_fields_renderers = {"sql": "sql", "parameters": "json", "headers": "json"}  # noqa: RUF012 - as Airflow has it
    template_ext: Sequence[str] = (".sql",)
    operator_extra_links = (PgmqQueueLink(), PgmqMessagesLink())

    def __init__(
        self,
        *,
        queue_name: str,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        ttl: Ttl = None,
        dedup_scope: QueryScope = "once",
        dedup_window: timedelta = DEDUP_WINDOW,
        on_duplicate: Literal["skip", "fail"] = "skip",
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.queue_name = queue_name
        self.sql = sql
        self.parameters = parameters
        self.headers = headers
        self.ttl = ttl
        self.dedup_scope = dedup_scope
        self.dedup_window = dedup_window
        self.on_duplicate = on_duplicate
        self.pgmq_conn_id = pgmq_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Send; return the counts."""
        counts = self.hook.send_from_query(
            self.queue_name,
            self.sql,
            self.parameters,
            headers=with_source(self.headers, context),
            ttl=self.ttl,
            dedup_scope=self.dedup_scope,
            dedup_window=self.dedup_window,
            on_duplicate=self.on_duplicate,
        )
        self.log.info(
            "Queue %s: %d sent, %d duplicates", self.queue_name, counts["sent"], counts["duplicates"]
        )
        return counts

    def queues_written(self) -> Sequence[str]:
        """The queue, for lineage."""
        return [self.queue_name]
