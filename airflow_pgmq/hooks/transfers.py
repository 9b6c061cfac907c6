"""The hook's methods that move data between tables and queues, inside the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from airflow_pgmq import metrics
from airflow_pgmq.core.dedup import DEDUP_WINDOW, check_window
from airflow_pgmq.core.delays import Ttl, check_ttl
from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.statements import transfers
from airflow_pgmq.db.statements.transfers import QueryScope
from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.services import sending


class TransferMethods(ConnectionBase):
    """Rows become messages."""

    def send_from_query(
        self,
        queue_name: str,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, Any] | None = None,
        ttl: Ttl = None,
        dedup_scope: QueryScope = "once",
        dedup_window: timedelta = DEDUP_WINDOW,
        on_duplicate: Literal["skip", "fail"] = "skip",
        conn: Connection | None = None,
    ) -> dict[str, int]:
        """Send every row of a query as a message, in one statement: no row passes through Python.

        The optional columns `dedup_key`, `headers` (jsonb), `delay` (interval, or a number of seconds) and
        `visible_at` (timestamptz) say how a row is sent. The column `message` (jsonb) is the payload; without
        it, all other columns are, as one object. A null key is no key. Ids follow the query's order. All rows
        are sent, or none. `[pgmq] max_message_bytes` does not apply.

        :param queue_name: an existing queue
        :param sql: one query
        :param parameters: values of `%(name)s` in it; without parameters, percent signs need no escaping
        :param headers: of every message; the row's own headers win
        :param ttl: of every message, as for `send`; a row whose own headers have `expires_at` keeps that
        :param dedup_scope: as for `send`, or `none`: keys are ignored
        :param dedup_window: as for `send`
        :param on_duplicate: `skip` or `fail`; equal keys inside the query are duplicates
        :param conn: join this connection's transaction
        :return: the counts `sent` and `duplicates`
        :raises InvalidQuery: it is not one query
        :raises DuplicateMessage: with `on_duplicate="fail"`; nothing was sent
        """
        if dedup_scope not in ("once", "queued", "none") or on_duplicate not in ("skip", "fail"):
            raise InvalidArgument(
                "dedup_scope is 'once', 'queued' or 'none'; on_duplicate is 'skip' or 'fail'."
            )
        check_window(dedup_window)
        lifetime = check_ttl(ttl, headers)
        with self.client.connection(conn, is_new=True) as current:
            if dedup_scope != "none":
                sending.ensure_dedup(self.client, queue_name, dedup_scope, current)
            counts = self.client.run(
                lambda: transfers.send(
                    queue_name,
                    sql,
                    parameters,
                    scope=dedup_scope,
                    window=dedup_window,
                    fail_on_duplicate=on_duplicate == "fail",
                    headers=headers,
                    ttl=lifetime,
                ),
                current,
            )
        metrics.sent(queue_name, counts["sent"], counts["duplicates"])
        return counts
