"""Settings of a session of our own, in place of the defaults of server, database and role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.statements import Statement, only


class Usable(NamedTuple):
    """What statements may name; they say `if` and the name."""

    #: The table of paused queues: the role may see it.
    pauses: bool
    #: The column `last_read_at`, which queues have since PGMQ 1.10.
    last_reads: bool


#: All that the newest versions have, for a role that may see it.
ALL = Usable(pauses=True, last_reads=True)
#: For statements that have no choice.
NOTHING = Usable(pauses=False, last_reads=False)


class Made(NamedTuple):
    """What a session is."""

    #: Whether it is only ours, and has our settings; a pooler's is not, and has not.
    is_ours: bool
    usable: Usable


def make_ours(backend_pid: int, limits: Limits, server_version: int, encoding: str) -> Statement[Made]:
    """Settings for the rest of the session; behind a pooler nothing is set.

    A pooler is recognised by its invented process id; settings would leak to its other clients.
    """
    settings = {**limits.session(server_version), "client_encoding": encoding}
    params = {
        "backend_pid": backend_pid,
        "names": list(settings),
        "values": [str(value) for value in settings.values()],
    }
    return Statement("own_session", params, decode=_made)


def usable() -> Statement[Usable]:
    """What statements may name on a connection; of the catalogue only, so it never fails."""
    return Statement("usable", decode=lambda rows: _usable(only(rows)))


def _made(rows: Sequence[Row]) -> Made:
    row = only(rows)
    return Made(row["is_ours"], _usable(row))


def _usable(row: Row) -> Usable:
    return Usable(pauses=row["sees_pauses"], last_reads=row["has_last_reads"])
