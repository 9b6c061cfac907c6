"""One statement over many queues, and where it fails, the queues that it fails for.

What the catalogue says keeps most faults out of such a statement. What it does not say, and what changes
meanwhile, makes the statement fail as a whole: then each queue is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from airflow_pgmq.client import Client, Connection, DriverError, LockNotAvailable
from airflow_pgmq.core import problems
from airflow_pgmq.core.problems import Failure, Problem
from airflow_pgmq.errors import PgmqError
from airflow_pgmq.statements import Statement, overview

P = TypeVar("P")
R = TypeVar("R")

#: Of each queue by itself: how long a lock is waited for, and how long it may take.
LOCK_WAIT, LIMIT = "50ms", "1s"
SYNTAX_ERROR = "42601"
#: So many that take too long, and the rest of the batch is not tried.
GIVE_UP = 3


def apart(
    client: Client,
    conn: Connection,
    parts: Sequence[P],
    name_of: Callable[[P], str],
    make: Callable[[Sequence[P]], Statement[R]],
) -> tuple[list[R], dict[str, Problem]]:
    """The answers of a statement over these queues, and what is wrong with those it cannot be asked of."""

    def ask(asked: Sequence[P], wait: str = overview.PATIENCE, limit: str | None = None) -> R:
        return client.run(lambda: overview.briefly(make(asked), wait, limit), conn)

    if not parts:
        return [], {}
    try:
        return [ask(parts)], {}
    except (PgmqError, DriverError) as exc:
        if not _is_of_a_queue(exc, conn):
            raise
        if len(parts) == 1:
            return [], {name_of(parts[0]): failure(name_of(parts[0]), exc)}
    answers: list[R] = []
    failed: dict[str, Problem] = {}
    for part in parts:
        name = name_of(part)
        if sum(problem.code == "slow" for problem in failed.values()) >= GIVE_UP:
            failed[name] = problems.failed(name, "slow", "others beside it took too long")
            continue
        try:
            answers.append(ask([part], LOCK_WAIT, LIMIT))
        except (PgmqError, DriverError) as exc:
            if not _is_of_a_queue(exc, conn):
                raise
            failed[name] = failure(name, exc)
    return answers, failed


def _is_of_a_queue(exc: Exception, conn: Connection) -> bool:
    """Whether it is a queue's fault: not a connection that has ended, nor a mistake of ours."""
    return not conn.closed and getattr(exc, "sqlstate", None) != SYNTAX_ERROR


def failure(queue_name: str, exc: Exception) -> Problem:
    """What an error says of the queue that it is about."""
    if isinstance(exc, LockNotAvailable):
        return problems.failed(queue_name, "locked", "somebody holds its table or archive for himself")
    code: Failure = "slow" if getattr(exc, "sqlstate", None) == "57014" else "unreadable"
    words = getattr(getattr(exc, "diag", None), "message_primary", None) or str(exc)
    return problems.failed(queue_name, code, words)
