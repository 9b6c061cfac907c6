"""One statement over many queues, and where it fails, the queues that it fails for.

What the catalogue says keeps most faults out of such a statement. What it does not say, and what changes
meanwhile, makes the statement fail as a whole: then each queue is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from airflow_pgmq import errors
from airflow_pgmq.core import problems
from airflow_pgmq.core.problems import Failure, Problem
from airflow_pgmq.db.client import OUTAGES, Client, Connection, DriverError, LockNotAvailable
from airflow_pgmq.db.statements import Statement, overview
from airflow_pgmq.errors import CodeTooOld, NotInstalled, PgmqError

P = TypeVar("P")
R = TypeVar("R")

#: How long all together may take; less than the page gives a transaction, whose end would end the session.
TOGETHER = "3s"
#: Of each queue by itself: how long a lock is waited for, and how long it may take.
LOCK_WAIT, LIMIT = "50ms", "1s"
#: A connection that was lost or ended, and a mistake of ours, are no queue's.
NO_QUEUES = ("08", "57P", "25P", "42601")
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

    def ask(asked: Sequence[P], wait: str, limit: str) -> R | Problem:
        return _ask(client, conn, lambda: make(asked), name_of(asked[0]), (wait, limit))

    answers: list[R] = []
    failed: dict[str, Problem] = {}
    if not parts:
        return answers, failed
    answer = ask(parts, overview.PATIENCE, TOGETHER)
    if not isinstance(answer, Problem):
        return [answer], failed
    if len(parts) == 1:
        return answers, {name_of(parts[0]): answer}
    for part in parts:
        name = name_of(part)
        if sum(problem.code == "slow" for problem in failed.values()) >= GIVE_UP:
            failed[name] = problems.failed(name, "slow", "others beside it took too long")
        elif isinstance(answer := ask([part], LOCK_WAIT, LIMIT), Problem):
            failed[name] = answer
        else:
            answers.append(answer)
    return answers, failed


def _ask(
    client: Client, conn: Connection, make: Callable[[], Statement[R]], name: str, limits: tuple[str, str]
) -> R | Problem:
    try:
        # In a transaction of the caller's, what is set would stay.
        if not client.begins(conn):
            return client.run(make, conn)
        return client.run(lambda: overview.briefly(make(), *limits), conn)
    except (PgmqError, DriverError) as exc:
        if not is_of_a_queue(exc):
            raise
        return failure(name, exc)


def is_of_a_queue(exc: Exception) -> bool:
    """Whether it is a queue's fault."""
    state = getattr(exc, "sqlstate", None)
    return isinstance(exc, PgmqError) if state is None else not state.startswith(NO_QUEUES)


def queue_of(exc: Exception) -> str | None:
    """The queue that an error is about, where other queues need not suffer from it."""
    if isinstance(exc, LockNotAvailable) or not isinstance(exc, (*OUTAGES, CodeTooOld, NotInstalled)):
        return errors.queue_of(exc)
    return None


def failure(queue_name: str, exc: Exception) -> Problem:
    """What an error says of the queue that it is about."""
    if isinstance(exc, LockNotAvailable):
        return problems.failed(queue_name, "locked", "somebody holds its table or archive for himself")
    code: Failure = "slow" if getattr(exc, "sqlstate", None) == "57014" else "unreadable"
    words = getattr(getattr(exc, "diag", None), "message_primary", None) or str(exc)
    return problems.failed(queue_name, code, words)
