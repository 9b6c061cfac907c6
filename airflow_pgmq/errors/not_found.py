"""Errors of names that do not exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from airflow_pgmq.command_line import command
from airflow_pgmq.errors.base import PgmqError


class NotFound(PgmqError):
    """The connection, queue or job does not exist.

    Create it, or correct the name.
    """


class ConnectionNotFound(NotFound):
    """Airflow has no such connection, or gives this process no connection of the UI or the command line.

    Make it in one of the ways that the text names. From a hook also an `AirflowNotFoundException` of Airflow.

    :param conn_id: the Airflow connection
    :param is_plain: whether this is a process that Airflow did not start, such as a script or a Python shell
    """

    public = "Airflow has no such connection"
    words = ""
    ways: Sequence[str] = ()

    def __init__(self, conn_id: str, *, is_plain: bool = False) -> None:
        uri = "'pgmq://USER:PASSWORD@HOST:5432/DATABASE'"
        # A shell can export only such names.
        can_export = conn_id.isascii() and conn_id.isidentifier()
        variable = f"AIRFLOW_CONN_{conn_id.upper()}={uri}"
        name = shlex.quote(conn_id)
        if is_plain:
            export = (
                f", or first export {variable} (what Airflow has is get_uri of "
                f"`airflow connections get {name} -o yaml`)"
            )
            super().__init__(
                f"This plain Python process sees no connection {conn_id!r}: Airflow 3 gives those of the UI "
                "and of `airflow connections` only to tasks and to its own processes. Use the commands "
                f"(`{command('init')} QUEUE` makes queues, `{command('--help')}` has more), or do it in a "
                f"task{export if can_export else ''}."
            )
            return
        self.words = f"Airflow has no connection {conn_id!r}."
        #: How to make one: any of these.
        self.ways = [
            f"airflow connections add {name} --conn-uri {uri}",
            "or in the UI: Admin → Connections → Add Connection, type 'PGMQ (Postgres queue)'",
        ]
        if can_export:
            self.ways = [*self.ways, f"or in the environment of all of Airflow's processes: {variable}"]
        super().__init__(f"{self.words} Make it: {'; '.join(self.ways)}.")


#: Names of queues that our commands can make.
_MAKEABLE = re.compile(r"[a-z][a-z0-9_]{0,46}")


class QueueNotFound(NotFound):
    """The queue has no table in the database of this connection.

    Create it there in one of the ways that the text names, or name another queue or connection.
    """

    queue_name: str

    def __init__(self, queue_name: str, similar: str | None = None) -> None:
        self.queue_name = queue_name
        guess = "" if similar is None else f"Did you mean {similar!r}? "
        by_sql = f"with SELECT pgmq.create('{queue_name}')"
        made = f"with `{command(f'init {queue_name}')}`, a PgmqQueueOperator, or {by_sql}"
        ways = made if _MAKEABLE.fullmatch(queue_name) else by_sql
        super().__init__(
            f"Queue {queue_name!r} does not exist in the database of this connection. {guess}Create it there "
            f"{ways}; commands take --conn-id for another connection than pgmq_default."
        )


class JobNotFound(NotFound):
    """No periodic job of that name is registered in the namespace.

    Correct the name, let the job's `PgmqPeriodicOperator` run once, or put a live job: that registers it.
    """

    def __init__(self, namespace: str, name: str) -> None:
        self.namespace = namespace
        self.name = name
        super().__init__(
            f"No periodic job {name!r} in namespace {namespace!r}. A job is registered by the first "
            "run of its PgmqPeriodicOperator, or put with put_job."
        )


class CalendarNotFound(NotFound):
    """No calendar of that name is in the database.

    Put it there with `hook.put_calendar` or `airflow pgmq calendars put`, or correct the name in `exclude`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        put = command(f"calendars put {shlex.quote(name)} FILE")
        super().__init__(f"There is no calendar {name!r}. Make it: `{put}`, or hook.put_calendar.")
