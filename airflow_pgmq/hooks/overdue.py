"""The hook's method for slots that did not happen."""

from __future__ import annotations

from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.db.client import Connection
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.services import overdue


class OverdueMethods(ConnectionBase):
    """Which slots of jobs with `expect_within` did not happen in time."""

    def overdue(self, namespace: str | None = None, *, conn: Connection | None = None) -> list[OverdueSlot]:
        """Slots that are overdue now, the one that was expected first first; to look changes nothing.

        :param namespace: only of this one; by default of all
        :param conn: look with this connection
        """
        return self.client.run(lambda: overdue.find(namespace), conn)
