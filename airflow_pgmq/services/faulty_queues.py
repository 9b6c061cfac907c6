"""One statement over many queues, and if it fails, the queues that it fails for.

Queues whose faults the catalogue shows are left out of the statement. Other faults, and changes meanwhile,
make the whole statement fail: then it is run for each queue by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from airflow_pgmq import errors
from airflow_pgmq.core import problems
from airflow_pgmq.core.problems import Failure, Problem
from airflow_pgmq.db.client import OUTAGES, Client, Connection, DriverError, LockNotAvailable
from airflow_pgmq.db.statements import Statement, overview
from airflow_pgmq.errors import CodeTooOld, NotInstalled, PgmqError, text_of

P = TypeVar("P")
R = TypeVar("R")

#: Time for all queues together; less than the page's limit for a transaction, which would end the session.
TOGETHER = "3s"
#: For each queue by itself: how long to wait for a lock, and how long the statement may take.
LOCK_WAIT, LIMIT = "50ms", "1s"
#: SQLSTATEs that are no fault of a queue: a connection that was lost or ended, and a mistake of ours.
NO_QUEUES = ("08", "57P", "25P", "42601")
#: After this many queues that take too long, the rest of the batch is not tried.
GIVE_UP = 3


def apart(
    client: Client,
    conn: Connection,
    parts: Sequence[P],
    name_of: Callable[[P], str],
    make: Callable[[Sequence[P]], Statement[R]],
) -> tuple[list[R], dict[str, Problem]]:
    """The answers of a statement over these queues, and the problems of the queues for which it fails."""

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
            failed[name] = problems.failed(name, "slow", "other queues took too long")
        elif isinstance(answer := ask([part], LOCK_WAIT, LIMIT), Problem):
            failed[name] = answer
        else:
            answers.append(answer)
    return answers, failed


def _ask(
    client: Client, conn: Connection, make: Callable[[], Statement[R]], name: str, limits: tuple[str, str]
) -> R | Problem:
    try:
        # In a caller's transaction, the limits would remain set.
        if not client.begins(conn):
            return client.run(make, conn)
        return client.run(lambda: overview.briefly(make(), *limits), conn)
    except (PgmqError, DriverError) as exc:
        if not is_of_a_queue(exc):
            raise
        return failure(name, exc)


def is_of_a_queue(exc: Exception) -> bool:
    """Whether the error is the fault of a queue."""
    state = getattr(exc, "sqlstate", None)
    return isinstance(exc, PgmqError) if state is None else not state.startswith(NO_QUEUES)


def queue_of(exc: Exception) -> str | None:
    """The queue that an error is about; None if it affects other queues, too."""
    if isinstance(exc, LockNotAvailable) or not isinstance(exc, (*OUTAGES, CodeTooOld, NotInstalled)):
        return errors.queue_of(exc)
    return None


def failure(queue_name: str, exc: Exception) -> Problem:
    """The problem of a queue that an error is about."""
    if isinstance(exc, LockNotAvailable):
        return problems.failed(queue_name, "locked", "another session holds its table or archive")
    code: Failure = "slow" if getattr(exc, "sqlstate", None) == "57014" else "unreadable"
    return problems.failed(queue_name, code, words(exc))


def words(exc: Exception) -> str:
    """What the server said, or the error's own text."""
    return getattr(getattr(exc, "diag", None), "message_primary", None) or text_of(exc)
