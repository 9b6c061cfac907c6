"""One queue that is not as PGMQ makes it: it is named, and nothing else is affected."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

from airflow_pgmq import metrics
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.client import Client, arun, connect_async
from airflow_pgmq.db.statements import overview as statements
from airflow_pgmq.db.statements import queues as queue_statements
from airflow_pgmq.db.statements import reading
from airflow_pgmq.db.statements.inspection import Search
from airflow_pgmq.errors import FeatureMissing, QueueNotFound
from airflow_pgmq.services import doctor, maintenance, overview, sampling
from tests.fixtures.factories import QUEUE, client_of, execute, read, send
from tests.fixtures.postgres import Database, new_database, prepare_template
from tests.fixtures.roles import drop_role

if TYPE_CHECKING:
    from airflow_pgmq.db.local import LocalPostgres

pytestmark = pytest.mark.direct("the doctor says that notifications do not pass a pooler")

BAD = "bad"
EXPIRED = '{"expires_at": "2026-01-01T00:00:00Z", "source": {"dag_id": "shop"}}'

#: What was done to the queue, what page and doctor say about it, and whether it can still be counted.
FAULTS = {
    "no headers": ("ALTER TABLE pgmq.q_bad DROP COLUMN headers", {"lacks_columns"}, True),
    "no message": ("ALTER TABLE pgmq.q_bad DROP COLUMN message", {"lacks_columns"}, True),
    "no vt": ("ALTER TABLE pgmq.q_bad DROP COLUMN vt", {"lacks_columns"}, False),
    "no table": ("DROP TABLE pgmq.q_bad", {"no_table"}, False),
    "no archive": ("DROP TABLE pgmq.a_bad", {"no_table"}, True),
    "neither": ("DROP TABLE pgmq.q_bad, pgmq.a_bad", {"no_table"}, False),
    "an archive without headers": (
        "ALTER TABLE pgmq.a_bad DROP COLUMN headers, DROP COLUMN archived_at",
        {"lacks_columns"},
        True,
    ),
    "a view": (
        "ALTER TABLE pgmq.q_bad RENAME TO was;"
        "CREATE VIEW pgmq.q_bad AS SELECT *, pg_sleep(60)::text FROM pgmq.was",
        {"no_plain_table"},
        False,
    ),
    "a materialized view": (
        "ALTER TABLE pgmq.q_bad RENAME TO was; CREATE MATERIALIZED VIEW pgmq.q_bad AS SELECT * FROM pgmq.was",
        {"no_plain_table"},
        False,
    ),
    "a foreign table": (
        "DROP TABLE pgmq.q_bad; CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA "
        "WRAPPER nothing; CREATE FOREIGN TABLE pgmq.q_bad (msg_id bigint, read_ct int, vt timestamptz, "
        "enqueued_at timestamptz, message jsonb, headers jsonb) SERVER nowhere",
        {"no_plain_table"},
        False,
    ),
    "a view for an archive": (
        "DROP TABLE pgmq.a_bad; CREATE VIEW pgmq.a_bad AS SELECT *, vt AS archived_at FROM pgmq.q_bad",
        {"no_plain_table"},
        True,
    ),
}

#: Columns of other types.
TYPES = {
    "vt": ("ALTER TABLE pgmq.q_bad ALTER COLUMN vt TYPE text", False),
    "headers of the archive": ("ALTER TABLE pgmq.a_bad ALTER COLUMN headers TYPE text", True),
    "headers": ("ALTER TABLE pgmq.q_bad ALTER COLUMN headers TYPE integer USING 1", True),
    "msg_id": ("ALTER TABLE pgmq.q_bad ALTER COLUMN msg_id TYPE integer", False),
}


def codes(owner: dict[str, Any]) -> set[str]:
    return {problem["code"] for problem in owner["problems"]} - {"nobody_reads"}


def named(found: dict[str, Any], name: str = QUEUE) -> dict[str, Any]:
    (queue,) = [each for each in found["queues"] if each["queue_name"] == name]
    return queue


@pytest.fixture
def two(client: Client, database: Database) -> Client:
    """A good queue and one to be broken, each with an expired message of a Dag, and an archived one."""
    fill(database, BAD)
    return client


def fill(database: Database, *names: str) -> None:
    for name in names:
        execute(database, "SELECT pgmq.create(%s)", [name])
    for name in (QUEUE, *names):
        execute(database, "SELECT pgmq.send(%s, '1', %s::jsonb, 0)", [name, EXPIRED])
        execute(database, "SELECT pgmq.archive(%s, pgmq.send(%s, '2', %s::jsonb, 0))", [name, name, EXPIRED])


def check_all_but(client: Client, name: str) -> None:
    """Check that everything that works on all queues does so on the good one."""
    assert named(overview.queues(client))["length"] == 1
    assert overview.queue(client, name)["queue_name"] == name
    assert overview.queue(client, QUEUE)["length"] == 1
    found = overview.sent(client, {"dag_id": "shop"})
    assert [each["msg_id"] for each in found["messages"] if each["queue_name"] == QUEUE] == [2, 1]
    assert QUEUE in {each.queue_name for each in client.run(queue_statements.list_all)}
    done = maintenance.maintain(client)
    assert done.sampled == 2
    assert done.expired >= 1
    assert execute_counts(client) == {QUEUE: 0}


def execute_counts(client: Client) -> dict[str, int]:
    """What is left in the good queue, as the metrics of all queues have it."""
    with client.connection() as conn:
        found, _ = sampling.metrics(client, conn)
    return {each.queue_name: each.queue_length for each in found if each.queue_name == QUEUE}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_named_and_the_others_are_served(two: Client, database: Database, fault: str) -> None:
    spoil, expected, countable = FAULTS[fault]
    execute(database, spoil)
    row = named(overview.queues(two), BAD)

    assert codes(row) == expected
    assert row["length"] == (1 if countable else None)
    check_all_but(two, BAD)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_doctor_names_it_and_its_fix_works(two: Client, database: Database, fault: str) -> None:
    spoil, expected, _ = FAULTS[fault]
    execute(database, spoil)
    found = [each for each in doctor.examine(two) if each.code in expected]

    assert {each.code for each in found} == expected
    assert all(BAD in each.text for each in found)
    for each in found:
        for line in each.fix.splitlines():
            execute(database, line)
    assert [each for each in doctor.examine(two) if each.code in expected] == []
    assert codes(named(overview.queues(two), BAD)) == set()
    execute(database, "SELECT pgmq.send('bad', '1', '{}'::jsonb, 0)")
    execute(database, "SELECT pgmq.archive('bad', (SELECT msg_id FROM pgmq.read('bad', 1, 1)))")


@pytest.mark.parametrize("column", TYPES)
def test_a_column_of_another_type_is_as_good_as_none(two: Client, database: Database, column: str) -> None:
    spoil, countable = TYPES[column]
    execute(database, spoil)
    row = named(overview.queues(two), BAD)

    assert (row["length"], codes(row)) == (1 if countable else None, {"lacks_columns"})
    check_all_but(two, BAD)
    assert {each.code for each in doctor.examine(two)} == {"lacks_columns", "no_notify"}


@pytest.fixture
def looker(two: Client, database: Database) -> Iterator[Client]:
    """A client of a role that may look at and clean everything, and owns nothing."""
    role = f"looker_{database.name}"
    execute(database, f"CREATE ROLE {role} LOGIN")
    execute(
        database,
        f"GRANT USAGE ON SCHEMA pgmq, airflow_pgmq TO {role};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgmq, airflow_pgmq TO {role};"
        f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA pgmq TO {role}",
    )
    yield client_of(database.dsn, user=role)
    drop_role(database, role)


def spoil_by_policy(database: Database, expression: str) -> None:
    execute(
        database,
        f"CREATE FUNCTION spoilt() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN {expression} END $$;"
        "CREATE POLICY spoilt ON pgmq.q_bad USING (spoilt());"
        "ALTER TABLE pgmq.q_bad ENABLE ROW LEVEL SECURITY",
    )


def test_what_fails_all_the_same_fails_alone_and_says_why(database: Database, looker: Client) -> None:
    spoil_by_policy(database, "RAISE 'not today';")
    row = named(overview.queues(looker), BAD)

    assert (row["length"], codes(row)) == (None, {"unreadable", "row_security"})
    assert "not today" in "".join(problem["text"] for problem in row["problems"])
    check_all_but(looker, BAD)
    assert "unreadable" in {each.code for each in doctor.examine(looker)}


def test_what_takes_too_long_is_left_alone(
    database: Database, looker: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_pgmq.services.faulty_queues.LIMIT", "100ms")
    spoil_by_policy(database, "PERFORM pg_sleep(30); RETURN true;")
    monkeypatch.setattr("airflow_pgmq.services.faulty_queues.TOGETHER", "500ms")
    hasty = client_of(database.dsn, limits=Limits(statement=1), user=f"looker_{database.name}")
    found = overview.queues(hasty)
    assert (named(found)["length"], named(found, BAD)["length"]) == (1, None)
    assert codes(named(found, BAD)) == {"slow", "row_security"}


@pytest.mark.parametrize("gone", ["table", "queue"])
def test_a_queue_that_is_dropped_between_two_statements(
    two: Client, database: Database, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = sampling.queue_counts.choose

    def choose(tables: Any) -> Any:
        if execute(database, "SELECT to_regclass('pgmq.q_bad') IS NOT NULL AS there") == [{"there": True}]:
            execute(database, "DROP TABLE pgmq.q_bad" if gone == "table" else "SELECT pgmq.drop_queue('bad')")
        return how(tables)

    monkeypatch.setattr("airflow_pgmq.services.sampling.queue_counts.choose", choose)
    found = overview.queues(two)

    assert (named(found)["length"], named(found, BAD)["length"]) == (1, None)
    assert codes(named(found, BAD)) == {"unreadable"}


def test_sent_is_found_in_what_is_there(two: Client, database: Database) -> None:
    execute(database, "DROP TABLE pgmq.a_bad")
    found = overview.sent(two, {"dag_id": "shop"})

    assert sorted((each["queue_name"], each["msg_id"]) for each in found["messages"]) == [
        (BAD, 1),
        (QUEUE, 1),
        (QUEUE, 2),
    ]
    assert [each["queue_name"] for each in found["left_out"]] == [BAD]
    assert "a_bad" in found["left_out"][0]["text"]


def test_maintenance_says_what_it_left_out_and_why(two: Client, database: Database) -> None:
    execute(database, "ALTER TABLE pgmq.q_bad DROP COLUMN headers")
    done = maintenance.maintain(two)
    assert done.skipped.keys() == {BAD}
    assert "headers" in done.skipped[BAD]


def test_a_locked_queue_holds_up_nobody(two: Client, database: Database) -> None:
    with database.connect() as holder:
        holder.execute("LOCK TABLE pgmq.q_bad, pgmq.a_bad")
        found = overview.queues(two)
        sent = overview.sent(two, {"dag_id": "shop"})
        examined = doctor.examine(two)

    assert codes(named(found, BAD)) == {"locked"}
    assert {each["queue_name"] for each in sent["messages"]} == {QUEUE}
    assert [each["queue_name"] for each in sent["left_out"]] == [BAD]
    assert {each.code for each in examined} == {"locked", "no_notify"}


# Names.


@pytest.mark.parametrize(
    "name",
    [
        'a"b',
        "a%sb",
        "a b",
        "Mixed",
        "a{table}b",
        "a\\b",
        "a/b",
        "a?b#c",
        "x" * 47,
        "ümlaut",
        "select",
        "a\nb",
    ],
)
def test_odd_names_are_names(client: Client, database: Database, name: str) -> None:
    fill(database, name)
    check_all_but(client, name)
    assert {each.code for each in doctor.examine(client)} == {"no_notify"}
    for problem in doctor.examine(client):
        execute(database, problem.fix.replace("%", "%%"), ())
    assert doctor.examine(client) == []


def test_names_that_differ_only_by_case_share_a_table_and_are_named(
    client: Client, database: Database
) -> None:
    fill(database, "Mail", "ordinary")
    found = overview.queues(client)
    (problem,) = [each for each in doctor.examine(client) if each.code == "shared_table"]

    assert codes(named(found, "Mail")) == codes(named(found)) == {"shared_table"}
    assert codes(named(found, "ordinary")) == set()
    execute(database, problem.fix)
    assert [each for each in doctor.examine(client) if each.code == "shared_table"] == []
    assert [each["queue_name"] for each in overview.queues(client)["queues"]] == [QUEUE, "ordinary"]


@pytest.mark.parametrize("name", ["a$b", "ü" * 30])
def test_names_that_cannot_be_used_are_named(client: Client, database: Database, name: str) -> None:
    execute(
        database,
        "INSERT INTO pgmq.meta (queue_name, is_partitioned, is_unlogged) VALUES (%s, false, false)",
        [name],
    )
    found = overview.queues(client)
    assert [each["queue_name"] for each in found["queues"]] == [QUEUE]
    assert "odd_name" in codes(found)
    (problem,) = [each for each in doctor.examine(client) if each.code == "odd_name"]
    assert repr(name) in problem.text


@pytest.fixture
def c_locale(postgres_server: LocalPostgres) -> Iterator[Database]:
    """A database where lower() changes only ASCII."""
    with postgres_server_database(postgres_server) as database:
        yield database


def postgres_server_database(server: LocalPostgres) -> Any:
    execute(
        Database(server, "postgres"),
        "SELECT 1",
    )
    with Database(server, "postgres").connect(autocommit=True) as admin:
        if not admin.execute("SELECT FROM pg_database WHERE datname = 'c_template'").fetchall():
            admin.execute("CREATE DATABASE c_template TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
            prepare_template(server.dsn("c_template"))
    return new_database(server, "c_template")


def test_a_capital_that_the_database_does_not_know(c_locale: Database) -> None:
    execute(c_locale, "SELECT pgmq.create(%s)", [QUEUE])
    fill(c_locale, "Äpfel")
    client = client_of(c_locale.dsn)
    assert execute(c_locale, "SELECT relname FROM pg_class WHERE relname = 'q_Äpfel'")
    row = named(overview.queues(client), "Äpfel")

    assert (row["length"], codes(row)) == (1, {"odd_name"})
    check_all_but(client, "Äpfel")
    (problem,) = [each for each in doctor.examine(client) if each.code == "odd_name"]
    assert "q_Äpfel" in problem.text


# Changes while it is looked at.


def test_rights_that_are_taken_away_in_the_middle(database: Database, looker: Client) -> None:
    role = f"looker_{database.name}"
    execute(database, f"REVOKE SELECT ON pgmq.a_bad FROM {role}")
    known = looker.run(statements.tables)
    execute(database, f"REVOKE SELECT ON pgmq.q_bad FROM {role}")
    with looker.connection() as conn:
        counted = sampling.count(looker, conn, known.tables, known.now)
    sent = overview.sent(looker, {"dag_id": "shop"})
    assert (counted[QUEUE].length, counted[BAD].length) == (1, None)
    assert {each["queue_name"] for each in sent["messages"]} == {QUEUE}
    assert {each["queue_name"] for each in sent["left_out"]} == {BAD}


def test_metrics_are_sent_of_those_that_are_known(
    two: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(database, "ALTER TABLE pgmq.q_bad DROP COLUMN vt")
    emitted: list[tuple[Any, ...]] = []
    monkeypatch.setattr("airflow_pgmq.settings.metrics", lambda: "tags")
    monkeypatch.setattr(
        "airflow_pgmq.metrics._emit", lambda kind, name, value, **tag: emitted.append((name, tag["queue"]))
    )
    metrics.count_queues(two)
    assert ("length", QUEUE) in emitted
    assert BAD not in {queue for name, queue in emitted if name == "length"}


def test_other_work_goes_on(two: Client, database: Database) -> None:
    execute(database, "DROP TABLE pgmq.q_bad, pgmq.a_bad")
    send(two, "a")
    assert [each.msg_id for each in read(two)] == [1, 3]


@pytest.mark.parametrize("source", ["queue", "archive"])
def test_what_columns_a_table_has_besides_is_not_looked_at(
    two: Client, database: Database, source: Literal["queue", "archive"]
) -> None:
    table = f"pgmq.{source[0]}_bad"
    execute(database, f"ALTER TABLE {table} ADD headers_large int, ADD message_large int, ADD now int")
    (sent,) = [
        each
        for each in overview.sent(two, {"dag_id": "shop"}, peek=True)["messages"]
        if each["queue_name"] == BAD and (each["archived_at"] is not None) == (source == "archive")
    ]

    execute(database, f"ALTER TABLE {table} ALTER COLUMN vt TYPE timestamp")
    found = overview.messages(two, Search(queue_name=BAD, source=source, peek=True))["messages"]

    assert [each["message"] for each in found] == [sent["message"]] == [1 if source == "queue" else 2]
    assert found[0]["vt"].tzinfo is not None


def test_a_queue_without_its_archive_is_no_missing_queue(two: Client, database: Database) -> None:
    """Advice to make it again would be wrong: it exists, and has messages."""
    execute(database, "DROP TABLE pgmq.a_bad")
    search = Search(queue_name=BAD, source="archive")
    with pytest.raises(FeatureMissing, match=r"no archive.*pgmq\.a_bad .*pgmq doctor"):
        overview.messages(two, search)
    with pytest.raises(FeatureMissing, match="no archive"):
        two.run(lambda: reading.archive(BAD, [1]))
    with pytest.raises(FeatureMissing, match="no archive"):
        asyncio.run(archive_on_a_loop(database))

    execute(database, "DROP TABLE pgmq.q_bad")
    with pytest.raises(QueueNotFound):
        overview.messages(two, search)


async def archive_on_a_loop(database: Database) -> None:
    conn = await connect_async({"conninfo": database.dsn})
    try:
        await arun(lambda: reading.archive(BAD, [1]), conn)
    finally:
        await conn.close()
