"""Row level security: the policies of the page of permissions are enough, and each missing one is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from airflow_pgmq.core import diagnoses, row_security
from airflow_pgmq.db.statements import doctor as asking
from airflow_pgmq.db.statements import schema
from airflow_pgmq.errors import PermissionDenied
from airflow_pgmq.services import doctor, overview
from tests.fixtures.factories import execute, send
from tests.postgres.test_permissions import GRANT, PAGE, SECTIONS, WORK, Role, role  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from airflow_pgmq.core.problems import Problem
    from airflow_pgmq.db.client import Client
    from tests.fixtures.postgres import Database

#: What the page says of each command.
CLAUSES = dict(re.findall(r"CREATE POLICY app_\w+ ON pgmq\.q_mail FOR (\w+) TO app (.+?);", PAGE))
#: Kinds of work as the doctor calls them, and the sections that have their rights.
DOCTORS = {
    "send": "Sending",
    "read": "Reading",
    "see pauses": "Seeing pauses",
    "pause queues": "Pausing queues",
    "run periodic jobs": "Periodic jobs",
    "maintain": "Maintenance",
    "look": "The page",
}


def secure(database: Database) -> None:
    """Row level security on every table, as Supabase has it."""
    execute(
        database,
        "DO $$ DECLARE it regclass; BEGIN FOR it IN SELECT c.oid FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = relnamespace WHERE nspname IN ('pgmq', 'airflow_pgmq') AND relkind IN ('r', 'p') LOOP"
        " EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', it); END LOOP; END $$",
    )


@pytest.fixture
def secured(role: Role, database: Database) -> Role:  # noqa: F811
    """A role with no rights where all tables have row level security, and none has a policy."""
    secure(database)
    return role


def commands(section: str) -> Iterator[tuple[str, str]]:
    """What the page grants for some work: privilege and table, which are a policy's, too."""
    for line in SECTIONS[section]:
        if (found := GRANT.fullmatch(line)) and not found["what"].startswith(("SCHEMA", "SEQUENCE")):
            # A view has no rows of its own.
            if found["what"] == "airflow_pgmq.overdue":
                continue
            for privilege in found["privileges"].split(", "):
                yield privilege, found["what"]


def open_up(role: Role, privilege: str, table: str) -> None:  # noqa: F811
    name = f"{privilege.lower()}_{table.replace('.', '_')}"
    role.run(f"CREATE POLICY {name} ON {table} FOR {privilege} TO app {CLAUSES[privilege]}")


def test_the_page_has_a_policy_for_each_command() -> None:
    assert CLAUSES == row_security._CLAUSES


@pytest.mark.parametrize("section", WORK)
def test_a_policy_for_each_privilege_that_is_granted_suffices(secured: Role, section: str) -> None:
    for line in SECTIONS[section]:
        secured.run(line)
    for privilege, table in dict.fromkeys(commands(section)):
        open_up(secured, privilege, table)
    WORK[section](secured.client)


@pytest.mark.parametrize("work", DOCTORS)
def test_each_policy_that_is_missing_is_named(secured: Role, work: str) -> None:
    section = DOCTORS[work]
    for line in SECTIONS[section]:
        secured.run(line)
    granted = list(dict.fromkeys(commands(section)))
    for privilege, table in granted:
        open_up(secured, privilege, table)

    def missing() -> set[tuple[str, str]]:
        restricted = secured.client.run(asking.installation).restricted
        return {
            (row["privilege"], f"{row['schema']}.{row['name']}") for row in row_security.no_rows(restricted)
        }

    assert missing() & set(granted) == set()
    for privilege, table in granted:
        name = f"{privilege.lower()}_{table.replace('.', '_')}"
        execute(secured.database, f"DROP POLICY {name} ON {table}")
        assert missing() & set(granted) == {(privilege, table)}
        open_up(secured, privilege, table)


def grant_all(role: Role) -> None:  # noqa: F811
    role.run("GRANT USAGE ON SCHEMA pgmq, airflow_pgmq TO app")
    role.run("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgmq, airflow_pgmq TO app")
    role.run("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA pgmq, airflow_pgmq TO app")


def only(found: list[Problem]) -> Problem:
    assert [each.code for each in found] == ["row_security"]
    return found[0]


def fix(database: Database, problem: Problem) -> None:
    for line in problem.fix.splitlines():
        if not line.startswith("--"):
            execute(database, line)


@pytest.mark.direct("the doctor says that notifications do not pass a pooler")
def test_the_doctor_finds_it_and_its_fix_works(secured: Role, database: Database) -> None:
    grant_all(secured)
    found = [each for each in doctor.examine(secured.client) if each.code == "row_security"]
    problem = only(found)
    assert problem.severity == "error"
    assert secured.name in problem.text
    fix(database, problem)
    assert doctor.examine(secured.client) == []
    for section in ("Sending", "Reading", "Consuming", "Periodic jobs", "The page"):
        WORK[section](secured.client)


def test_the_owner_is_not_kept_from_anything(client: Client, database: Database) -> None:
    secure(database)
    assert "row_security" not in {each.code for each in doctor.examine(client)}
    assert "row_security" not in _codes(overview.queues(client))


@pytest.mark.direct("the doctor says that notifications do not pass a pooler")
@pytest.mark.parametrize(
    "spoil",
    [
        "CREATE POLICY a_part ON pgmq.q_mail TO app USING (msg_id % 2 = 0)",
        "CREATE POLICY all_of_it ON pgmq.q_mail TO app USING (true);"
        "CREATE POLICY not_all ON pgmq.q_mail AS RESTRICTIVE TO app USING (msg_id % 2 = 0)",
    ],
)
def test_a_part_of_the_rows_is_a_warning(role: Role, database: Database, spoil: str) -> None:  # noqa: F811
    grant_all(role)
    execute(database, "ALTER TABLE pgmq.q_mail ENABLE ROW LEVEL SECURITY")
    for statement in spoil.split(";"):
        role.run(statement)
    problem = only(doctor.examine(role.client))
    assert problem.severity == "warning"
    assert _codes(named(overview.queues(role.client))) == {"row_security", "not_maintained"} & {
        "row_security"
    }
    fix(database, problem)
    assert doctor.examine(role.client) == []


def named(found: dict, name: str = "mail") -> dict:
    (queue,) = [each for each in found["queues"] if each["queue_name"] == name]
    return queue


def _codes(owner: dict) -> set[str]:
    return {problem["code"] for problem in owner["problems"]}


def test_the_page_says_what_it_does_not_see(secured: Role, database: Database) -> None:
    grant_all(secured)
    found = overview.queues(secured.client)
    assert found["queues"] == []
    assert "row_security" in _codes(found)
    assert "pgmq.meta" in "".join(each["text"] for each in found["problems"])

    open_up(secured, "SELECT", "pgmq.meta")
    found = overview.queues(secured.client)
    assert {each["queue_name"]: _codes(each) for each in found["queues"]} == {
        "mail": {"row_security"},
        "mail_dlq": {"row_security"},
    }
    for table in ("pgmq.q_mail", "pgmq.q_mail_dlq"):
        open_up(secured, "SELECT", table)
    assert {each["queue_name"]: _codes(each) for each in overview.queues(secured.client)["queues"]} == {
        "mail": set(),
        "mail_dlq": set(),
    }


def test_the_connections_test_says_so(secured: Role) -> None:
    grant_all(secured)
    installed = secured.client.run(asking.installation)
    missing_rights = [*installed.lacking, *row_security.no_rows(installed.restricted)]
    of_use, text = diagnoses.verdict(installed.server, 2, missing_rights, doctor.judge(installed))
    assert not of_use
    assert "Row level security" in text


def test_a_schema_whose_rows_are_hidden_is_not_taken_for_missing(secured: Role) -> None:
    grant_all(secured)
    with pytest.raises(PermissionDenied, match="row level security"):
        secured.client.run(schema.version)
    with pytest.raises(PermissionDenied, match="row level security"):
        send(secured.client, "a")
