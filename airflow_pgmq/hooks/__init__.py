"""`PgmqHook`: an Airflow connection as a PGMQ client."""

from __future__ import annotations

from airflow_pgmq.hooks.calendars import CalendarMethods
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.hooks.consuming import ConsumingMethods
from airflow_pgmq.hooks.jobs import JobMethods
from airflow_pgmq.hooks.live_jobs import LiveJobMethods
from airflow_pgmq.hooks.messages import MessageMethods
from airflow_pgmq.hooks.natives import NativeMethods
from airflow_pgmq.hooks.overdue import OverdueMethods
from airflow_pgmq.hooks.queues import QueueMethods
from airflow_pgmq.hooks.topics import TopicMethods
from airflow_pgmq.hooks.transfers import TransferMethods
from airflow_pgmq.hooks.waiting import WaitingMethods

__all__ = ["PgmqHook"]


class PgmqHook(
    MessageMethods,
    WaitingMethods,
    ConsumingMethods,
    TransferMethods,
    QueueMethods,
    TopicMethods,
    NativeMethods,
    JobMethods,
    LiveJobMethods,
    OverdueMethods,
    CalendarMethods,
    ConnectionBase,
):
    """Use PGMQ through an Airflow connection of type `pgmq` or `postgres`.

    Every method works in one transaction of its own, on a connection that is kept for the next call and
    closed when the hook or the process ends, or by `close` (docs/reference/connections.md). With `conn=` it
    joins the caller's transaction instead (behind a savepoint), and nothing takes effect before the caller
    commits.
    Errors are subclasses of `airflow_pgmq.errors.PgmqError` where the cause is known, psycopg's otherwise.

    :param pgmq_conn_id: the Airflow connection
    :param connection: the connection itself; by default Airflow looks it up by its id
    :param limits: of each transaction; by default those of `[pgmq]` in Airflow's configuration
    """
