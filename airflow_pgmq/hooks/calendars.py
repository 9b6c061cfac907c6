"""The hook's methods for calendars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from airflow_pgmq.core.calendars import Calendar
from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.statements import calendars as statements
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.services import calendars


class CalendarMethods(ConnectionBase):
    """Days off that periodic jobs leave out with `exclude=[Calendar(name)]`."""

    def put_calendar(
        self,
        name: str,
        days: Mapping[date, str] | Iterable[date],
        *,
        expected_version: int | None = None,
        conn: Connection | None = None,
    ) -> int:
        """Make a calendar, or replace its days; return how many waiting messages were taken back.

        Jobs that use it follow at their next tick: slots on new days off are left out, others are sent.

        :param name: letters, digits, `_`, `.` and `-`
        :param days: dates, or a mapping from dates to why they are off, each in one line
        :param expected_version: the `version` of the calendar that you looked at, 0 if there was none; None:
            replace whatever is there
        :param conn: join this connection's transaction
        :raises InvalidArgument: a wrong name, or what is no date
        :raises CalendarChanged: somebody else has changed it meanwhile
        """
        self.client.ensure_schema(conn)
        return self.client.run(lambda: calendars.put(name, days, expected_version), conn)

    def get_calendar(self, name: str, *, conn: Connection | None = None) -> Calendar:
        """One calendar with its days.

        :raises CalendarNotFound: there is none
        """
        return self.client.run(lambda: calendars.get(name), conn)

    def list_calendars(self, *, conn: Connection | None = None) -> list[Calendar]:
        """All calendars with their days, by name."""
        return self.client.run(statements.found, conn)

    def delete_calendar(
        self, name: str, *, expected_version: int | None = None, conn: Connection | None = None
    ) -> None:
        """Delete a calendar; jobs that use it are reported by each tick, and wait for it.

        :param expected_version: the `version` of the calendar that you looked at; None: any
        :raises CalendarNotFound: there is none
        :raises CalendarChanged: somebody else has changed it meanwhile
        """
        self.client.run(lambda: calendars.delete(name, expected_version), conn)
