"""How long a transaction of ours may keep others waiting: a frozen process must not hold them up for ever."""

from __future__ import annotations

from dataclasses import dataclass

#: How statements and what they find are read: with others, PGMQ's own functions are no SQL, a NULL in an
#: array is a text, and policies of row level security are errors.
READING = {"standard_conforming_strings": "on", "array_nulls": "on", "row_security": "on"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; 0 is no limit."""

    #: For a lock. Longer than `idle`: who waits for a frozen process outlives it.
    lock: float = 30
    #: Between two statements, the process's own time.
    idle: float = 10
    #: In all; Postgres before 17 knows only how long a statement takes. It ends the session.
    transaction: float = 1800
    #: For one statement, which alone is ended; None: as long as the transaction.
    statement: float | None = None

    def settings(self, server_version: int) -> dict[str, int]:
        """As Postgres calls them, in milliseconds; a transaction has all of them."""
        settings = {
            "lock_timeout": self.lock,
            "idle_in_transaction_session_timeout": self.idle,
            "statement_timeout": self.transaction if self.statement is None else self.statement,
        }
        if server_version >= 170000:
            settings["transaction_timeout"] = self.transaction
        return {name: round(1000 * seconds) for name, seconds in settings.items()}

    def session(self, server_version: int) -> dict[str, int | str]:
        """What a session of ours says, so that single statements in it are transactions of ours."""
        return {
            **self.settings(server_version),
            "idle_session_timeout": 0,
            "default_transaction_isolation": "read committed",
            "default_transaction_read_only": "off",
            **READING,
        }


#: For a transaction around a user's code, which takes the time that it takes.
UNLIMITED = Limits(0, 0, 0)
