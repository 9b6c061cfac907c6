"""What the doctor queries: first the catalog, which every role may read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_pgmq.core import harmful_settings, names, row_security
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.pauses import PausedQueue
from airflow_pgmq.core.privileges import RIGHTS
from airflow_pgmq.db.statements import Flow, Statement, as_text, column, on_queue, queues, schema, union


@dataclass(frozen=True, slots=True)
class Installation:
    """What is installed, and what the role may do."""

    #: Of the server: `now`, `role`, `database`, `standby`, `pgmq`, `headers`, `migration` (None: unknown) …
    server: Row
    #: Each privilege that some work needs and the role lacks.
    lacking: Sequence[Row]
    #: What row level security forbids the role although it has the privilege, as in `row_security`.
    restricted: Sequence[Row]
    #: The settings of new sessions of the role, as in `harmful_settings`.
    settings: Sequence[Row]
    #: Tables of queues, by name: `queue_name`, `partitioned`, `guarded`, `our_trigger`, `pgmq_trigger`.
    queues: Sequence[Row]


def installation() -> Flow[Installation]:
    """Look at the installation as a whole."""
    found = dict((yield server()))
    found["migration"] = 0
    if found["schema_installed"]:
        # Without any row, row level security hides them.
        found["migration"] = yield schema.newest_migration()
    elif found["schema_installed"] is None:
        found["migration"] = None
    lacking = yield rights()
    restricted = row_security.restricted_commands(lacking, (yield Statement("examine_policies", decode=list)))
    settings = yield Statement("examine_settings", {"names": harmful_settings.NAMES}, decode=list)
    return Installation(found, lacking, restricted, settings, (yield _tables()))


def server() -> Statement[Row]:
    """The server, the role, PGMQ and our schema; `schema_installed` is None if the role may not read it."""
    return Statement("examine_server", decode=lambda rows: rows[0])


def rights() -> Statement[list[Row]]:
    """The privileges that the role lacks, on objects that exist."""
    wanted = [
        (work, kind, schema, name, privilege)
        for work, objects in RIGHTS.items()
        for kind, schema, name, privileges in objects
        for privilege in privileges.split(", ")
    ]
    columns = dict(
        zip(
            ("works", "kinds", "schemas", "patterns", "privileges"),
            map(list, zip(*wanted, strict=True)),
            strict=True,
        )
    )
    return Statement("examine_rights", columns, decode=list)


def _tables() -> Statement[list[Row]]:
    """The tables of queues, with their indexes and triggers."""
    return Statement(
        "examine_queues",
        {
            "our_trigger": names.NOTIFY_TRIGGER,
            "pgmq_trigger": names.PGMQ_TRIGGER,
            "settled_trigger": names.SETTLED_TRIGGER,
        },
        decode=list,
    )


def unaware_readers() -> Statement[list[tuple[PausedQueue, list[str]]]]:
    """Paused queues, and the roles that read on from them because they may not see that."""
    return Statement(
        "unaware_readers", decode=lambda rows: [(PausedQueue.from_row(row), row["roles"]) for row in rows]
    )


def invalid_indexes() -> Statement[list[Row]]:
    """Indexes that Postgres does not use because their build failed."""
    return Statement(
        "invalid_indexes",
        decode=lambda rows: [{**row, "rebuild": as_text(_rebuild(row))} for row in rows],
    )


def unguarded(queue_names: Iterable[str]) -> Statement[list[str]]:
    """Queues whose newest messages have a dedup key twice that the ledger does not know."""
    return union([on_queue("unguarded_keys", name) for name in queue_names], column("queue_name"))


def guard(queue_name: str) -> str:
    """The SQL that builds the index of `dedup_scope="queued"`."""
    return as_text(queues.create_guard(queue_name))


def announce(queue_name: str) -> str:
    """The SQL that adds our notify trigger to a queue."""
    return as_text(queues.create_trigger(queue_name))


def use_our_trigger(queue_name: str, *, exists: bool) -> str:
    """The SQL that removes PGMQ's own notify trigger from a queue, and adds ours unless it exists."""
    take_off = as_text(on_queue("disable_pgmq_notify", queue_name))
    return take_off if exists else f"{take_off}\n{announce(queue_name)}"


def _rebuild(row: Row) -> Statement[None]:
    return Statement("rebuild_index", identifiers={"index": (row["schema"], row["index_name"])})
