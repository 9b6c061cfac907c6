"""Errors that a later try may not have."""

from __future__ import annotations

from airflow_pgmq.errors.base import PgmqError


class Unanswered(PgmqError):
    """The server did not do now what it may do later.

    Try again, as Airflow's retries do; the text says what else helps.
    """

    public = "the database did not finish what was asked of it"

    def __init__(self, words: str, fix: str) -> None:
        self.words = words
        self.fix = fix
        super().__init__(f"{words} {fix}")


class NotConnected(Unanswered):
    """There is no server, or it refuses the connection.

    Correct the Airflow connection as the text says, or wait until the server has started.
    """

    public = "there is no connection to the database"

    #: Whether the connection must be corrected: a wrong password, a role or database that does not exist.
    #: Waiting, as in an outage, does not help.
    is_mistake: bool = False


class BrokenOff(Unanswered):
    """The server did not finish: a timeout, a lock, a shutdown, a lost connection, or it is read-only.

    Try again; the transaction is undone, unless the connection was lost at its COMMIT.
    """


class LimitReached(Unanswered):
    """A limit in the section `[pgmq]` of Airflow's configuration ended a transaction.

    Do less at once, try again, or raise the limit; nothing of the transaction was done.
    """

    def __init__(self, setting: str, sqlstate: str, words: str, fix: str) -> None:
        #: The option's name.
        self.setting = setting
        self.sqlstate = sqlstate
        super().__init__(words, fix)

    @property
    def is_frozen(self) -> bool:
        """Whether this process did nothing for too long."""
        return self.setting == "idle_in_transaction_timeout"


class LockTimeout(LimitReached):
    """Somebody else held a lock for longer than `[pgmq] lock_timeout`.

    Try again; the text has the SQL that shows who holds it.
    """
