"""Errors of input that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_pgmq.errors.base import PgmqError


class InvalidInput(PgmqError, ValueError):
    """The input cannot be used: an argument, a message or a set of jobs.

    Correct it: the same call fails again. Also a `ValueError` of Python.
    """


class InvalidArgument(InvalidInput):
    """An argument, or an option in the section `[pgmq]` of Airflow's configuration, that is not allowed.

    Correct the call, the Dag or the option; nothing was done.
    """


class InvalidName(InvalidArgument):
    """A name of a queue, job, namespace or topic, or a dedup key, that PGMQ or Postgres cannot carry safely.

    Give another name; the text has the rule. Nothing was done.
    """


class InvalidQuery(InvalidArgument):
    """Your SQL, or its parameters, cannot be put into a statement, or Postgres refuses it there.

    Correct the SQL; the text quotes Postgres. Nothing of its transaction was done.
    """


class InvalidMessage(InvalidInput):
    """A message, or its headers, that Postgres or Airflow cannot carry: not JSON, too large, too deep.

    Change it; docs/reference/values.md says what may be in a message. Nothing was sent. Any text with
    characters that the encoding of the database lacks is this error, too.
    """


class InvalidJobs(InvalidInput):
    """Periodic jobs are wrong, found at Dag parse; or a tick could send only the slots of others.

    Correct all of them in one deploy: the text and `problems` have all that is wrong, job by job.
    """

    def __init__(self, problems: Mapping[str, Sequence[str]]) -> None:
        self.problems = {name: tuple(texts) for name, texts in problems.items()}
        lines = [f"  {name}: {text}" for name, texts in self.problems.items() for text in texts]
        super().__init__(f"{len(self.problems)} periodic job(s) cannot be used:\n" + "\n".join(lines))
