"""What is judged from facts that a test's server cannot have."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from airflow_pgmq.core import diagnoses, privileges
from tests.unit.support import ROOT, utc

NOON = utc("2026-06-01 12:00")
SERVER: dict[str, Any] = {
    "database": "shop",
    "standby": False,
    "pgmq": True,
    "pgmq_version": "1.5.0",
    "headers": True,
    "migration": 2,
    "may_create": True,
}


def codes(**changes: Any) -> list[str]:
    return [problem.code for problem in diagnoses.installation({**SERVER, **changes}, 2)]


def test_a_standby_is_told_apart_from_its_primary():
    assert codes() == []
    assert codes(standby=True) == ["standby"]


def test_an_old_extension_is_updated():
    (problem,) = diagnoses.installation({**SERVER, "headers": False}, 2)
    assert problem.fix == "ALTER EXTENSION pgmq UPDATE;"


def test_a_schema_that_may_not_be_read_is_no_missing_one():
    assert codes(migration=None) == []
    assert codes(migration=3) == []


@pytest.mark.parametrize(
    ("psycopg", "libpq", "found"),
    [
        ("3.2.10", 170006, []),
        ("4.0", 120000, []),
        ("3.1.18", 160002, ["old_driver"]),
        ("3.2.0.dev1", 110022, ["old_libpq"]),
    ],
)
def test_old_drivers(psycopg, libpq, found):
    assert [problem.code for problem in diagnoses.driver(psycopg, libpq)] == found


@pytest.mark.parametrize(("off", "found"), [(1.0, 0), (1.1, 1), (-1.0, 0), (-1.1, 1), (0, 0)])
def test_a_second_of_skew_is_allowed_beyond_what_the_question_took(off, found):
    before, after = NOON, NOON + timedelta(seconds=3)
    server = (after if off > 0 else before) + timedelta(seconds=off)
    assert len(diagnoses.skew(server, before, after)) == found


def test_grants_with_the_same_givenare_one_statement_and_odd_names_are_quoted():
    rows = [
        {"work": "read", "kind": "table", "schema": "pgmq", "name": name, "privilege": privilege}
        for name in ("q_a", "q_B c")
        for privilege in ("SELECT", "UPDATE")
    ]
    (problem,) = privileges.problems("some one", rows)
    assert problem.fix == 'GRANT SELECT, UPDATE ON pgmq.q_a, pgmq."q_B c" TO "some one";'
    assert "and 1 more" in problem.text
    able = ["send", "see pauses", "pause queues", "run periodic jobs", "maintain", "look"]
    assert privileges.may(rows) == able


PAGE = (ROOT / "docs" / "production" / "permissions.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n[^#]*?```sql\n(.+?)```", PAGE, re.M | re.S))
WORKS = {
    "send": ["Sending"],
    "read": ["Reading"],
    "see pauses": ["Seeing pauses"],
    "pause queues": ["Pausing queues"],
    "run periodic jobs": ["Periodic jobs"],
    "maintain": ["Maintenance"],
    "look": ["Looking", "The page"],
}


def granted(sections: list[str]) -> set[tuple[str, str, str, str]]:
    """Each privilege that the page grants, of the queue `mail` as a pattern of all queues."""
    found = set()
    for section in sections:
        for given, kind, path in re.findall(
            r"GRANT ([A-Z, ]+) ON (SCHEMA |SEQUENCE )?(\S+) TO", SECTIONS[section]
        ):
            schema, _, name = path.partition(".")
            name = re.sub("^([qa])_mail.*", r"\1\\_%", name) or schema
            for privilege in given.split(", "):
                found.add((kind.strip().lower() or "table", schema, name, privilege))
    return found


@pytest.mark.parametrize("work", WORKS)
def test_the_doctor_and_the_page_want_the_same_rights(work):
    wanted = {
        (kind, schema, name, privilege)
        for kind, schema, name, needed in privileges.RIGHTS[work]
        for privilege in needed.split(", ")
    }
    assert wanted == granted(WORKS[work])
    assert privileges.RIGHTS.keys() == WORKS.keys()
