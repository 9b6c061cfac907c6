"""What a session of our own sets for itself: nobody else's defaults hold there."""

from __future__ import annotations

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.statements import Statement


def make_ours(backend_pid: int, limits: Limits, server_version: int, encoding: str) -> Statement[bool]:
    """Settings for the rest of the session; false behind a pooler, where nothing is set.

    A pooler answers with a process id of its own making, and what is set would leak to its other clients.
    """
    settings = {**limits.session(server_version), "client_encoding": encoding}
    params = {
        "backend_pid": backend_pid,
        "names": list(settings),
        "values": [str(value) for value in settings.values()],
    }
    return Statement("own_session", params, decode=bool)
