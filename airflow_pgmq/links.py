"""Buttons in a task's details that open the PGMQ page at the task's queue, jobs or messages.

A worker does not know Airflow's URL, so the links are relative, and `pgmq/go/…` redirects to the view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow.sdk import BaseOperatorLink

from airflow_pgmq import compat

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

__all__ = ["PgmqJobsLink", "PgmqMessagesLink", "PgmqQueueLink"]


class PgmqQueueLink(BaseOperatorLink):
    """The task's queue."""

    name = "PGMQ queue"

    @property
    def xcom_key(self) -> str:
        """The key of the XCom in which Airflow stores the link."""
        return "pgmq_queue_link"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Called by the worker when the task has ended; its template fields are rendered."""
        task: Any = operator
        return _link(f"queue/{quote(task.queue_name, safe='')}", connection_id=task.pgmq_conn_id)


class PgmqJobsLink(BaseOperatorLink):
    """The periodic jobs that the task ticks."""

    name = "PGMQ periodic jobs"

    @property
    def xcom_key(self) -> str:
        """The key of the XCom in which Airflow stores the link."""
        return "pgmq_jobs_link"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Called by the worker when the task has ended; its template fields are rendered."""
        task: Any = operator
        namespace = task.namespace or ti_key.dag_id
        return _link("jobs", connection_id=task.pgmq_conn_id, namespace=namespace)


class PgmqMessagesLink(BaseOperatorLink):
    """The messages that this task instance has sent."""

    name = "PGMQ messages sent"

    @property
    def xcom_key(self) -> str:
        """The key of the XCom in which Airflow stores the link."""
        return "pgmq_messages_link"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Called by the worker when the task has ended; its template fields are rendered."""
        task: Any = operator
        return _link(
            "sent",
            connection_id=task.pgmq_conn_id,
            dag_id=ti_key.dag_id,
            run_id=ti_key.run_id,
            task_id=ti_key.task_id,
            map_index=ti_key.map_index,
        )


def push_early(link: BaseOperatorLink, operator: Any, context: Context) -> None:
    """Store the link while the task runs or is deferred: Airflow itself does so only when it has ended."""
    # An operator that is called by hand, with another context, must work, too.
    if ti := context.get("ti"):
        compat.push_link(ti, link.xcom_key, link.get_link(operator, ti_key=ti))  # type: ignore[arg-type]


def _link(path: str, **query: object) -> str:
    return f"pgmq/go/{path}?{urlencode(query, quote_via=quote)}"
