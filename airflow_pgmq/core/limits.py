"""How long a transaction of ours may keep others waiting: a frozen process must not block them for ever."""

from __future__ import annotations

from dataclasses import dataclass

#: Settings that our statements need: with others, PGMQ's own functions are a syntax error, a NULL in an array
#: is a text, and policies of row level security are errors.
READING = {"standard_conforming_strings": "on", "array_nulls": "on", "row_security": "on"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; 0 is no limit."""

    #: For a lock. Longer than `idle`, so that a waiter outlasts a frozen process.
    lock: float = 30
    #: Between two statements, while the process does something else.
    idle: float = 10
    #: For the whole transaction; Postgres before 17 limits only single statements. It ends the session.
    transaction: float = 1800
    #: For one statement, and only that is ended; None: as for the transaction.
    statement: float | None = None

    def settings(self, server_version: int) -> dict[str, int]:
        """Under Postgres's names, in milliseconds; each transaction has all of them."""
        settings = {
            "lock_timeout": self.lock,
            "idle_in_transaction_session_timeout": self.idle,
            "statement_timeout": self.transaction if self.statement is None else self.statement,
        }
        if server_version >= 170000:
            settings["transaction_timeout"] = self.transaction
        return {name: round(1000 * seconds) for name, seconds in settings.items()}

    def session(self, server_version: int) -> dict[str, int | str]:
        """Settings of a session of ours, so that a single statement in it is a transaction of ours."""
        return {
            **self.settings(server_version),
            "idle_session_timeout": 0,
            "default_transaction_isolation": "read committed",
            "default_transaction_read_only": "off",
            **READING,
        }


#: For a transaction around a user's code, which may take any time.
UNLIMITED = Limits(0, 0, 0)
