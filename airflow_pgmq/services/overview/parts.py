"""A view of several parts: one that fails is missing, with the reason, and the others are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from airflow_pgmq.db.client import Client, Connection, DriverError
from airflow_pgmq.db.statements import Work
from airflow_pgmq.errors import PgmqError
from airflow_pgmq.services import faulty_queues

T = TypeVar("T")


class Parts:
    """Asks for parts, and notes which are missing."""

    def __init__(self, client: Client, conn: Connection) -> None:
        self.client = client
        self.conn = conn
        #: Name and reason of each.
        self.missing: list[dict[str, str]] = []

    def get(self, name: str, make: Callable[[], Work[T]], default: T) -> T:
        """The answer, or the default if the database refuses it; an outage still raises."""
        try:
            return self.client.run(make, self.conn)
        except (PgmqError, DriverError) as exc:
            if not faulty_queues.is_of_a_queue(exc):
                raise
            self.leave_out(name, faulty_queues.words(exc))
            return default

    def leave_out(self, name: str, text: str) -> None:
        """Note that a part, or some of it, is missing."""
        self.missing.append({"part": name, "text": text})
