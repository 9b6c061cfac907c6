"""What is in the schema `airflow_pgmq`, as the page about it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "sql_objects.md"
MIGRATIONS = ROOT / "airflow_pgmq" / "db" / "sql" / "migrations"

INTRO = """# SQL objects

What this package adds to a database. Everything is in the schema `airflow_pgmq`; PGMQ's schema `pgmq` is not changed, except
for triggers and indexes on the tables of queues, below. `airflow pgmq init` makes it, and brings it up to date after an
upgrade.

Tables and columns may change in any release. The view `overdue` and the function `overdue_slots` are for you, and stay. A backup
needs the whole schema ([backup](../production/backup.md)); [roles and rights](../production/permissions.md) says which role needs
what of it.
"""

TABLES = {
    "alerts": "Overdue slots, and whether somebody was told",
    "calendars": "Days off by name, for `exclude` of jobs",
    "dedup_ledger": "Dedup keys of the scope `once`: which message was sent with a key, until `expires_at`",
    "job_versions": "Each version of a live job, with who changed it and when",
    "migrations": "Which migrations were run, and which is the oldest code that may use the schema",
    "namespaces": "Sets of periodic jobs: which task ticks them, when it did last, and which jobs it left out",
    "paused_queues": "Queues that are paused, by whom, when and why",
    "periodic_jobs": "Periodic jobs as they were deployed or put, with their watermark and next slot",
    "queue_marks": "Recognises a queue that was dropped and made again, or restored; and which code may claim",
    "queue_samples": "Counts of each queue in each minute, for rates and charts",
    "queues": "Queues by incarnation: one that was dropped and made again is another one",
    "slots": "Slots of periodic jobs that were sent, with their message, until `expires_at`",
}
VIEWS = {
    "overdue": "Slots that were not acked in time, for monitoring from outside ([alerts](../guides/overdue.md))"
}
FUNCTIONS = {
    "count_dead_letters": "Trigger: from when on dead letters pause a job",
    "dead_slots": "Slots of a namespace's jobs whose messages became dead letters",
    "incarnation_of": "Which incarnation of a queue this is",
    "notify_insert": "Trigger: announces new messages on the channel that PGMQ's clients listen to",
    "notify_settled": "Trigger: announces that messages of groups were removed",
    "overdue_slots": "What the view `overdue` shows, of one namespace or all",
    "refuse": "Refuses code that is older than the schema",
    "tell_marks": "Trigger: tells the marks of queues which code may use the schema",
}
ON_QUEUES = """## On the tables of queues

| object | made by | for |
|---|---|---|
| trigger `airflow_pgmq_notify` | `create_queue`, `airflow pgmq init`, `enable_notify` | [waking up](../concepts/waking_up.md) |
| trigger `airflow_pgmq_settled` | the first read with `ordered=True`, `airflow pgmq index-groups` | waking those who wait for the next message of a group |
| index `q_<queue>_groups_idx` | the same | [order within groups](../guides/ordering.md) |
| unique index `q_<queue>_dedup_idx` | `guard_queue`, the first send with `dedup_scope="queued"` | [sending once](../guides/dedup.md) |
"""


def numbers() -> list[tuple[int, str]]:
    """The migrations: number, and what their names say."""
    files = sorted(MIGRATIONS.glob("*.sql"))
    return [(int(file.stem[:4]), file.stem[5:].replace("_", " ")) for file in files]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def page(columns: Mapping[str, str]) -> str:
    """The page; `columns` are those of the tables and views, as Postgres lists them."""
    described = {"Tables": TABLES, "Views": VIEWS}
    parts = [INTRO]
    for title, texts in described.items():
        parts.append(f"\n## {title}\n")
        for name, text in texts.items():
            parts.append(f"\n### {name}\n\n{text}. Columns: {columns[name]}.\n")
    parts.append(
        "\n## Functions\n\n" + table(["function", "does"], ([f"`{n}`", t] for n, t in FUNCTIONS.items()))
    )
    parts.append("\n" + ON_QUEUES)
    parts.append(
        "\n## Migrations\n\n" + table(["number", "brings"], ([str(n), what] for n, what in numbers()))
    )
    return "".join(parts)


def shown(name_and_type: str) -> str:
    """A column for the page."""
    name, _, kind = name_and_type.partition(" ")
    kind = re.sub("timestamp with time zone", "timestamptz", kind)
    return f"`{name}` {kind}"
