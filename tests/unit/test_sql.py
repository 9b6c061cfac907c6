"""The SQL files: queries are named, described and used; values and names never become part of the text."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_pgmq.db import sql
from airflow_pgmq.db.sql import fragments, migrations, queries, topics
from tests.unit.support import ROOT

PACKAGE = ROOT / "airflow_pgmq"
SQL = Path(sql.__file__).parent
TOPICS = {name: (SQL / name).read_text(encoding="utf-8") for name in topics()}
QUERIES = "\n".join(TOPICS.values())
FRAGMENTS = (SQL / "fragments.sql").read_text(encoding="utf-8")

NAME = re.compile(r"^-- ([a-z_]+) --$", re.M)
PLACEHOLDER = re.compile(r"%\(([a-z_]+)\)[sb]")
COMMENT = re.compile(r"--.*")
LITERAL = re.compile(r"'(?:[^']|'')*'")
SQL_VERB = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|TRUNCATE|GRANT|REVOKE|LOCK|COPY|SET|CALL|NOTIFY)\s"
)

KINDS = "SCHEMA|TABLE|FUNCTION|VIEW|TYPE|SEQUENCE"

#: The names that may be in braces: see `airflow_pgmq.db.statements`.
IDENTIFIERS = {
    "table",
    "relation",
    "sequence",
    "index",
    "index_name",
    "channel",
    "archive",
    "dead_letters",
    "source",
    "target",
    "columns",
}
#: The tables of django-celery-beat.
IDENTIFIERS |= {"periodictask", "intervalschedule", "clockedschedule", "crontabschedule"}
#: The user's own SQL.
IDENTIFIERS |= {"statement"}

each_query = pytest.mark.parametrize("name", sorted(queries()))


def trees(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


# The files of queries.


def test_each_block_of_the_file_is_a_query():
    """A block that the pattern does not find would end up inside the query before it."""
    assert NAME.findall(QUERIES) == list(queries())
    assert len(set(queries())) == len(queries())
    assert NAME.findall(FRAGMENTS) == list(fragments())


@pytest.mark.parametrize("name", [*queries(), *fragments()])
def test_a_query_has_a_description_of_its_own(name):
    file = FRAGMENTS if name in fragments() else QUERIES
    lines = file.split(f"-- {name} --\n", 1)[1].splitlines()
    assert re.fullmatch(r"-- [A-Z\"'].{8,}", lines[0])


@pytest.mark.parametrize("name", fragments())
def test_a_fragment_is_shared(name):
    assert (QUERIES + FRAGMENTS).count(f"<<{name}>>") > 1


def test_what_several_queries_say_is_a_fragment():
    """Copies become different over time. A few equal lines are allowed; eight are a copy."""
    found = Counter()
    for text in re.split(NAME, QUERIES):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        found.update(tuple(lines[at : at + 8]) for at in range(len(lines) - 7))
    assert [lines for lines, count in found.items() if count > 1] == []


@each_query
def test_a_query_is_one_statement(name):
    text = LITERAL.sub("''", COMMENT.sub("", queries()[name]))
    assert text.strip()
    assert ";" not in text


@each_query
def test_values_are_parameters(name):
    rest = PLACEHOLDER.sub("", queries()[name])
    assert "%" not in rest


@each_query
def test_identifiers_are_in_braces_that_the_driver_quotes(name):
    text = COMMENT.sub("", queries()[name]).replace("{{}}", "")
    assert set(re.findall(r"\{(.*?)\}", text)) <= IDENTIFIERS
    # Inside a literal or quotes the driver would not quote it.
    quoted = LITERAL.findall(text) + re.findall(r'"[^"]*"', text)
    assert not [each for each in quoted if "{" in each]
    assert not re.search(r"pgmq\.[qa]_", text)


def called_names(tree: ast.Module) -> list[str]:
    """The first argument of every statement that is built, both branches of a choice."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        if ast.unparse(node.func).removeprefix("reading.") in ("Statement", "on_queue", "_ack", "messages"):
            if any(keyword.arg == "script" for keyword in node.keywords):
                continue
            found += [
                each.value
                for each in ast.walk(node.args[0])
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
    # Some are compared with in a choice between two queries.
    return [each for each in found if each not in {"error", "none", "once", "all", "index"}]


CALLED = {path.stem: called_names(tree) for path, tree in trees(PACKAGE / "db" / "statements")}


def test_each_statement_has_a_query():
    assert {name for names in CALLED.values() for name in names} == set(queries())


@pytest.mark.parametrize("module", sorted(CALLED))
def test_a_module_builds_the_queries_of_its_file_each_at_one_place(module):
    """Other code that needs a query calls its builder."""
    assert sorted(CALLED[module]) == sorted(NAME.findall(TOPICS.get(f"{module}.sql", "")))


#: The modules that run statements and translate errors; a statement itself has its special cases.
RUNNERS = [PACKAGE / "db" / "client.py", *sorted((PACKAGE / "db" / "driver").glob("*.py"))]


#: Words of another meaning: how Python's codecs treat what they cannot decode.
OTHER_WORDS = {"replace"}


@pytest.mark.parametrize("path", RUNNERS, ids=lambda path: path.name)
def test_what_runs_queries_knows_none_of_them_by_name(path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    columns = {id(node.slice) for node in nodes if isinstance(node, ast.Subscript)}
    held = {node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in columns}
    assert not held & queries().keys() - OTHER_WORDS
    # Nor does it ask a statement for its name.
    assert not [node.lineno for node in nodes if isinstance(node, ast.Attribute) and node.attr == "name"]


# Migrations.


def test_migrations_are_numbered_without_gaps():
    names = sorted(path.name for path in (SQL / "migrations").iterdir() if path.suffix == ".sql")
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in names)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert list(migrations()) == list(range(1, len(names) + 1))


#: Tables of others that migrations read: what queues there are, and their tables.
READ = {"pgmq.meta", "pg_catalog.pg_class", "pg_catalog.pg_namespace"}


@pytest.mark.parametrize("number", migrations())
def test_migrations_keep_to_our_own_schema(number):
    text = COMMENT.sub("", migrations()[number])
    objects = re.findall(rf"\b(?:CREATE|ALTER|DROP) (?:{KINDS})(?: IF (?:NOT )?EXISTS)? ([\w.]+)", text)
    objects += re.findall(r"\bCREATE (?:UNIQUE )?INDEX \w+ ON ([\w.]+)", text)
    assert objects
    assert {each.split(".")[0] for each in objects} == {"airflow_pgmq"}
    assert all(
        table.startswith("airflow_pgmq.")
        for table in re.findall(r"\b(?:INTO|UPDATE|DELETE FROM|REFERENCES) ([a-z_]+\.\w+)", text)
    )
    # What a migration may read besides, and what it names in quotes.
    read = set(re.findall(r"\b(?:FROM|JOIN) ([a-z_]+\.\w+)", text))
    assert {each for each in read if not each.startswith("airflow_pgmq.")} <= READ


# Python.


def glued(tree: ast.Module) -> Iterator[ast.AST]:
    """SQL texts that are put together: f-strings, `+`, `%` and `format`."""

    def is_sql(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and bool(SQL_VERB.match(node.value))
        )

    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = node.values[:1]
        elif isinstance(node, ast.BinOp):
            parts = [node.left, node.right]
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"
        ):
            parts = [node.func.value]
        else:
            continue
        if any(map(is_sql, parts)):
            yield node


@pytest.mark.parametrize(
    "code",
    [
        'f"SELECT * FROM {table}"',
        '"DELETE FROM " + table',
        '"DROP TABLE %s" % table',
        '"INSERT INTO {} VALUES (1)".format(table)',
        'f"""\n    WITH x AS (SELECT {value}) SELECT 1"""',
    ],
)
def test_glued_sql_would_be_found(code):
    assert list(glued(ast.parse(code)))


def test_python_glues_no_sql_together():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}" for path, tree in trees(PACKAGE) for node in glued(tree)
    ]
    assert found == []
