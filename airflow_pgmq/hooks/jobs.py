"""The hook's methods for periodic jobs."""

from __future__ import annotations

from datetime import datetime

from airflow_pgmq import metrics
from airflow_pgmq.core import jobs
from airflow_pgmq.core.jobs import CatchUp, PeriodicJob
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.send_results import SendResult
from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.statements import Flow, periodic
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.services import job_control


class JobMethods(ConnectionBase):
    """Pause, resume, run now, list and remove jobs that a `PgmqPeriodicOperator` registered."""

    def pause_job(self, namespace: str, name: str, *, conn: Connection | None = None) -> int:
        """Pause a job and take back the messages that it enqueued ahead of time; return how many.

        :param namespace: the namespace of the job's operator
        :param name: the job's name
        :param conn: join this connection's transaction
        :raises JobNotFound: the namespace has no such job
        """
        return self.client.run(lambda: job_control.pause(namespace, name), conn)

    def resume_job(
        self,
        namespace: str,
        name: str,
        *,
        catch_up: CatchUp | None = None,
        conn: Connection | None = None,
    ) -> None:
        """Resume a paused job: its next tick catches up.

        :param namespace: the namespace of the job's operator
        :param name: the job's name
        :param catch_up: what becomes of the slots of the pause, `all`, `last` or `none`, up to the job's
            `catch_up_max_age` and `catch_up_limit`; by default what the job says
        :param conn: join this connection's transaction
        :raises JobNotFound: the namespace has no such job
        :raises InvalidJobs: with catch_up: this code cannot read the job as it was deployed
        """
        self.client.run(lambda: job_control.resume(namespace, name, catch_up), conn)

    def run_job_now(
        self,
        namespace: str,
        name: str,
        *,
        slot: datetime | None = None,
        conn: Connection | None = None,
    ) -> SendResult:
        """Send one message of the job now, as last deployed; its slots do not change.

        :param namespace: the namespace of the job's operator
        :param name: the job's name
        :param slot: the message is that of this slot, sent again on purpose; by default that of now
        :param conn: join this connection's transaction
        :raises JobNotFound: the namespace has no such job
        :raises InvalidArgument: that is not a slot of the job
        :raises InvalidMessage: a template of the job fails
        """
        queue_name, result = self.client.run(lambda: _run_now(namespace, name, slot), conn)
        metrics.sent(queue_name, 1)
        return result

    def skip_slot(self, namespace: str, name: str, slot: datetime, *, conn: Connection | None = None) -> None:
        """Leave out one slot of a job, which may be far ahead or missed; a message that waits is taken back.

        No tick, catch-up or backfill sends it, for as long as sent slots are remembered. To send it after
        all: `run_job_now(slot=)`.

        :param namespace: the namespace of the job's operator
        :param name: the job's name
        :param slot: an instant with a time zone
        :param conn: join this connection's transaction
        :raises JobNotFound: the namespace has no such job
        :raises InvalidArgument: that is not a slot of the job, or readers may have its message already
        """
        self.client.run(lambda: job_control.skip(namespace, name, slot), conn)

    def next_slots(
        self,
        job: PeriodicJob,
        n: int = 5,
        after: datetime | None = None,
        *,
        conn: Connection | None = None,
    ) -> list[datetime]:
        """The next slots of a job as it is written, in UTC, with its calendars in the database.

        :param job: it need not be registered
        :param n: how many
        :param after: they are later than this instant; by default the database's time
        :param conn: look with this connection
        :raises InvalidJobs: mistakes in the job
        :raises CalendarNotFound: one of its calendars does not exist
        """
        jobs.check([job])
        return self.client.run(lambda: job_control.next_slots(job, n, after), conn)

    def list_jobs(self, namespace: str | None = None, *, conn: Connection | None = None) -> list[Row]:
        """State and definition of the jobs of one namespace, or of all."""
        return self.client.run(lambda: periodic.list_jobs(namespace), conn)

    def remove_namespace(self, namespace: str, *, conn: Connection | None = None) -> int:
        """Remove all jobs of a Dag that no longer exists; return how many messages were taken back."""
        return self.client.run(lambda: job_control.remove(namespace), conn)


def _run_now(namespace: str, name: str, slot: datetime | None) -> Flow[tuple[str, SendResult]]:
    from airflow_pgmq.hooks.rendering import SlotRenderer

    result = yield from job_control.run_now(namespace, name, slot=slot, renderer=SlotRenderer())
    # The job's row is still locked, so this is the queue that the message went to.
    job = yield periodic.definition(namespace, name)
    return job["queue_name"], result
