"""The base of all errors of the package."""

from __future__ import annotations

from typing import Any, ClassVar


class PgmqError(Exception):
    """Base of all errors that this package raises on purpose.

    Read the text: it says what happened and what to do.
    """

    #: For users who may not read the connection: the full text quotes hosts, roles, keys and messages.
    public: ClassVar[str] = "the database refused what was asked of it"
    #: The queue of the statement that failed.
    queue_name: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The inherited one would call the class with only the text, but many constructors take more.
        return _revive, (type(self), self.args), self.__dict__


def queue_of(exc: BaseException) -> str | None:
    """The `queue_name` of any error; errors of the driver have it, too."""
    return getattr(exc, "queue_name", None)


class PgmqWarning(UserWarning):
    """For what works, but probably not as it was meant; Airflow's log of parsing Dags shows it."""


def _revive(kind: type[PgmqError], args: tuple[Any, ...]) -> PgmqError:
    return kind.__new__(kind, *args)
