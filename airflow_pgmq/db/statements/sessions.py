"""Settings of a session of our own, in place of the defaults of server, database and role."""

from __future__ import annotations

from typing import NamedTuple

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.statements import Statement, scalar


class Made(NamedTuple):
    """What a session is."""

    #: Whether it is only ours, and has our settings; a pooler's is not, and has not.
    is_ours: bool
    #: Whether its role sees which queues are paused.
    sees_pauses: bool


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
    return Statement("own_session", params, decode=lambda rows: Made(**rows[0]))


def sees_pauses() -> Statement[bool]:
    """Whether the role sees which queues are paused; of the catalogue only, so it never fails."""
    return Statement("sees_pauses", decode=scalar("sees_pauses"))
