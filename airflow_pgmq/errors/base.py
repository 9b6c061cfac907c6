"""The base of all errors of the package."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_pgmq.errors import documentation


class PgmqError(Exception):
    """Base of all errors that this package raises on purpose.

    Read the text: it says what happened and what to do, and ends with an address that has more.
    """

    #: For users who may not read the connection: the full text quotes hosts, roles, keys and messages.
    public: ClassVar[str] = "the database refused what was asked of it"
    #: The queue of the statement that failed.
    queue_name: str | None = None

    @property
    def text(self) -> str:
        """What happened and what to do, without the address: for texts that quote this one."""
        return super().__str__()

    def __str__(self) -> str:
        # The text of another error, told by another process, as a trigger tells its sensor.
        if documentation.HELP in self.text:
            return self.text
        # SQL to run may be at the end of a text, or in lines.
        separator = " " if self.text.endswith(".") and "\n" not in self.text else "\n"
        return f"{self.text}{separator}See {documentation.help_with(self._entry())}"

    def _entry(self) -> str:
        """The class of ours, of which this may be a subclass."""
        return next(
            each.__name__ for each in type(self).__mro__ if each.__module__.startswith("airflow_pgmq.errors")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # The inherited one would call the class with only the text, but many constructors take more.
        return _revive, (type(self), self.args), self.__dict__


def text_of(exc: BaseException) -> str:
    """The text of any error, without an address."""
    return exc.text if isinstance(exc, PgmqError) else str(exc)


def queue_of(exc: BaseException) -> str | None:
    """The `queue_name` of any error; errors of the driver have it, too."""
    return getattr(exc, "queue_name", None)


class PgmqWarning(UserWarning):
    """For what works, but probably not as it was meant; Airflow's log of parsing Dags shows it."""


def _revive(kind: type[PgmqError], args: tuple[Any, ...]) -> PgmqError:
    return kind.__new__(kind, *args)
