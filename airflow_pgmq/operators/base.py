"""What the operators share."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseOperator

from airflow_pgmq.lineage import ReportsQueues
from airflow_pgmq.links import PgmqQueueLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperatorLink

    from airflow_pgmq.hooks import PgmqHook

DEFAULT_CONNECTION = "pgmq_default"


class PgmqOperator(BaseOperator, ReportsQueues):
    """The operators' base. The hook is imported when a task runs, so that Dag files are parsed fast."""

    pgmq_conn_id: str
    ui_color = "#e3edf7"
    operator_extra_links: Collection[BaseOperatorLink] = (PgmqQueueLink(),)

    @cached_property
    def hook(self) -> PgmqHook:
        """The hook of the task's connection."""
        from airflow_pgmq.hooks import PgmqHook

        return PgmqHook(self.pgmq_conn_id)
