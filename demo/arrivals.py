"""A consumer of the periodic jobs that measures how late it gets each message."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from airflow_pgmq.core import names, slots
from airflow_pgmq.jobs import PeriodicJob

if TYPE_CHECKING:
    from airflow_pgmq.hooks import PgmqHook

# How long the reader may sleep before it checks whether it must end.
LONGEST_WAIT = timedelta(seconds=1)


@dataclass(frozen=True)
class Arrival:
    """A message that the reader has read."""

    job: PeriodicJob
    slot: datetime
    #: How long after its time the reader got it; both by the database's clock.
    lateness: timedelta

    @property
    def ahead(self) -> bool:
        """Whether the job is enqueued ahead of its slots, so that Airflow's delays do not matter."""
        return self.job.overlap == "allow"


class Reader(threading.Thread):
    """Reads the jobs' queues as their messages become visible, and archives what it read."""

    def __init__(self, hook: PgmqHook, jobs: Sequence[PeriodicJob], show: Callable[[Arrival], None]) -> None:
        super().__init__(name="reader", daemon=True)
        self.queues = sorted({job.queue_name for job in jobs})
        self.arrivals: list[Arrival] = []
        self.error: Exception | None = None
        self._hook = hook
        self._jobs = {job.name: job for job in jobs}
        self._show = show
        self._ended = threading.Event()

    def stop(self) -> None:
        """Stop the thread, and wait for its end."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        try:
            with self._hook.get_conn() as connection:
                connection.autocommit = True
                self._listen(connection)
                while not self._ended.is_set():
                    for queue_name in self.queues:
                        self._read(connection, queue_name)
                    self._wait(connection)
        except Exception as exc:
            # The main thread waits for arrivals, so it reports the error.
            self.error = exc

    def _listen(self, connection: psycopg.Connection) -> None:
        for queue_name in self.queues:
            schema, table = names.table(queue_name)
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(f"{schema}.{table}.INSERT")))

    def _wait(self, connection: psycopg.Connection) -> None:
        """Sleep until the next message becomes visible; the NOTIFY of a new one, maybe earlier, wakes us."""
        tables = (sql.Identifier(*names.table(queue_name)) for queue_name in self.queues)
        rows = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT min(vt) AS vt FROM {}").format(table) for table in tables
        )
        query = sql.SQL("SELECT min(vt) - clock_timestamp() FROM ({}) AS queues").format(rows)
        ((until_next,),) = connection.cursor(row_factory=tuple_row).execute(query)
        wait = min(max(until_next, timedelta()), LONGEST_WAIT) if until_next is not None else LONGEST_WAIT
        for _ in connection.notifies(timeout=wait.total_seconds(), stop_after=1):
            pass

    def _read(self, connection: psycopg.Connection, queue_name: str) -> None:
        messages = self._hook.read(queue_name, max_messages=100, visibility_timeout=30, conn=connection)
        if not messages:
            return
        now = _clock(connection)
        self._hook.archive(queue_name, messages, conn=connection)
        for message in messages:
            job = self._jobs[message.headers["job"]]
            slot = datetime.fromisoformat(message.headers["slot"].replace("Z", "+00:00"))
            due = slots.visible_at(job, slot, message.headers["dedup_key"])
            arrival = Arrival(job, slot, now - due)
            self.arrivals.append(arrival)
            self._show(arrival)


def _clock(connection: psycopg.Connection) -> datetime:
    cursor = connection.cursor(row_factory=tuple_row)
    ((now,),) = cursor.execute("SELECT clock_timestamp()")
    return now
