"""Send tasks and the periodic tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator

from airflow_pgmq import settings
from airflow_pgmq.compat import AirflowSkipException
from airflow_pgmq.core import batch, intervals, names
from airflow_pgmq.core import jobs as core_jobs
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.errors import InvalidMessage

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.core.messages import SendResult
    from airflow_pgmq.hooks import PgmqHook
    from airflow_pgmq.statements.sending import OnDuplicate, Scope
    from airflow_pgmq.ticker import Summary

__all__ = ["PgmqPeriodicOperator", "PgmqSendOperator"]

DEFAULT_CONNECTION = "pgmq_default"


class _PgmqOperator(BaseOperator):
    """The hook, imported when a task runs: a Dag file that only names operators stays light."""

    pgmq_conn_id: str

    @cached_property
    def hook(self) -> PgmqHook:
        from airflow_pgmq.hooks import PgmqHook

        return PgmqHook(self.pgmq_conn_id)


class PgmqSendOperator(_PgmqOperator):
    """Send one message or a list of them, each dedup key at most once.

    The result in XCom says what happened to each message, so a retry or a cleared run shows `duplicate`
    instead of sending again. Outlet assets get the message ids in their event's `extra`.

    :param queue_name: an existing queue (templated)
    :param message: any JSON value; a list is several messages, so wrap a message that is a list (templated)
    :param headers: a JSON object that travels with every message (templated)
    :param delay: seconds, a timedelta, an instant, or text of seconds or ISO 8601 (templated)
    :param group: FIFO group, the header `x-pgmq-group` (templated)
    :param dedup_key: one key, or a list with one for each message; build it from the logical date, never
        from the clock (templated)
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
        "group",
        "dedup_key",
        "pgmq_conn_id",
    )
    template_fields_renderers = {"message": "json", "headers": "json"}  # noqa: RUF012 - as Airflow declares it
    ui_color = "#e3edf7"

    def __init__(
        self,
        *,
        queue_name: str,
        message: Any,
        headers: Mapping[str, Any] | None = None,
        delay: batch.Delay = None,
        group: str | None = None,
        dedup_key: str | Sequence[str] | None = None,
        dedup_scope: Scope = "once",
        dedup_window: timedelta = timedelta(days=7),
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
        self.group = group
        self.dedup_key = dedup_key
        self.dedup_scope = dedup_scope
        self.dedup_window = dedup_window
        self.on_duplicate = on_duplicate
        self.skip_on_duplicate = skip_on_duplicate
        self.pgmq_conn_id = pgmq_conn_id

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Send; the result of each message as a dict, a list of them for a list of messages."""
        many = isinstance(self.message, list)
        messages = self.message if many else [self.message]
        results = self.hook.send_batch(
            self.queue_name,
            messages,
            headers={**(self.headers or {}), "source": _source(context)},
            delays=self.delay,
            group=self.group,
            dedup_keys=self._keys(len(messages)),
            dedup_scope=self.dedup_scope,
            dedup_window=self.dedup_window,
            on_duplicate=self.on_duplicate,
        )
        self._report(results, context)
        return [result.as_dict() for result in results] if many else results[0].as_dict()

    def _keys(self, count: int) -> Sequence[str] | None:
        if self.dedup_key is None:
            return None
        if not isinstance(self.dedup_key, str):
            return self.dedup_key
        if count != 1:
            raise InvalidMessage(
                f"One dedup_key for {count} messages would send only the first; give a list, one for each."
            )
        return [self.dedup_key]

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


class PgmqPeriodicOperator(_PgmqOperator):
    """Enqueue every slot of many periodic jobs exactly once; put it into one Dag that ticks every minute.

    A tick enqueues all slots up to now + `look_ahead`, each invisible until its slot, so messages appear on
    time although tasks start late, and Airflow may be away for `look_ahead` without a late message. The
    queue database's clock decides. State lives in that database: retries, clears, crashes and second
    schedulers find what was sent. What changed in the code since the last tick is deployed first: messages
    of removed or changed jobs that nobody could have seen yet are taken back.

    An Airflow backfill run enqueues the slots of its own data interval and leaves the state alone.

    :param jobs: the jobs; all that is wrong with any of them is reported at Dag parse
    :param namespace: what keeps the jobs of Dags and deployments apart; the Dag's id by default (templated)
    :param version: of this set of jobs; a tick with a lower one than the last deploy changes nothing that
        the newer one decided. By default the highest version of its jobs; then a lower one takes over when
        the newer has not ticked for five minutes, as after a rollback
    :param look_ahead: how far ahead slots are enqueued; longer than the Dag's interval
    :param grace: a slot late by no more than this is sent whatever its job's catch-up policy
    :param dedup_window: how long a sent slot is remembered, from the slot on; backfills further back than
        this would send again
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises InvalidJobs: something is wrong with jobs, each named; queues are checked before anything is sent
    :raises PgmqError: another task ticks the same namespace
    """

    template_fields: Sequence[str] = ("namespace", "pgmq_conn_id")
    ui_color = "#e3edf7"

    def __init__(
        self,
        *,
        jobs: Sequence[PeriodicJob],
        namespace: str | None = None,
        version: int | None = None,
        look_ahead: timedelta = timedelta(minutes=10),
        grace: timedelta = timedelta(minutes=5),
        dedup_window: timedelta = timedelta(days=7),
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        jobs = list(jobs)
        core_jobs.check(jobs, settings.max_message_bytes())
        if version is not None and not core_jobs.is_version(version):
            raise ValueError(
                f"version must be an integer of at most {core_jobs.MAX_VERSION}, not {version!r}"
            )
        if look_ahead < timedelta(0) or grace < timedelta(0) or dedup_window <= timedelta(0):
            raise ValueError("look_ahead and grace must not be negative, dedup_window must be positive")
        self.jobs = jobs
        self.namespace = namespace
        self.version = version
        self.look_ahead = look_ahead
        self.grace = grace
        self.dedup_window = dedup_window
        self.pgmq_conn_id = pgmq_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Tick; the counts of what was done."""
        from airflow_pgmq.ticker import Tick

        version = self.version
        tick = Tick(
            namespace=names.job(self.namespace or self.dag_id, "Namespace"),
            owner=f"{self.dag_id}.{self.task_id}",
            jobs=self.jobs,
            version=max((job.version for job in self.jobs), default=0) if version is None else version,
            rollback=version is None,
            look_ahead=self.look_ahead,
            grace=self.grace,
            dedup_window=self.dedup_window,
            source=_source(context),
        )
        if context["dag_run"].run_type == "backfill":
            start, end = _interval(context)
            self.log.info("Backfill: slots from %s to %s", start, end)
            summary = tick.backfill(self.hook.client, start, end)
        else:
            summary = tick.run(self.hook.client)
        self._report(tick.namespace, summary)
        return summary.as_dict()

    def _report(self, namespace: str, summary: Summary) -> None:
        counts = ", ".join(f"{name} {count}" for name, count in summary.as_dict().items())
        self.log.info("Namespace %s: %s", namespace, counts)
        if summary.outdated:
            self.log.warning(
                "%d jobs are left to the newer version of this Dag that ticks the same namespace, or did: "
                "if this one is the newer, raise its version=.",
                summary.outdated,
            )


def _source(context: Context) -> dict[str, Any]:
    """Which task sent it: the header `source`."""
    ti = context["ti"]
    return {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}


def _interval(context: Context) -> tuple[datetime, datetime]:
    run = context["dag_run"]
    return intervals.of_run(
        run.data_interval_start, run.data_interval_end, run.logical_date, context["dag"].schedule
    )
