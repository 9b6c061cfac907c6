"""Errors of a database, role or Airflow that is not set up."""

from __future__ import annotations

from airflow_pgmq.errors import documentation
from airflow_pgmq.errors.base import PgmqError


class SetupRequired(PgmqError):
    """The database, the role or the connection is not set up for the call.

    Let an administrator change that; most texts have the command or the SQL.
    """


class InvalidConnection(SetupRequired):
    """The Airflow connection is of another type than `pgmq` and `postgres`, or its extra is no JSON object.

    Correct it, or name another connection.
    """


class NotInstalled(SetupRequired):
    """PGMQ or the schema `airflow_pgmq` is missing or old, and could not be installed.

    Run `airflow pgmq init` once, with a role that may create schemas.
    """

    public = "PGMQ or the schema airflow_pgmq is not in the database"


class CodeTooOld(SetupRequired):
    """A newer release has upgraded the schema `airflow_pgmq`, and this release must not use it.

    Upgrade the package in all of Airflow's processes; nothing was done.
    """


class FeatureMissing(SetupRequired):
    """The PGMQ in this database, or a queue in it, lacks a function, table or column that the call needs.

    Upgrade PGMQ (docs/production/upgrading.md), or run the SQL that `airflow pgmq doctor` prints.
    """

    public = "the PGMQ in the database is too old for it"


class GuardMissing(SetupRequired):
    """The unique index behind `dedup_scope="queued"` is missing, or cannot be made.

    Let the owner of the queue's table make it (`PgmqHook().guard_queue`), or use the scope `once`; nothing
    was sent.
    """


class GroupIndexMissing(SetupRequired):
    """The index behind `ordered=True` is missing, and this role may not make it.

    Let the owner of the queue's table make it (`PgmqHook().index_groups`); nothing was read.
    """


class PermissionDenied(SetupRequired):
    """The role lacks a privilege, or row level security refuses a row.

    Give it the GRANTs and policies of docs/production/permissions.md; the text quotes Postgres.
    """

    public = "the role of the connection may not do it"
    #: Only what Postgres says.
    reason = ""
    #: Whether a policy refused one row, while others may be allowed.
    is_of_row = False


class NotSent(SetupRequired):
    """Messages were inserted but are missing: a policy hides them or a trigger drops them.

    Give the role the policies of docs/production/permissions.md, or change the trigger; nothing was sent.
    """

    def __init__(self, queue_name: str, count: int) -> None:
        self.queue_name = queue_name
        super().__init__(
            f"{count} message(s) for queue {queue_name!r} were neither sent nor duplicates, after several "
            "tries: row level security or a trigger hides or drops them. Nothing of this "
            f"transaction was sent; {documentation.PERMISSIONS} says which policies a role needs."
        )


class NotRemoved(SetupRequired):
    """Messages of periodic jobs could not be taken back: a policy or a trigger keeps them.

    Give the role the policies of docs/production/permissions.md, or change the trigger; nothing was changed.
    """

    def __init__(self, queue_name: str, count: int) -> None:
        self.queue_name = queue_name
        super().__init__(
            f"{count} message(s) of queue {queue_name!r} could not be taken back: row "
            "level security or a trigger keeps them. Nothing of this transaction was done; "
            f"{documentation.PERMISSIONS} says which policies a role needs."
        )
