"""The hook's method for slots that did not happen in time."""

from __future__ import annotations

from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.statements import overdue
from airflow_pgmq.hooks.connection import ConnectionBase


class OverdueMethods(ConnectionBase):
    """Slots of jobs with `expect_within` whose messages were not acked in time."""

    def overdue(self, namespace: str | None = None, *, conn: Connection | None = None) -> list[OverdueSlot]:
        """The slots that are overdue now, the oldest first; nobody is told of them by this call.

        :param namespace: only of this namespace; by default of all
        :param conn: look with this connection
        """
        return self.client.run(lambda: overdue.overdue(namespace), conn)
