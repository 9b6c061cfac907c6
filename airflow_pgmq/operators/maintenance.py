"""Periodic maintenance of the queues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.operators import alerting
from airflow_pgmq.operators.alerting import Notifier
from airflow_pgmq.operators.base import DEFAULT_CONNECTION, PgmqOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PgmqMaintenanceOperator(PgmqOperator):
    """Sample the queues, archive expired messages, prune; put it into one Dag that runs every minute.

    The rates and the history on the PGMQ page come from these samples, as PGMQ stores none. A run does a
    limited part of the work, so it is short even if the queues are full; later runs do the rest. Two runs in
    a minute do no harm. Sending and consuming do not need it.

    :param archive_retention: remove archived messages that are older than this; by default they stay
    :param queue_names: the queues whose archives are pruned; all by default (templated)
    :param on_overdue: notifiers, or functions of the context, called once for each slot of any periodic job
        that is overdue, with `overdue` in the context, unless the task that ticks has told
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises PermissionDenied: the role may not store samples; queues that it may not clean are only logged
    """

    template_fields: Sequence[str] = ("queue_names", "pgmq_conn_id")
    #: No link: the task has no queue of its own.
    operator_extra_links = ()

    def __init__(
        self,
        *,
        archive_retention: timedelta | None = None,
        queue_names: Sequence[str] | None = None,
        on_overdue: Notifier | Sequence[Notifier] | None = None,
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if archive_retention is not None and archive_retention < timedelta(0):
            raise InvalidArgument("archive_retention must not be negative.")
        self.archive_retention = archive_retention
        self.queue_names = queue_names
        self.on_overdue = alerting.checked(on_overdue)
        self.pgmq_conn_id = pgmq_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the maintenance; return the counts of what was done."""
        from airflow_pgmq import metrics
        from airflow_pgmq.services.maintenance import maintain

        summary = maintain(
            self.hook.client,
            archive_retention=self.archive_retention,
            queue_names=self.queue_names,
            tell=alerting.teller(self.on_overdue, context),
        )
        if summary.skipped:
            self.log.warning("Not cleaned:\n%s", "\n".join(summary.skipped.values()))
        metrics.count_queues(self.hook.client)
        for namespace, count in summary.overdue_by_namespace.items():
            metrics.overdue(namespace, count)
        self.log.info("Maintenance: %s", summary.as_dict())
        return summary.as_dict()
