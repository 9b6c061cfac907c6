"""The hook's methods for live jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_pgmq import settings
from airflow_pgmq.core import jobs as core_jobs
from airflow_pgmq.core import names
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.live_jobs import JobVersion
from airflow_pgmq.db.client import Connection
from airflow_pgmq.hooks import actors
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.services import live_jobs


class LiveJobMethods(ConnectionBase):
    """Put and delete periodic jobs at run time, beside those that a Dag declares.

    The `PgmqPeriodicOperator` of their namespace ticks them; `PgmqPeriodicOperator(jobs=[], live=True)` ticks
    a namespace that has no others. Its deploys never change a live job.
    """

    def put_job(
        self,
        namespace: str,
        job: PeriodicJob,
        *,
        expected_version: int | None = None,
        changed_by: str | None = None,
        conn: Connection | None = None,
    ) -> int:
        """Make a live job, or give it a new definition; return its version.

        The old definition first sends its slots up to now; what it enqueued ahead of time is taken back, and
        the next tick sends by the new one. A job that is the same already keeps its version.

        :param namespace: the namespace of the operator that ticks it; a new one is made
        :param job: its `version` does not matter: each change counts up from 1
        :param expected_version: the version that the change was made to, 0 for a new job; so that of two
            editors the second one is told
        :param changed_by: for the history; by default the task, or the user of this process
        :param conn: join this connection's transaction
        :raises InvalidJobs: mistakes in the job; or a slot of the old definition cannot be sent
        :raises QueueNotFound: its queue does not exist
        :raises CalendarNotFound: one of its calendars does not exist
        :raises JobDeclared: a Dag declares a job of this name
        :raises JobChanged: it has another version than expected
        """
        expected = None if expected_version is None else {job.name: expected_version}
        versions = self.put_jobs(
            namespace, [job], expected_versions=expected, changed_by=changed_by, conn=conn
        )
        return versions[job.name]

    def put_jobs(
        self,
        namespace: str,
        jobs: Iterable[PeriodicJob],
        *,
        expected_versions: Mapping[str, int] | None = None,
        changed_by: str | None = None,
        conn: Connection | None = None,
    ) -> dict[str, int]:
        """The same for many jobs in one transaction: all of them, or none; return their versions by name.

        Live jobs that are not among them stay as they are.

        :raises InvalidArgument: a version of none of the jobs is expected
        :raises InvalidJobs: and the others, as `put_job`
        """
        from airflow_pgmq.hooks.rendering import SlotRenderer, check

        found = list(jobs)
        names.job(namespace, "Namespace")
        core_jobs.check(found, settings.max_message_bytes())
        check(found)
        self.client.ensure_schema(conn)
        by = changed_by or actors.current()
        return self.client.run(
            lambda: live_jobs.put(
                namespace, found, by=by, expected=expected_versions, renderer=SlotRenderer()
            ),
            conn,
        )

    def delete_job(
        self,
        namespace: str,
        name: str,
        *,
        expected_version: int | None = None,
        changed_by: str | None = None,
        conn: Connection | None = None,
    ) -> int:
        """Delete a live job and take back the messages that it enqueued ahead of time; return how many.

        Its versions stay, so it can be put again as it was.

        :raises JobNotFound: the namespace has no such job
        :raises JobDeclared: a Dag declares it
        :raises JobChanged: it has another version than expected
        """
        by = changed_by or actors.current()
        return self.client.run(
            lambda: live_jobs.delete(namespace, name, by=by, expected=expected_version), conn
        )

    def job_versions(self, namespace: str, name: str, *, conn: Connection | None = None) -> list[JobVersion]:
        """The last 100 versions of a live job, the newest first; put one's `job` to restore it.

        :raises JobNotFound: there never was a live job of this name
        """
        return self.client.run(lambda: live_jobs.versions(namespace, name), conn)
