"""Errors name what is wrong and what to do; what Postgres would refuse is not sent to it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from psycopg import errors

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.delays import ParsedDelay
from airflow_pgmq.db import refusals
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import overview, queues, reading, sending
from airflow_pgmq.errors import (
    FeatureMissing,
    InvalidArgument,
    InvalidMessage,
    InvalidName,
    NotInstalled,
    PermissionDenied,
    QueueNotFound,
)
from airflow_pgmq.services import topics
from airflow_pgmq.services.sending import send as send_prepared
from tests.fixtures.factories import client_of, execute, job, send, tick
from tests.fixtures.roles import drop_role

ON_A_QUEUE = {
    "send": lambda client: send_prepared(client, "nowhere", prepare([1])),
    "send once": lambda client: send_prepared(client, "nowhere", prepare([1], dedup_keys=["a"])),
    "send queued": lambda client: send_prepared(
        client, "nowhere", prepare([1], dedup_keys=["a"]), scope="queued"
    ),
    "read": lambda client: client.run(lambda: reading.read("nowhere", max_messages=1, visibility_timeout=1)),
    "read by headers": lambda client: client.run(
        lambda: reading.read("nowhere", max_messages=1, visibility_timeout=1, headers_condition={})
    ),
    "visible": lambda client: client.run(
        lambda: reading.visible("nowhere", limit=1, condition=None, headers_condition=None)
    ),
    "pop": lambda client: client.run(lambda: reading.pop("nowhere", 1)),
    "archive": lambda client: client.run(lambda: reading.archive("nowhere", 1)),
    "delete": lambda client: client.run(lambda: reading.delete("nowhere", 1)),
    "extend": lambda client: client.run(lambda: reading.set_vt("nowhere", 1, ParsedDelay(30))),
    "cancel": lambda client: client.run(lambda: sending.cancel("nowhere", ["a"])),
    "purge": lambda client: client.run(lambda: queues.purge("nowhere", with_slots=False)),
    "metrics": lambda client: client.run(lambda: queues.metrics("nowhere")),
    "guard": lambda client: client.run(lambda: queues.guard("nowhere")),
    "enable notify": lambda client: client.run(lambda: queues.enable_notify("nowhere")),
}
ANYWHERE = {
    "list": lambda client: client.run(queues.list_all),
    "create": lambda client: client.run(lambda: queues.create("mail")),
    "drop": lambda client: client.run(lambda: queues.drop("mail")),
    "metrics of all": lambda client: client.run(overview.tables),
    "topic": lambda client: topics.send(client, "a", prepare([1])),
}


@pytest.mark.parametrize("verb", ON_A_QUEUE)
def test_missing_queue_is_named(client, verb):
    with pytest.raises(QueueNotFound, match=r"'nowhere' does not exist.*pgmq init nowhere`"):
        ON_A_QUEUE[verb](client)


@pytest.mark.parametrize("keys", [{}, {"dedup_keys": ["a"]}], ids=["plain", "once"])
def test_a_queue_without_headers_is_named_and_not_the_schema(client, database, keys):
    client.run(lambda: queues.create("bare"))
    execute(database, "ALTER TABLE pgmq.q_bare DROP COLUMN headers")
    with pytest.raises(FeatureMissing, match=r"queue 'bare' is not as PGMQ makes it .*headers.*doctor"):
        send_prepared(client, "bare", prepare([1], **keys))


@pytest.mark.parametrize("verb", ANYWHERE)
def test_missing_pgmq_is_named(empty_database, verb):
    with pytest.raises(NotInstalled, match=r"run `.*pgmq init`"):
        ANYWHERE[verb](client_of(empty_database.dsn))


@pytest.fixture
def guest(database, client):
    """A client of a role that may use PGMQ, in a database without our schema."""
    role = f"guest_{database.name}"
    execute(
        database,
        f"""
        DROP SCHEMA airflow_pgmq CASCADE;
        CREATE ROLE {role} LOGIN;
        GRANT USAGE ON SCHEMA pgmq TO {role};
        GRANT ALL ON ALL TABLES IN SCHEMA pgmq TO {role};
        """,
    )
    yield client_of(database.dsn, user=role)
    drop_role(database, role)


@pytest.mark.parametrize("work", [lambda client: send(client, "a"), tick(job()).run], ids=["send", "tick"])
def test_missing_schema_that_the_role_may_not_make_is_named(guest, work):
    with pytest.raises(NotInstalled, match=r"schema airflow_pgmq is missing.*permission denied.*Let a role"):
        work(guest)


def test_what_the_role_may_do_works_without_our_schema(guest):
    assert send_prepared(guest, "mail", prepare([1]))[0].status == "sent"


def test_missing_right_is_named_with_where_to_read(database, client, guest):
    execute(database, "SELECT pgmq.create('private')")

    with pytest.raises(PermissionDenied, match=r"denied for table q_private\. .*'\w+'.* doctor` prints"):
        send_prepared(guest, "private", prepare([1]))


def test_schema_that_disappears_later_is_named(database, client):
    send(client, "a")
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")

    with pytest.raises(NotInstalled, match="pgmq init"):
        send(client, "b")


@pytest.mark.parametrize("name", [name for name, value in vars(refusals).items() if name.isupper() and value])
def test_an_sqlstate_is_called_what_postgres_calls_it(name):
    state = getattr(refusals, name)
    if state == refusals.SYNTAX_OR_ACCESS:
        assert all(each.sqlstate.startswith(state) for each in (errors.SyntaxError, errors.UndefinedTable))
    else:
        assert errors.lookup(state).__name__ == name.title().replace("_", "")


NEVER_JSON = {
    "NUL": "a\x00b",
    "NUL in a key": {"a\x00": 1},
    "NUL deep inside": [{"a": ["\x00"]}],
    "half a surrogate pair": "\ud800",
    "NaN": float("nan"),
    "infinity": [float("inf")],
    "a duration": timedelta(1),
    "bytes": b"x",
    "a set": {1},
    "a number of 5000 digits": 10**5000,
    "too deep": [],
    "too large": "x" * 2**20,
}
for _ in range(100_000):
    NEVER_JSON["too deep"] = [NEVER_JSON["too deep"]]


@pytest.fixture
def unreachable():
    """A client that must not even try to connect."""
    return Client(lambda: pytest.fail("the server was asked"))


@pytest.mark.parametrize("value", NEVER_JSON)
def test_message_that_postgres_would_refuse_never_reaches_it(unreachable, value):
    with pytest.raises(InvalidMessage):
        send_prepared(unreachable, "mail", prepare([{"fine": 1}, NEVER_JSON[value]]))


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"a": "\x00"}},
        {"headers": [{"a": float("nan")}]},
        {"headers": ["a"]},
        {"group": "\x00"},
    ],
)
def test_part_of_a_message_that_postgres_would_refuse_never_reaches_it(unreachable, options):
    with pytest.raises(InvalidMessage):
        send_prepared(unreachable, "mail", prepare([1], **options))


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"dedup_key": "a"}},
        {"delays": -1},
        {"delays": "soon"},
        {"delays": datetime(2026, 1, 1)},
        {"delays": timedelta(days=10_000)},
        {"delays": [1, 2]},
        {"dedup_keys": ["a", "b"]},
    ],
)
def test_option_that_postgres_would_refuse_never_reaches_it(unreachable, options):
    with pytest.raises(InvalidArgument):
        send_prepared(unreachable, "mail", prepare([1], **options))


@pytest.mark.parametrize("key", ["", "\x00", "\ud800", "x" * 256, 1, None])
def test_key_that_postgres_would_refuse_never_reaches_it(unreachable, key):
    with pytest.raises(InvalidName):
        send_prepared(unreachable, "mail", prepare([1], dedup_keys=[key]))


@pytest.mark.parametrize("name", ["", "a;b", "a$b", "a--b", "a'b", "a\x00b", "\ud800", "x" * 48, "ü" * 24])
def test_queue_name_that_would_be_unsafe_never_reaches_the_server(client, name):
    with pytest.raises(InvalidName):
        send_prepared(client, name, prepare([1]))


def test_largest_message_reaches_the_server(client):
    (result,) = send_prepared(client, "mail", prepare(["x" * (2**20 - 2)]))

    assert result.status == "sent"
