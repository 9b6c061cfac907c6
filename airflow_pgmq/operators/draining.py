"""What the draining operators share: counts, failing and being killed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_pgmq.core.consumer_policy import FailOn
from airflow_pgmq.errors import MessagesFailed
from airflow_pgmq.links import PgmqQueueLink, push_early
from airflow_pgmq.operators.base import PgmqOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.services.consuming import Consumer, UserWork


class DrainOperator(PgmqOperator):
    """Runs a consumer once, reports its counts, and fails as `fail_on` says."""

    queue_name: str
    fail_on: FailOn
    _draining = False

    def _drain(self, consumer: Consumer, work: UserWork, context: Context) -> dict[str, Any]:
        from airflow_pgmq import metrics

        push_early(PgmqQueueLink(), self, context)
        self._draining = True
        try:
            summary = consumer.drain(work)
        finally:
            self._draining = False
            metrics.settled(self.queue_name, acked=consumer.summary.acked, dead=consumer.summary.dead)
        counts = summary.as_dict()
        self.log.info("Queue %s: %s", self.queue_name, ", ".join(f"{k} {v}" for k, v in counts.items()))
        if not summary.read:
            self._say_why(consumer)
        if summary.is_failure(self.fail_on):
            if self.do_xcom_push:
                context["ti"].xcom_push(key="return_value", value=counts)
            raise MessagesFailed(self.queue_name, counts) from consumer.error
        return counts

    def _say_why(self, consumer: Consumer) -> None:
        from airflow_pgmq.services import nothing_read

        policy = consumer.policy
        is_filtered = bool(policy.condition or policy.headers_condition)
        why = nothing_read.reason(
            consumer.client, self.queue_name, is_filtered=is_filtered, ordered=policy.groups is not None
        )
        self.log.info(why)

    def queues_read(self) -> Sequence[str]:
        """The queue, for lineage."""
        return [self.queue_name]

    def on_kill(self) -> None:
        """Raise, so that the messages are given back: Airflow's signal handler interrupts the work here."""
        if self._draining:
            self._draining = False
            # On KeyboardInterrupt, psycopg cancels a running query, and Airflow retries the task.
            raise KeyboardInterrupt("The task was asked to end.")
