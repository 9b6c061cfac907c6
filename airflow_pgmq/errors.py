"""What can go wrong, as exceptions that say what to do.

PgmqError
├── InvalidName          a queue, job or namespace name, or a dedup key, that would not be safe
├── InvalidMessage       a payload or header that Postgres would refuse, or that is too large
├── InvalidJobs          everything that is wrong with a set of periodic jobs, job by job
├── InvalidQuery         SQL that was given to be composed into a statement and is not one statement
├── InvalidOutcome       a consuming function returned what is no outcome
├── MessagesFailed       a drain ended, and messages of it failed
├── TransactionEnded     transactional work ended the transaction that it was given
├── MessageLost          somebody else has read a message since, so its ack was refused
├── NotSent              the database took messages and did not show them: a policy or a trigger hides them
├── NotRemoved           it kept messages that it was told to delete, for the same reasons
├── DuplicateMessage     a dedup key was taken and `on_duplicate="fail"` was asked for
├── Unanswered           the server did not do what it could do at another time
│   ├── NotConnected     there is none, or it refused the connection
│   ├── BrokenOff        it did not finish: a timeout, a lock, a shutdown, a server that only reads
│   └── LimitReached     a transaction of ours took longer than `[pgmq]` in Airflow's configuration lets it
│       └── LockTimeout  it waited for a lock
├── ConnectionNotFound   Airflow has no such connection, or not for this process; Airflow's own error, too
├── QueueNotFound        the queue does not exist
├── NotInstalled         PGMQ or the schema `airflow_pgmq` is missing from the database
├── CodeTooOld           the schema `airflow_pgmq` needs a newer release of this package
├── FeatureMissing       this PGMQ is older than what was asked of it
├── GuardMissing         the unique index behind `dedup_scope="queued"` is missing or cannot be made
├── PermissionDenied     the role lacks a right
├── ArchiveRefused       the archive has a message of that id, or a unique index of its own, so an ack failed
├── LostRace             another transaction took a key at the same moment; the sender runs again by itself
└── JobNotFound          no periodic job of that name in the namespace

PgmqWarning              what works, but probably not as it was meant; Airflow's log of parsing Dags shows it
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_pgmq.command_line import command

#: What our schema raises for code that is too old for it.
CODE_TOO_OLD = "PQ001"


class PgmqError(Exception):
    """Base of all errors that this package raises on purpose."""

    #: What may be told to who may not read the connection: the text quotes hosts, roles, keys and messages.
    public: ClassVar[str] = "the database refused what was asked of it"
    #: The queue of the statement that failed.
    queue_name: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The inherited one would call the class with the text, whatever its constructor takes.
        return _revive, (type(self), self.args), self.__dict__


def queue_of(exc: BaseException) -> str | None:
    """The same of any error: the driver's have it, too."""
    return getattr(exc, "queue_name", None)


class PgmqWarning(UserWarning):
    """What works, but probably not as it was meant."""


def _revive(kind: type[PgmqError], args: tuple[Any, ...]) -> PgmqError:
    return kind.__new__(kind, *args)


class InvalidName(PgmqError, ValueError):
    """A name that PGMQ, Postgres or a dedup key could not carry safely."""


class InvalidMessage(PgmqError, ValueError):
    """A message, header or delay that would be refused by Postgres or is over the size limit."""


class InvalidJobs(PgmqError, ValueError):
    """Every problem of a set of periodic jobs at once, so that one deploy mends them all."""

    def __init__(self, problems: Mapping[str, Sequence[str]]) -> None:
        self.problems = {name: tuple(texts) for name, texts in problems.items()}
        lines = [f"  {name}: {text}" for name, texts in self.problems.items() for text in texts]
        super().__init__(f"{len(self.problems)} periodic job(s) cannot be used:\n" + "\n".join(lines))


class InvalidQuery(PgmqError, ValueError):
    """SQL of the user's that Postgres cannot read where it was put; the text has Postgres's own words."""


class InvalidOutcome(PgmqError, TypeError):
    """A consuming function returned something that does not say what becomes of its messages."""


class MessagesFailed(PgmqError):
    """The queue was drained, but some messages failed; they were released or are dead letters."""

    def __init__(self, queue_name: str, counts: Mapping[str, Any]) -> None:
        self.queue_name = queue_name
        self.counts = dict(counts)
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        super().__init__(
            f"{counts['failed']} of {counts['read']} messages of queue {queue_name!r} failed ({shown})."
        )


class MessageLost(PgmqError):
    """The visibility timeout ran out and somebody else has read the messages: they are theirs now."""

    def __init__(self, queue_name: str, msg_ids: Sequence[int]) -> None:
        self.queue_name = queue_name
        self.msg_ids = tuple(msg_ids)
        super().__init__(
            f"Messages {list(msg_ids)} of queue {queue_name!r} were read by somebody else meanwhile."
        )


class TransactionEnded(PgmqError):
    """Work that was given a transaction ended it, so that its effect and the ack cannot be one."""

    def __init__(self) -> None:
        super().__init__(
            "The work ended the transaction that it was given (a COMMIT or ROLLBACK in its SQL), so its "
            "effect and the ack cannot happen together: nothing was acked. Leave the end to the consumer; "
            "`with conn.transaction():` undoes a part of the work."
        )


class NotSent(PgmqError):
    """Messages were inserted and are not there, so nobody can say what became of their keys."""

    def __init__(self, queue_name: str, count: int) -> None:
        self.queue_name = queue_name
        super().__init__(
            f"{count} message(s) for queue {queue_name!r} were neither sent nor duplicates, however often "
            "they were tried: row level security or a trigger hides or swallows them. Nothing of this "
            "transaction was sent; docs/permissions.md says which policies a role needs."
        )


class NotRemoved(PgmqError):
    """Messages were deleted and are still there: they must not be sent a second time."""

    def __init__(self, queue_name: str, count: int) -> None:
        self.queue_name = queue_name
        super().__init__(
            f"{count} message(s) of queue {queue_name!r} were to be taken back and are still there: row "
            "level security or a trigger keeps them. Nothing of this transaction was done; "
            "docs/permissions.md says which policies a role needs."
        )


class DuplicateMessage(PgmqError):
    """A dedup key was already taken; nothing of the call was sent, unless the text says otherwise."""

    def __init__(self, queue_name: str, keys: Sequence[str], text: str | None = None) -> None:
        self.queue_name = queue_name
        self.keys = tuple(keys)
        shown = ", ".join(keys[:5]) + (", …" if len(keys) > 5 else "")
        super().__init__(
            text
            or f"{len(keys)} dedup key(s) were already sent to queue {queue_name!r}: {shown}. "
            "Nothing of this call was sent; use on_duplicate='skip' to send the rest."
        )


class ConnectionNotFound(PgmqError):
    """Airflow has no such connection, or gives this process none that the UI or the command line made.

    Airflow's `AirflowNotFoundException`, too.

    :param conn_id: the Airflow connection
    :param is_plain: whether this is a process that Airflow did not start, such as a script or a Python shell
    """

    public = "Airflow has no such connection"
    words = ""
    ways: Sequence[str] = ()

    def __init__(self, conn_id: str, *, is_plain: bool = False) -> None:
        uri = "'pgmq://USER:PASSWORD@HOST:5432/DATABASE'"
        # No shell exports another name.
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


class Unanswered(PgmqError):
    """The server did not do what it could do at another time: why, and what to do about it."""

    public = "the database did not finish what was asked of it"

    def __init__(self, words: str, mend: str) -> None:
        self.words = words
        self.mend = mend
        super().__init__(f"{words} {mend}")


class NotConnected(Unanswered):
    """There is no server, or it does not let this connection in."""

    public = "there is no connection to the database"

    #: Whether the connection must be corrected: a wrong password, a role or database that does not exist. To
    #: wait for it, as through an outage, would be in vain.
    is_mistake: bool = False


class BrokenOff(Unanswered):
    """The server did not finish, and what its transaction did is undone."""


#: Names of queues that our commands make.
_MAKEABLE = re.compile(r"[a-z][a-z0-9_]{0,46}")


class QueueNotFound(PgmqError):
    """The queue has no table in the database of this connection."""

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


class NotInstalled(PgmqError):
    """PGMQ or our own schema is missing and could not be installed."""

    public = "PGMQ or the schema airflow_pgmq is not in the database"


class CodeTooOld(PgmqError):
    """A newer release has upgraded the schema, and this one would break its promises: nothing was done."""


class FeatureMissing(PgmqError):
    """The PGMQ in this database lacks a function that the call needs."""

    public = "the PGMQ in the database is too old for it"


class GuardMissing(PgmqError):
    """The index that makes `dedup_scope="queued"` safe is not there, so nothing was sent."""


class PermissionDenied(PgmqError):
    """The role may not do this; the text holds Postgres's own words."""

    public = "the role of the connection may not do it"
    #: Postgres's own words alone.
    reason = ""
    #: Whether a policy refused one row, and others may pass.
    is_of_row = False


class LimitReached(Unanswered):
    """A limit of the section `[pgmq]` ended a transaction; nothing of it was done."""

    def __init__(self, setting: str, sqlstate: str, words: str, mend: str) -> None:
        #: The option's name.
        self.setting = setting
        self.sqlstate = sqlstate
        super().__init__(words, mend)

    @property
    def is_frozen(self) -> bool:
        """Whether it was this process that stood still."""
        return self.setting == "idle_in_transaction_timeout"


class LockTimeout(LimitReached):
    """Somebody else held a lock for too long."""


def limit_reached(sqlstate: str | None, text: str) -> LimitReached | None:
    """The error for what Postgres says when a limit was reached."""
    advice = "Try again, or raise the limit in Airflow's configuration."
    if sqlstate == "55P03":
        return LockTimeout(
            "lock_timeout",
            sqlstate,
            f"Somebody held a lock for longer than [pgmq] lock_timeout, so nothing was done ({text}).",
            "Waiting: SELECT pid, query FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0; "
            f"for whom: pg_blocking_pids(pid). {advice}",
        )
    if sqlstate == "25P03":
        return LimitReached(
            "idle_in_transaction_timeout",
            sqlstate,
            "This process stood still inside a transaction for longer than [pgmq] "
            "idle_in_transaction_timeout, so Postgres ended the transaction for the others' sake. Nothing of "
            f"it was done ({text}).",
            advice,
        )
    if sqlstate in ("57014", "25P04"):
        return LimitReached(
            "transaction_timeout",
            sqlstate,
            "A transaction took longer than [pgmq] transaction_timeout, or somebody cancelled it, so nothing "
            f"of it was done ({text}).",
            "Do less at once, or raise the limit in Airflow's configuration.",
        )
    return None


class ArchiveRefused(PgmqError):
    """A unique index of the archive refused messages; where it is the ids', way is made by itself."""

    queue_name: str

    def __init__(self, queue_name: str, msg_ids: Sequence[int] | None, index: str, text: str) -> None:
        self.queue_name = queue_name
        #: Which ones the statement was about; None: it did not know their ids.
        self.msg_ids = msg_ids
        super().__init__(
            f"The unique index {index!r} on the archive of queue {queue_name!r} refused a message ({text}), "
            "so nothing was archived. Drop the index, or ack with delete."
        )


class LostRace(PgmqError):
    """A statement for new keys met one that was taken while it ran; nothing was sent."""


class JobNotFound(PgmqError):
    """No periodic job of that name is registered in the namespace."""

    def __init__(self, namespace: str, name: str) -> None:
        self.namespace = namespace
        self.name = name
        super().__init__(
            f"No periodic job {name!r} in namespace {namespace!r}. A job is registered by the first "
            "run of its PgmqPeriodicOperator."
        )
