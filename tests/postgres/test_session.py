"""Settings of server, database, role, session or caller do not change results."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from psycopg import sql

from airflow_pgmq import errors
from airflow_pgmq.core.delays import parse
from airflow_pgmq.core.limits import UNLIMITED
from airflow_pgmq.core.payload import Unreadable
from airflow_pgmq.db import client as clients
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.driver.values import Cursor
from airflow_pgmq.db.statements import Statement, first, queues, reading, scalar
from tests.fixtures.factories import QUEUE, execute, job, keys_in, queued, read, send, slots_in, state, tick
from tests.fixtures.pooler import running_pooler
from tests.fixtures.postgres import Database, prepare_template

pytestmark = pytest.mark.own_session("each test sets up sessions itself")

#: Each of these settings has broken something before.
HOSTILE = {
    "zone": {"TimeZone": "Europe/Berlin"},
    "far zone": {"TimeZone": "Asia/Tokyo"},
    "encoding": {"client_encoding": "LATIN1"},
    "no encoding": {"client_encoding": "SQL_ASCII"},
    "dates": {"DateStyle": "SQL, DMY"},
    "German dates": {"DateStyle": "German"},
    "Postgres's dates": {"DateStyle": "Postgres, MDY"},
    "intervals": {"IntervalStyle": "sql_standard"},
    "verbose intervals": {"IntervalStyle": "postgres_verbose"},
    "serializable": {"default_transaction_isolation": "serializable", "default_transaction_deferrable": "on"},
    "repeatable read": {"default_transaction_isolation": "repeatable read"},
    "no path": {"search_path": ""},
    "quotes": {"quote_all_identifiers": "on"},
    "bytes": {"bytea_output": "escape"},
    "plans": {"jit_above_cost": "0", "enable_nestloop": "off", "plan_cache_mode": "force_generic_plan"},
    "floats": {"extra_float_digits": "-15"},
}
each_setting = pytest.mark.parametrize("settings", HOSTILE.values(), ids=HOSTILE)

UTC = timezone.utc
WORDS = "grün 語 € 😀"


def for_all(database: Database, settings: dict[str, str]) -> None:
    """Give these settings to every new session of the database."""
    for name, value in settings.items():
        statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
        with psycopg.connect(database.server.dsn(), autocommit=True) as admin:
            admin.execute(statement.format(*map(sql.Identifier, (database.name, name)), sql.Literal(value)))


@contextmanager
def caller(database: Database, settings: dict[str, str], **options):
    """A caller's connection with these settings."""
    with database.connect(**options) as conn:
        for name, value in settings.items():
            conn.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        if not conn.autocommit:
            conn.commit()
        yield conn


def use(client: Client, database: Database, conn: psycopg.Connection | None = None) -> None:
    """Send, read, hide and ack, and look at every value that comes back."""
    before = datetime.now(UTC) - timedelta(seconds=60)
    later = datetime(2099, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=2)))
    results = send(client, "ä", "b", "c", messages=[{"t": WORDS}, 2.5, [1]], delays=[0, 0, later], conn=conn)
    assert [(result.status, result.msg_id) for result in results] == [("sent", 1), ("sent", 2), ("sent", 3)]
    again = send(client, "ä", "d", conn=conn)
    assert [result.status for result in again] == ["duplicate", "sent"]
    assert again[0].first_sent_at.tzinfo is UTC
    assert send(client, "e", scope="queued", conn=conn)[0].status == "sent"
    assert send(client, "e", scope="queued", conn=conn)[0].status == "duplicate"
    messages = read(client, conn=conn)
    assert [message.message for message in messages[:2]] == [{"t": WORDS}, 2.5]
    assert messages[0].headers == {"dedup_key": "ä"}
    for message in messages:
        assert message.vt.tzinfo is UTC
        assert message.enqueued_at.tzinfo is UTC
        assert before < message.enqueued_at < message.vt < before + timedelta(seconds=180)
    held = client.run(lambda: reading.set_vt(QUEUE, messages, parse(later)), conn)
    assert held == [message.msg_id for message in messages]
    assert client.run(lambda: reading.archive(QUEUE, messages), conn) == held
    assert client.run(lambda: queues.metrics(QUEUE), conn).queue_length == 1


@each_setting
def test_our_own_sessions(database, client, settings):
    for_all(database, settings)

    use(client, database)


def test_our_own_sessions_write_where_reading_is_the_default(database, client):
    for_all(database, {"default_transaction_read_only": "on"})

    results = send(client, "a", "b")

    assert [result.status for result in results] == ["sent", "sent"]
    assert client.run(lambda: reading.archive(QUEUE, read(client))) == [1, 2]


@pytest.mark.parametrize("name", ["standard_conforming_strings", "array_nulls", "row_security"])
@pytest.mark.filterwarnings("ignore")
def test_our_own_sessions_read_sql_as_it_was_written(database, client, name):
    for_all(database, {name: "off"})
    shown = Statement("setting", script=f"SELECT current_setting('{name}') AS value", decode=scalar("value"))

    assert client.run(lambda: shown) == client.run(lambda: one_by_one(shown)) == "on"
    assert client.run(lambda: queues.create("more", notify=True))
    use(client, database)
    assert client.run(lambda: reading.archive(QUEUE, [3])) == [3]


def test_nobody_else_limits_our_sessions(database, client):
    names = (
        "statement_timeout",
        "lock_timeout",
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
    )
    for_all(database, dict.fromkeys(names, "3s"))
    script = f"SELECT {', '.join(f'current_setting({name!r}) AS {name}' for name in names)}"
    statement = Statement("limits", script=script, decode=lambda rows: list(rows[0].values()))
    for work in (lambda: one_by_one(statement), lambda: statement):
        assert client.run(work) == ["30min", "30s", "0", "10s"]
    with client.connection(limits=UNLIMITED) as conn:
        assert [conn.execute(f"SHOW {name}").fetchone() for name in names] == [("0",)] * 4


def one_by_one(statement):
    return (yield statement)


@each_setting
@pytest.mark.parametrize("autocommit", [False, True])
def test_a_callers_connection_on_which_nothing_is_changed(database, client, settings, autocommit):
    with caller(database, settings, autocommit=autocommit) as conn:
        kept = {name: conn.execute(f"SHOW {name}").fetchone() for name in settings}
        use(client, database, conn)

        assert {name: conn.execute(f"SHOW {name}").fetchone() for name in settings} == kept


def test_a_callers_encoding_is_put_back_inside_its_transaction(database, client):
    with caller(database, {"client_encoding": "LATIN1"}) as conn, conn.transaction():
        send(client, "ä", messages=[WORDS], conn=conn)
        assert conn.info.encoding == "iso8859-1"
        assert conn.execute("SHOW client_encoding").fetchone() == ("LATIN1",)
        with pytest.raises(errors.DuplicateMessage):
            send(client, "ä", on_duplicate="fail", conn=conn)
        assert conn.execute("SHOW client_encoding").fetchone() == ("LATIN1",)
    assert read(client)[0].message == WORDS


@pytest.mark.parametrize("level", list(psycopg.IsolationLevel))
def test_a_callers_transaction_keeps_its_isolation(database, client, level):
    script = "SELECT current_setting('transaction_isolation') AS level"
    with database.connect() as conn:
        conn.isolation_level = level
        found = client.run(lambda: Statement("level", script=script, decode=first), conn)
    assert found == {"level": level.name.lower().replace("_", " ")}


def test_an_open_transaction_of_a_lent_connection_is_joined(database, client):
    with suppress(ZeroDivisionError), client.connection() as conn, conn.transaction():
        send(client, "a", conn=conn)
        raise ZeroDivisionError
    assert queued(database) == []


def test_nothing_is_done_elsewhere_when_a_lent_connection_is_lost_in_its_transaction(database, client):
    def work(conn):
        with conn.transaction():
            execute(database, "SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
            with suppress(psycopg.OperationalError):
                conn.execute("SELECT 1")
            send(client, "a", conn=conn)

    with client.connection() as conn, pytest.raises(psycopg.OperationalError):
        work(conn)
    assert queued(database) == []


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_callers_connection_that_may_only_read_does_not_write(database, client, autocommit):
    with database.connect(autocommit=autocommit) as conn:
        conn.read_only = True
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            send(client, "a", conn=conn)


def test_what_was_registered_on_a_callers_connection_does_not_matter(database, client):
    class Odd(psycopg.adapt.Loader):
        def load(self, data):
            return "odd"

    with database.connect() as conn:
        for name in ("jsonb", "int8", "timestamptz", "text"):
            conn.adapters.register_loader(name, Odd)
        use(client, database, conn)


def test_infinity_is_read_and_written(database, client):
    send(client, "a", "b")
    execute(database, "UPDATE pgmq.q_mail SET enqueued_at = '-infinity' WHERE msg_id = 1")
    execute(database, "UPDATE pgmq.q_mail SET enqueued_at = '100000-01-01Z' WHERE msg_id = 2")

    old, new = read(client)

    assert (old.enqueued_at.year, new.enqueued_at.year) == (1, 9999)
    for instant, text in ((old.enqueued_at, "-infinity"), (new.enqueued_at, "infinity")):
        statement = Statement("same", {"at": instant}, script="SELECT %(at)s = %(at)s, %(at)s::text AS text")
        assert client.run(lambda statement=statement: statement) is None
        with database.connect() as conn:
            asked = Cursor(conn).execute("SELECT %s::text", [instant])
            assert asked.fetchone() == (text,)


def test_seven_days_are_168_hours_when_the_clocks_change(database, client):
    """Of Postgres's `7 days`, one is 23 hours long in spring."""
    for_all(database, {"TimeZone": "Europe/Berlin"})
    spring = datetime(2099, 3, 26, 12, tzinfo=UTC)

    send(client, "a", delays=[spring], window=timedelta(days=7))

    (row,) = execute(database, "SELECT expires_at FROM airflow_pgmq.dedup_ledger")
    assert row["expires_at"].astimezone(UTC) == spring + timedelta(hours=168)


def test_ticks_send_the_slots_of_the_hour_that_is_left_out(database, client):
    """Arithmetic on a local time follows its clock, on which this hour does not exist."""
    for_all(database, {"TimeZone": "Europe/Berlin"})
    jobs = [job("hourly", "0 * * * *"), job("minutely", "*/15 * * * *", timezone="Europe/Berlin")]
    tick(*jobs).run(client)

    assert state(database, "hourly")["watermark"].astimezone(UTC) <= datetime.now(UTC) + timedelta(hours=11)
    assert len(slots_in(database, "hourly")) == 10
    assert len(slots_in(database, "minutely")) == 40


# Encodings of the database.


@pytest.fixture
def encoded(postgres_server, request):
    """A database in another encoding than UTF-8, with the queue `mail`."""
    name = f"in_{request.param.lower()}"
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        admin.execute(
            sql.SQL(
                "CREATE DATABASE {} ENCODING {} LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
            ).format(sql.Identifier(name), sql.Literal(request.param))
        )
        try:
            database = Database(postgres_server, name)
            prepare_template(database.dsn)
            execute(database, "SELECT pgmq.create(%s)", [QUEUE])
            yield database
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


in_encodings = pytest.mark.parametrize("encoded", ["LATIN1", "SQL_ASCII"], indirect=True)
in_latin1 = pytest.mark.parametrize("encoded", ["LATIN1"], indirect=True)
in_sql_ascii = pytest.mark.parametrize("encoded", ["SQL_ASCII"], indirect=True)


def client_of(database: Database) -> Client:
    return Client(lambda: psycopg.connect(database.dsn))


@in_encodings
@pytest.mark.parametrize("scope", ["once", "queued"])
@pytest.mark.parametrize("joins", [False, True])
def test_databases_in_other_encodings(encoded, scope, joins):
    client = client_of(encoded)
    with encoded.connect() as conn:
        options = {"scope": scope, "conn": conn if joins else None}
        results = send(client, "ä", "b", messages=[{"ü": "grün"}, 2], **options)
        assert [result.status for result in results] == ["sent", "sent"]
        assert [result.status for result in send(client, "ä", **options)] == ["duplicate"]
        messages = read(client, conn=options["conn"])
        assert [message.message for message in messages] == [{"ü": "grün"}, 2]
        assert [message.headers["dedup_key"] for message in messages] == ["ä", "b"]


@in_encodings
def test_queues_whose_names_are_not_ascii(encoded):
    with encoded.connect(client_encoding="UTF8") as conn:
        conn.execute('CREATE TABLE pgmq."q_mäil" (LIKE pgmq.q_mail INCLUDING ALL)')
    read_one = reading.read("mäil", max_messages=1, visibility_timeout=1, headers_condition={})
    assert client_of(encoded).run(lambda: read_one) == []


@in_latin1
@pytest.mark.parametrize("scope", ["once", "queued"])
def test_what_the_database_cannot_store_is_an_invalid_message(encoded, scope, small_chunks):
    """Also in the last of several chunks, of which each would be committed."""
    client = client_of(encoded)
    keys = [f"k{n}" for n in range(1500)]
    with pytest.raises(errors.InvalidMessage, match="cannot store"):
        send(client, *keys, messages=[*keys[:-1], "€"], scope=scope)

    assert queued(encoded) == []


@in_sql_ascii
def test_an_undecodable_byte_spoils_its_own_message(encoded):
    good, bad, worse = (b'"gut"', b'"schl\xe4cht"', b'{"a": "\xff"}')
    insert = b"INSERT INTO pgmq.q_mail (vt, message, headers) VALUES (now(), '%s', '%s')"
    with encoded.connect(client_encoding="SQL_ASCII") as conn:
        for body, headers in ((good, b"{}"), (bad, b"{}"), (good, worse)):
            conn.execute(insert % (body, headers))

    good, bad, worse = read(client_of(encoded))

    assert good.message == "gut"
    assert isinstance(bad.message, Unreadable)
    assert isinstance(worse.message, Unreadable)


# Behind a pooler.


def test_a_pooler_of_transactions_gets_the_settings_with_each(database, client, tmp_path):
    for_all(
        database, {"default_transaction_isolation": "serializable", "default_transaction_read_only": "on"}
    )
    script = (
        "SELECT current_setting('transaction_isolation') AS level, current_setting('lock_timeout') AS lock,"
        " current_setting('client_encoding') AS encoding, current_setting('transaction_read_only') AS reads"
    )
    with running_pooler(database.server, tmp_path, "transaction") as port:
        pooled = Client(
            lambda: clients.connect(
                {"host": "127.0.0.1", "port": port, "dbname": database.name, "user": "postgres"}
            )
        )
        for _ in range(10):
            found = pooled.run(lambda: Statement("level", script=script, decode=first))
            assert found == {"level": "read committed", "lock": "30s", "encoding": "UTF8", "reads": "off"}
        send(pooled, "ä", messages=[WORDS])
        assert read(pooled)[0].message == WORDS
        with pooled.connection() as conn:
            assert conn.execute("SHOW lock_timeout").fetchone() == ("0",)
    assert keys_in(database) == ["ä"]
