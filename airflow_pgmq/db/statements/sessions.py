"""Settings of a session of our own, in place of the defaults of server, database and role."""

from __future__ import annotations

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.statements import Statement


def make_ours(backend_pid: int, limits: Limits, server_version: int, encoding: str) -> Statement[bool]:
    """Settings for the rest of the session; False behind a pooler, where nothing is set.

    A pooler is recognised by its invented process id; settings would leak to its other clients.
    """
    settings = {**limits.session(server_version), "client_encoding": encoding}
    params = {
        "backend_pid": backend_pid,
        "names": list(settings),
        "values": [str(value) for value in settings.values()],
    }
    return Statement("own_session", params, decode=bool)
