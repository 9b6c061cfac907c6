"""What a role may do, and the GRANTs that it lacks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.problems import Problem, Severity

_Q, _A = r"q\_%", r"a\_%"
_READ_OURS = (
    ("schema", "airflow_pgmq", "airflow_pgmq", "USAGE"),
    ("table", "airflow_pgmq", "migrations", "SELECT"),
)
#: To see whether a queue is still the one that ledger and slots refer to, and to note that it is another.
_RECOGNISE = (
    ("table", "airflow_pgmq", "queues", "SELECT, INSERT, UPDATE"),
    ("table", "airflow_pgmq", "queue_marks", "SELECT, INSERT, UPDATE"),
    ("sequence", "airflow_pgmq", "incarnations", "USAGE"),
)
_USE_PGMQ = ("schema", "pgmq", "pgmq", "USAGE")

#: Without it, a role reads a paused queue as any other.
SEE_PAUSES = "see pauses"

#: Which privileges each kind of work needs: kind of object, schema, name as a LIKE pattern, privileges. They
#: are for the tables of all queues; a test checks that `docs/production/permissions.md` says the same.
RIGHTS: Mapping[str, Sequence[tuple[str, str, str, str]]] = {
    "send": (
        _USE_PGMQ,
        ("table", "pgmq", "meta", "SELECT"),
        ("table", "pgmq", _Q, "SELECT, INSERT, UPDATE"),
        ("sequence", "pgmq", _Q, "USAGE"),
        *_READ_OURS,
        *_RECOGNISE,
        ("table", "airflow_pgmq", "dedup_ledger", "SELECT, INSERT, UPDATE"),
        ("table", "airflow_pgmq", "slots", "SELECT"),
        ("table", "pgmq", "topic_bindings", "SELECT"),
    ),
    "read": (
        _USE_PGMQ,
        ("table", "pgmq", _Q, "SELECT, UPDATE, DELETE"),
        ("table", "pgmq", _A, "SELECT, INSERT"),
    ),
    SEE_PAUSES: (
        ("schema", "airflow_pgmq", "airflow_pgmq", "USAGE"),
        ("table", "airflow_pgmq", "paused_queues", "SELECT"),
    ),
    "pause queues": (
        _USE_PGMQ,
        *_READ_OURS,
        ("table", "airflow_pgmq", "paused_queues", "SELECT, INSERT, DELETE"),
    ),
    "run periodic jobs": (
        _USE_PGMQ,
        ("table", "pgmq", "meta", "SELECT"),
        ("table", "pgmq", _Q, "SELECT, INSERT, UPDATE, DELETE"),
        ("table", "pgmq", _A, "SELECT"),
        ("sequence", "pgmq", _Q, "USAGE"),
        *_READ_OURS,
        *_RECOGNISE,
        ("table", "airflow_pgmq", "dedup_ledger", "SELECT, INSERT, UPDATE, DELETE"),
        ("table", "airflow_pgmq", "namespaces", "SELECT, INSERT, UPDATE, DELETE"),
        ("table", "airflow_pgmq", "periodic_jobs", "SELECT, INSERT, UPDATE, DELETE"),
        ("table", "airflow_pgmq", "calendars", "SELECT"),
        ("table", "airflow_pgmq", "slots", "SELECT, INSERT, UPDATE, DELETE"),
        ("table", "airflow_pgmq", "alerts", "SELECT, INSERT, UPDATE, DELETE"),
    ),
    "maintain": (
        _USE_PGMQ,
        ("table", "pgmq", "meta", "SELECT"),
        ("table", "pgmq", _Q, "SELECT, UPDATE, DELETE"),
        ("table", "pgmq", _A, "SELECT, INSERT, UPDATE, DELETE"),
        *_READ_OURS,
        ("table", "airflow_pgmq", "queue_samples", "SELECT, INSERT, DELETE"),
        ("table", "airflow_pgmq", "dedup_ledger", "SELECT, UPDATE, DELETE"),
        ("table", "airflow_pgmq", "slots", "SELECT, UPDATE, DELETE"),
        ("table", "airflow_pgmq", "periodic_jobs", "SELECT"),
        ("table", "airflow_pgmq", "alerts", "SELECT, INSERT, UPDATE, DELETE"),
    ),
    "look": (
        _USE_PGMQ,
        ("table", "pgmq", "meta", "SELECT"),
        ("table", "pgmq", "topic_bindings", "SELECT"),
        ("table", "pgmq", _Q, "SELECT"),
        ("table", "pgmq", _A, "SELECT"),
        ("sequence", "pgmq", _Q, "SELECT"),
        *_READ_OURS,
        ("table", "airflow_pgmq", "queue_samples", "SELECT"),
        ("table", "airflow_pgmq", "namespaces", "SELECT"),
        ("table", "airflow_pgmq", "periodic_jobs", "SELECT"),
        ("table", "airflow_pgmq", "calendars", "SELECT"),
        ("table", "airflow_pgmq", "dedup_ledger", "SELECT"),
        ("table", "airflow_pgmq", "slots", "SELECT"),
        ("table", "airflow_pgmq", "queues", "SELECT"),
        ("table", "airflow_pgmq", "queue_marks", "SELECT"),
        ("table", "airflow_pgmq", "alerts", "SELECT"),
        ("table", "airflow_pgmq", "job_versions", "SELECT"),
        ("table", "airflow_pgmq", "paused_queues", "SELECT"),
    ),
}

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def problems(role: str, lacking: Sequence[Row]) -> list[Problem]:
    """What the role may not do, and the GRANTs that would allow it."""
    by_work: dict[str, list[Row]] = defaultdict(list)
    for row in lacking:
        by_work[row["work"]].append(row)
    severity: Severity = "error" if by_work.keys() == RIGHTS.keys() else "warning"
    reads_on = "read" not in by_work
    return [
        Problem(
            "missing_grants",
            severity,
            f"Role {role!r} may not {work}: {_lacks(rows)}."
            + (" So it reads on from a queue that is paused." if work == SEE_PAUSES and reads_on else ""),
            _grants(role, rows),
        )
        for work, rows in by_work.items()
    ]


def may(lacking: Iterable[Row]) -> list[str]:
    """The kinds of work that the role has every privilege for."""
    impossible = {row["work"] for row in lacking}
    return [work for work in RIGHTS if work not in impossible]


def to_see_pauses(role: str) -> str:
    """The GRANTs for a role that reads on from paused queues."""
    rows = [
        {"kind": kind, "schema": schema, "name": name, "privilege": privilege}
        for kind, schema, name, privilege in RIGHTS[SEE_PAUSES]
    ]
    return _grants(role, rows)


def _lacks(rows: Sequence[Row]) -> str:
    shown = [
        f"{row['privilege']} on {row['schema']}" + ("" if row["kind"] == "schema" else f".{row['name']}")
        for row in rows[:3]
    ]
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"it lacks {', '.join(shown)}{more}"


def _grants(role: str, rows: Sequence[Row]) -> str:
    """GRANTs for people to read and run; objects with the same privileges share one."""
    privileges: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in rows:
        privileges[row["kind"], row["schema"], row["name"]].append(row["privilege"])
    objects: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (kind, schema, name), wanted in privileges.items():
        path = [name] if kind == "schema" else [schema, name]
        objects[kind, ", ".join(wanted)].append(".".join(map(quoted, path)))
    words = {"schema": "ON SCHEMA", "sequence": "ON SEQUENCE", "table": "ON"}
    return "\n".join(
        " ".join(["GRANT", wanted, words[kind], ", ".join(named), "TO", quoted(role) + ";"])
        for (kind, wanted), named in objects.items()
    )


def quoted(name: str) -> str:
    """A name as SQL reads it, in quotes only if it needs them."""
    return name if _PLAIN.fullmatch(name) else '"{}"'.format(name.replace('"', '""'))
