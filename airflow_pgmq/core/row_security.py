"""What row level security hides from a role, or forbids it, although the role has the privilege."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.privileges import RIGHTS, quoted
from airflow_pgmq.core.problems import Problem

_CLAUSES = {
    "SELECT": "USING (true)",
    "INSERT": "WITH CHECK (true)",
    "UPDATE": "USING (true) WITH CHECK (true)",
    "DELETE": "USING (true)",
}


def restricted_commands(lacking: Iterable[Row], guarded: Sequence[Row]) -> list[Row]:
    """Each command that some work needs and the role has the privilege for, but policies restrict.

    :param lacking: privileges that the role lacks, as in `privileges`
    :param guarded: commands on tables that policies do not allow for all rows: `schema`, `name`, `privilege`,
        `partly` (whether some rows pass) and `restrictive` (the restrictive policies, to be dropped)
    """
    lacked = {(row["work"], row["schema"], row["name"], row["privilege"]) for row in lacking}
    found: list[Row] = []
    for work, objects in RIGHTS.items():
        for kind, schema, pattern, privileges in objects:
            found += [
                {"work": work, "kind": "table", **row}
                for row in guarded
                if kind == "table"
                and row["schema"] == schema
                and _is_like(row["name"], pattern)
                and row["privilege"] in privileges.split(", ")
                and (work, schema, row["name"], row["privilege"]) not in lacked
            ]
    return found


def no_rows(restricted: Iterable[Row]) -> list[Row]:
    """Those that policies allow for no row."""
    return [row for row in restricted if not row["partly"]]


def problems(role: str, restricted: Sequence[Row]) -> Iterator[Problem]:
    """What the role does not see or may not write, and the policies that would allow it."""
    if none := no_rows(restricted):
        yield Problem(
            "row_security",
            "error",
            f"Row level security has no policy for role {role!r}, so it sees and changes nothing where it is "
            f"to {_works(none)}: {_what(none)}.",
            _policies(role, none),
        )
    if some := [row for row in restricted if row["partly"]]:
        yield Problem(
            "row_security",
            "warning",
            f"Policies of row level security let role {role!r} {_works(some)} with only a part of the rows: "
            f"{_what(some)}.",
            _policies(role, some),
        )


def _works(rows: Iterable[Row]) -> str:
    return " or ".join(dict.fromkeys(row["work"] for row in rows))


def _what(rows: Iterable[Row]) -> str:
    found = list(dict.fromkeys(f"{row['privilege']} on {row['schema']}.{row['name']}" for row in rows))
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return ", ".join(found[:5]) + more


def _policies(role: str, rows: Iterable[Row]) -> str:
    """CREATE POLICY for each command; DROP POLICY for restrictive ones, which no other policy overrides."""
    by_table: dict[tuple[str, str], dict[str, Sequence[str]]] = defaultdict(dict)
    for row in rows:
        by_table[row["schema"], row["name"]][row["privilege"]] = row["restrictive"]
    lines = [f"-- or, all at once, of a superuser: ALTER ROLE {quoted(role)} BYPASSRLS;"]
    for path, privileges in by_table.items():
        table = ".".join(map(quoted, path))
        for privilege, restrictive in privileges.items():
            lines += [" ".join(["DROP POLICY", quoted(name), "ON", table + ";"]) for name in restrictive]
            name = quoted(f"airflow_pgmq_{privilege.lower()}_{role}")
            create = ["CREATE POLICY", name, "ON", table, "FOR", privilege, "TO", quoted(role)]
            lines.append(" ".join([*create, _CLAUSES[privilege] + ";"]))
    return "\n".join(dict.fromkeys(lines))


def _is_like(name: str, pattern: str) -> bool:
    plain = pattern.replace("\\_", "_")
    return name.startswith(plain[:-1]) if plain.endswith("%") else name == plain
