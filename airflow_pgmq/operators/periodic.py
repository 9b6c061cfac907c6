"""The tick of periodic jobs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_pgmq import settings
from airflow_pgmq.core import backfill, job_list, job_problems, names
from airflow_pgmq.core import jobs as core_jobs
from airflow_pgmq.core.dedup import DEDUP_WINDOW, check_window
from airflow_pgmq.core.delays import LONGEST
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.source import source
from airflow_pgmq.errors import InvalidArgument, InvalidJobs, PgmqWarning
from airflow_pgmq.links import PgmqJobsLink, PgmqMessagesLink
from airflow_pgmq.operators import alerting, slot_partitions
from airflow_pgmq.operators.base import DEFAULT_CONNECTION, PgmqOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.core.summary import Summary


class PgmqPeriodicOperator(PgmqOperator):
    """Enqueue every slot of many periodic jobs exactly once; put it into one Dag that ticks every minute.

    A tick enqueues all slots up to now + `look_ahead`, each invisible until its slot. So messages appear on
    time even if tasks start late, and Airflow can be down for `look_ahead` minus one interval of the Dag
    before a message is late; jobs that must not overlap are not sent ahead of time. The clock is the queue
    database's. The state is in that database, too: retries, clears, crashes and other schedulers do not send
    a slot again. A tick first deploys changes of the code: messages of removed or changed jobs that nobody
    could have seen yet are taken back.

    An Airflow backfill run enqueues the slots of its own data interval and does not change the state.

    The jobs are part of the Dag: a changed job makes a new version of it. The task's documentation and its
    rendered templates show the jobs, or their number if they are many. Strings in their messages and
    headers are templates of their own, rendered for each slot, not for the task.

    :param jobs: the jobs; all mistakes in any of them are reported when the Dag is parsed
    :param live: also tick the namespace's live jobs, which `PgmqHook.put_job` and the command `jobs add`
        make at run time; a deploy never changes them
    :param namespace: separates the jobs of Dags and deployments; the Dag's id by default (templated)
    :param version: of this set of jobs; a tick with a lower version than the last deploy does not change
        what the newer version decided. By default the highest version of the jobs; then a lower one takes
        over when the newer has not ticked for five minutes, as after a rollback
    :param look_ahead: how far ahead slots are enqueued; must be longer than the Dag's interval
    :param grace: a slot that is late by at most this is sent whatever its job's catch-up policy is
    :param dedup_window: how long a sent slot is remembered, counted from the slot; a backfill further back
        than this sends again
    :param on_overdue: notifiers, or functions of the context, called once for each slot that is overdue
        (`expect_within` of its job), with `overdue` in the context; without any, another tick or a
        maintenance task tells
    :param partition_by_slot: the events of the queues' assets among `outlets` carry the slots that were sent
        as partition keys, one event for each slot, by default at most 100 in a tick; a queue that nothing was
        sent to gets no event. Airflow 3.3 and newer; Dags that are scheduled on such an asset without
        partitions are not started any longer (docs/guides/events.md)
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises InvalidJobs: mistakes in jobs, each named; at a tick, after the other jobs were sent: queues that
        are missing, or that refuse to take messages or to give them back, calendars that are missing,
        templates that fail for a slot, names that live jobs hold, and queues in which overdue slots cannot be
        looked for
    :raises NamespaceTaken: another task ticks the same namespace
    """

    # Also fields without templates: Airflow stores, compares and shows only these fields.
    template_fields: Sequence[str] = (
        "namespace",
        "jobs",
        "live",
        "version",
        "look_ahead",
        "grace",
        "dedup_window",
        "pgmq_conn_id",
    )
    operator_extra_links = (PgmqJobsLink(), PgmqMessagesLink())

    def __init__(
        self,
        *,
        jobs: Sequence[PeriodicJob] = (),
        live: bool = True,
        namespace: str | None = None,
        version: int | None = None,
        look_ahead: timedelta = timedelta(minutes=10),
        grace: timedelta = timedelta(minutes=5),
        dedup_window: timedelta = DEDUP_WINDOW,
        on_overdue: alerting.Notifier | Sequence[alerting.Notifier] | None = None,
        partition_by_slot: bool = False,
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        jobs = list(jobs)
        core_jobs.check(jobs, settings.max_message_bytes())
        if any(job.has_templates for job in jobs):
            # The engine of templates takes longer to import than all the rest.
            from airflow_pgmq.hooks.rendering import check

            check(jobs)
        for job in jobs:
            for doubt in job.doubts():
                warnings.warn(f"periodic job {job.name!r}: {doubt}", PgmqWarning, stacklevel=2)
        if not isinstance(live, bool):
            raise InvalidArgument(f"live must be True or False, not {live!r}")
        if version is not None and not job_problems.is_version(version):
            raise InvalidArgument(
                f"version must be an integer of at most {job_problems.MAX_VERSION}, not {version!r}"
            )
        for name, value in (("look_ahead", look_ahead), ("grace", grace)):
            if not isinstance(value, timedelta) or not timedelta(0) <= value <= LONGEST:
                raise InvalidArgument(f"{name} must be a timedelta from 0 to ten years, not {value!r}.")
        check_window(dedup_window)
        self.jobs = job_list.JobList(
            jobs, longest=settings.max_templated_field_length(), hidden=settings.redact_keys()
        )
        if self.doc_md is None:
            self.doc_md = self.jobs.markdown()
        self.live = live
        self.namespace = namespace
        self.version = version
        self.look_ahead = look_ahead
        self.grace = grace
        self.dedup_window = dedup_window
        self.on_overdue = alerting.checked(on_overdue)
        self.partition_by_slot = slot_partitions.check(partition_by_slot, self.outlets)
        self.pgmq_conn_id = pgmq_conn_id

    @property
    def jobs_digest(self) -> str:
        """A digest in the serialized Dag: any change makes a new version, even where Airflow cuts fields."""
        return self.jobs.digest

    @classmethod
    def get_serialized_fields(cls) -> frozenset[str]:
        """The fields that Airflow stores of the task, besides its template fields."""
        fields: frozenset[str] = super().get_serialized_fields()  # type: ignore[no-untyped-call]
        return fields | {"jobs_digest"}

    def execute(self, context: Context) -> dict[str, Any]:
        """Tick; return the counts of what was done."""
        from airflow_pgmq import metrics
        from airflow_pgmq.core.garbage import collected_rarely
        from airflow_pgmq.hooks.rendering import SlotRenderer
        from airflow_pgmq.services.ticking import Tick

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
            source=source(context),
            renderer=SlotRenderer(),
            live=self.live,
            tell=alerting.teller(self.on_overdue, context),
        )
        if context["dag_run"].run_type == "backfill":
            start, end = _interval(context)
            self.log.info("Backfill: slots from %s to %s", start, end)
            with collected_rarely():
                summary = tick.backfill(self.hook.client, start, end)
        else:
            with collected_rarely():
                summary = tick.run(self.hook.client)
            metrics.ticked(tick.namespace, summary.lateness)
            metrics.overdue(tick.namespace, summary.overdue)
            metrics.count_queues(self.hook.client)
        for (queue_name, what), count in summary.by_queue.items():
            metrics.sent(queue_name, **{what: count})
        self._report(tick.namespace, summary)
        if summary.failed:
            raise InvalidJobs(summary.failed)
        if self.partition_by_slot:
            self.outlets = slot_partitions.give(
                self.outlets, summary.sent_slots, self.pgmq_conn_id, context, self.log
            )
        return summary.as_dict()

    def queues_written(self) -> Sequence[str]:
        """The queues of all jobs, for lineage."""
        return sorted({job.queue_name for job in self.jobs})

    def _report(self, namespace: str, summary: Summary) -> None:
        counts = ", ".join(f"{name} {count}" for name, count in summary.as_dict().items())
        self.log.info("Namespace %s: %s", namespace, counts)
        for dead in summary.paused:
            self.log.warning("Job %s/%s is paused until somebody resumes it: %s.", namespace, dead.name, dead)
        for queue_name in summary.unread:
            self.log.warning(
                "Dead letters in queue %s pause no job: the role of this connection may not SELECT there, or "
                "another session has locked it.",
                queue_name,
            )
        if summary.outdated:
            self.log.warning(
                "%d jobs are left to a newer version of this Dag, which ticks or has ticked the same "
                "namespace. If this version is the newer one, raise its version=.",
                summary.outdated,
            )


def _interval(context: Context) -> tuple[datetime, datetime]:
    run, dag = context["dag_run"], context["dag"]
    return backfill.of_run(
        run.data_interval_start, run.data_interval_end, run.logical_date, dag.schedule, dag.timezone
    )
