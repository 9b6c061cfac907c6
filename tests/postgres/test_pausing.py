"""A paused queue: our readers read nothing, whichever way they read, and go on when it is resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from airflow_pgmq.command_line import command
from airflow_pgmq.core import privileges
from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.groups import GroupCursor
from airflow_pgmq.db.driver import choices
from airflow_pgmq.db.statements import consuming, fifo, groups, pausing, queues, reading, streaming, watching
from airflow_pgmq.db.statements import doctor as asking
from airflow_pgmq.db.statements.watching import Ask
from airflow_pgmq.errors import QueueNotFound
from airflow_pgmq.services import doctor, overview
from airflow_pgmq.services.consuming import Consumer
from airflow_pgmq.services.sending import send as send_prepared
from tests.fixtures.dumps import dump, restore
from tests.fixtures.factories import client_of, execute, queued, read_committed, send
from tests.fixtures.roles import drop_role

if TYPE_CHECKING:
    from airflow_pgmq.db.client import Client
    from airflow_pgmq.db.statements import Work
    from tests.fixtures.postgres import Database

HEADERS = {"h": 1, "slot": "2026-01-01T00:00:00Z"}
POLICY = Policy(queue_name="mail", batch_size=9)


def pause(client: Client, queue_name: str = "mail", reason: str = "", by: str = "ada") -> bool:
    return client.run(lambda: pausing.pause(queue_name, reason, by))


def resume(client: Client, queue_name: str = "mail") -> bool:
    return client.run(lambda: pausing.resume(queue_name))


def read(client: Client, queue_name: str = "mail", conn: Any = None) -> list[Any]:
    return client.run(lambda: reading.read(queue_name, max_messages=9, visibility_timeout=0), conn)


def look(client: Client, queue_name: str = "mail") -> watching.Seen:
    return client.run(lambda: watching.look({Ask.of(queue_name): 9}))[Ask.of(queue_name)]


#: Each way to read.
READS: dict[str, Callable[[], Work[Any]]] = {
    "read": lambda: reading.read("mail", max_messages=9, visibility_timeout=0),
    "read with a condition": lambda: reading.read(
        "mail", max_messages=9, visibility_timeout=0, condition={"a": 1}
    ),
    "read by headers": lambda: reading.read(
        "mail", max_messages=9, visibility_timeout=0, headers_condition={"h": 1}
    ),
    "read for work": lambda: consuming.read(POLICY, 9),
    "read ahead": lambda: consuming.read(POLICY, 9, unread=True),
    "read in order": lambda: groups.read("mail", GroupCursor(), max_messages=9, visibility_timeout=0),
    "read as one group": lambda: fifo.read_grouped("mail", max_messages=9, visibility_timeout=0),
    "read by turns": lambda: fifo.read_grouped_rr("mail", max_messages=9, visibility_timeout=0),
    "read heads": lambda: fifo.read_grouped_head("mail", max_messages=9, visibility_timeout=0),
    "read for events": lambda: streaming.read("mail", max_messages=9, visibility_timeout=0, calm=9),
    "pop": lambda: reading.pop("mail", 1),
    "pop many": lambda: reading.pop("mail", 9),
    "slots of a ring": lambda: watching.visible_slots(Ask.of("mail")),
}
#: Each way to look.
LOOKS: dict[str, Callable[[Client], int]] = {
    "visible": lambda client: client.run(
        lambda: reading.visible("mail", limit=9, condition=None, headers_condition=None)
    ),
    "look": lambda client: look(client).count,
    "sight": lambda client: client.run(lambda: watching.sight(Ask.of("mail"))).visible,
}


@pytest.fixture
def filled(client: Client) -> Client:
    """A client of a database whose queue `mail` has one message."""
    send_prepared(client, "mail", prepare([{"a": 1}], headers=[HEADERS]))
    return client


@pytest.fixture
def reader(database: Database, filled: Client) -> Iterator[Client]:
    """A client of a role that may read the queue, and knows nothing of our schema."""
    name = f"reader_{database.name}"
    execute(database, f"CREATE ROLE {name} LOGIN")
    execute(database, f"GRANT USAGE ON SCHEMA pgmq TO {name}")
    execute(database, f"GRANT SELECT, UPDATE, DELETE ON pgmq.q_mail TO {name}")
    execute(database, f"GRANT SELECT, INSERT ON pgmq.a_mail TO {name}")
    client = client_of(database.dsn, user=name)
    yield client
    client.close()
    drop_role(database, name)


def let_see(database: Database) -> None:
    name = f"reader_{database.name}"
    execute(database, f"GRANT USAGE ON SCHEMA airflow_pgmq TO {name}")
    execute(database, f"GRANT SELECT ON airflow_pgmq.paused_queues TO {name}")


@pytest.mark.parametrize("how", READS)
def test_no_reader_reads_a_paused_queue(filled: Client, database: Database, how: str) -> None:
    before = queued(database)
    assert pause(filled)

    assert filled.run(READS[how]) == []
    assert queued(database) == before

    assert resume(filled)
    assert len(filled.run(READS[how])) == 1


@pytest.mark.parametrize("how", LOOKS)
def test_whoever_looks_sees_nothing_of_a_paused_queue(filled: Client, how: str) -> None:
    pause(filled)
    assert LOOKS[how](filled) == 0
    resume(filled)
    assert LOOKS[how](filled) == 1


@pytest.mark.parametrize("ack", ["archive", "delete"])
def test_an_ack_that_reads_on_reads_nothing(filled: Client, ack: Any) -> None:
    columns = filled.run(lambda: consuming.archive_columns("mail"))
    policy = Policy(queue_name="mail", batch_size=1, ack=ack, archive_columns=columns)
    send(filled, "b")
    held = filled.run(lambda: consuming.read(policy))
    pause(filled)

    done, following = filled.run(lambda: consuming.ack_and_read(policy, held, 9, again=False))

    assert (done, following) == ([held[0].msg_id], [])


@pytest.mark.parametrize("transactional", [False, True])
def test_a_drain_ends_after_its_batch(filled: Client, database: Database, transactional: bool) -> None:
    send(filled, *"bcde")
    policy = Policy(queue_name="mail", batch_size=2, transactional=transactional)
    done: list[int] = []

    def work(messages: list[Any], conn: Any) -> None:
        done.extend(each.msg_id for each in messages)
        pause(client_of(database.dsn))

    assert Consumer(filled, policy, together=True).drain(work).acked == 2
    assert done == [1, 2]
    assert [row["msg_id"] for row in queued(database)] == [3, 4, 5]


def test_others_are_not_paused_and_all_that_is_no_read_goes_on(filled: Client, database: Database) -> None:
    filled.run(lambda: queues.create("other"))
    pause(filled)

    send(filled, "b")
    assert len(read(filled, "other")) == 0
    assert len(overview.peek(filled, overview.Search(queue_name="mail"))) == 2
    assert filled.run(lambda: queues.metrics("mail")).queue_visible_length == 2
    assert filled.run(lambda: reading.archive("mail", [1])) == [1]
    moved = filled.run(lambda: consuming.requeue("mail", source="archive", msg_ids=[1]))
    assert filled.run(lambda: reading.delete("mail", [moved[1]])) == [moved[1]]
    assert filled.run(lambda: queues.purge("mail", with_slots=False)) == 1


def test_who_paused_it_first_when_and_why_stays(filled: Client) -> None:
    assert pause(filled, reason="a bad deploy", by="ada")
    (before,) = filled.run(pausing.paused)
    assert not pause(filled, reason="another", by="ben")

    assert filled.run(pausing.paused) == [before]
    assert (before.queue_name, before.paused_by, before.reason) == ("mail", "ada", "a bad deploy")
    assert str(before) == f"paused by ada since {before.paused_at:%Y-%m-%d %H:%M} UTC: a bad deploy"
    assert resume(filled)
    assert not resume(filled)
    assert filled.run(pausing.paused) == []


@pytest.mark.parametrize("change", [pause, resume])
def test_a_queue_that_does_not_exist(client: Client, change: Callable[..., bool]) -> None:
    with pytest.raises(QueueNotFound, match="'none'"):
        change(client, "none")


def test_names_that_differ_in_case_are_one_queue(filled: Client) -> None:
    pause(filled, "Mail")
    assert read(filled) == []
    assert resume(filled, "MAIL")
    assert len(read(filled)) == 1


def test_any_name_that_pgmq_takes(client: Client, database: Database) -> None:
    name = 'Ünlike "this" %s {table}'
    execute(database, "SELECT pgmq.create(%s)", [name])
    send_prepared(client, name, prepare([1]))
    pause(client, name)
    assert (read(client, name), look(client, name).count) == ([], 0)
    assert overview.queue(client, name)["paused"]["paused_by"] == "ada"
    resume(client, name)
    assert len(read(client, name)) == 1


@pytest.mark.parametrize("by", ["this package", "PGMQ"])
def test_a_queue_that_was_dropped_and_made_again_is_not_paused(
    filled: Client, database: Database, by: str
) -> None:
    pause(filled)
    if by == "PGMQ":
        execute(database, "SELECT pgmq.drop_queue('mail')")
    else:
        filled.run(lambda: queues.drop("mail"))
    execute(database, "SELECT pgmq.create('mail')")
    send(filled, "a")

    assert len(read(filled)) == 1
    assert filled.run(pausing.paused) == []
    assert overview.queue(filled, "mail")["paused"] is None
    # Of what is gone no row stays.
    assert pause(filled)
    assert execute(database, "SELECT relation::text FROM airflow_pgmq.paused_queues") == [
        {"relation": "pgmq.q_mail"}
    ]


def test_a_restored_queue_is_paused_as_before(
    filled: Client, database: Database, empty_database: Database
) -> None:
    pause(filled, reason="why")
    # Other oids than here.
    execute(empty_database, "CREATE TABLE one (); CREATE TABLE two ()")
    restore(empty_database, dump(database))

    restored = client_of(empty_database.dsn)
    assert read(restored) == []
    assert [each.reason for each in restored.run(pausing.paused)] == ["why"]
    assert resume(restored)
    assert len(read(restored)) == 1


def test_nothing_becomes_visible_by_itself_meanwhile(filled: Client) -> None:
    send(filled, "b", delays=30)
    assert look(filled).next_in < 31
    pause(filled)
    assert look(filled).next_in > 80_000
    assert look(filled).paused


# Roles that may not see it.


def test_a_role_that_may_not_see_it_reads_on(reader: Client, filled: Client, database: Database) -> None:
    pause(filled)
    for how in LOOKS:
        assert LOOKS[how](reader) == 1
    assert len(read(reader)) == 1

    let_see(database)
    # Found out once for each connection.
    assert len(read(reader)) == 1
    reader.close()
    assert read(reader) == []


def test_a_connection_asks_again_after_a_while(
    reader: Client, filled: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause(filled)
    assert len(read(reader)) == 1
    let_see(database)
    monkeypatch.setattr(choices, "AGAIN", -1.0)
    assert read(reader) == []


@pytest.mark.parametrize("what", ["the right", "the schema"])
def test_a_role_that_may_no_longer_see_it_reads_on(
    reader: Client, filled: Client, database: Database, what: str
) -> None:
    let_see(database)
    pause(filled)
    with psycopg.connect(database.dsn, user=f"reader_{database.name}") as caller:
        caller.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        assert read(reader) == []
        assert read(reader, conn=caller) == []
        caller.commit()
        if what == "the right":
            execute(database, f"REVOKE SELECT ON airflow_pgmq.paused_queues FROM reader_{database.name}")
        else:
            execute(database, "DROP SCHEMA airflow_pgmq CASCADE")

        caller.execute("CREATE TEMPORARY TABLE kept ()")
        assert len(read(reader)) == 1
        assert len(read(reader, conn=caller)) == 1
        caller.execute("SELECT FROM kept")
        caller.rollback()
        columns = reader.run(lambda: consuming.archive_columns("mail"))
        policy = Policy(queue_name="mail", batch_size=9, archive_columns=columns)
        assert len(reader.run(lambda: consuming.ack_and_read(policy, [], 9, again=False))[1]) == 1


def test_in_the_transaction_of_a_caller(filled: Client, database: Database) -> None:
    with read_committed(database) as caller:
        assert filled.run(lambda: pausing.pause("mail", "", "ada"), caller)
        assert len(read(filled)) == 1
        assert read(filled, conn=caller) == []
        caller.commit()
        assert read(filled) == []
        assert filled.run(lambda: pausing.resume("mail"), caller)
        caller.rollback()
    assert read(filled) == []


@pytest.mark.parametrize("state", ["missing", "old"])
def test_where_our_schema_is_missing_or_old_all_read_as_before(
    filled: Client, database: Database, state: str
) -> None:
    dropped = "SCHEMA airflow_pgmq CASCADE" if state == "missing" else "TABLE airflow_pgmq.paused_queues"
    execute(database, f"DROP {dropped}")
    client = client_of(database.dsn)
    for how in READS:
        if "pop" not in how:
            assert len(client.run(READS[how])) == 1
            execute(database, "UPDATE pgmq.q_mail SET vt = now(), read_ct = 0")
    for how in LOOKS:
        assert LOOKS[how](client) == 1
    with read_committed(database) as caller:
        assert len(read(client, conn=caller)) == 1
    assert overview.queues(client)["queues"][0]["paused"] is None


def test_a_read_takes_no_more_round_trips(
    filled: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    execute_one = psycopg.Cursor.execute

    def note(cursor: Any, query: Any, *values: Any, **options: Any) -> Any:
        sent.append(query.decode() if isinstance(query, bytes) else str(query))
        return execute_one(cursor, query, *values, **options)

    def asked() -> int:
        found = len([each for each in sent if "has_schema_privilege" in each])
        assert len([each for each in sent if "pgmq.read" in each]) == 1
        sent.clear()
        return found

    monkeypatch.setattr(psycopg.Cursor, "execute", note)
    client = client_of(database.dsn)
    with read_committed(database) as caller:
        # It is asked with the settings of a session of ours, and of a caller's once.
        assert [asked() for _ in range(3) if read(client) is not None] == [1, 0, 0]
        assert [asked() for _ in range(3) if read(client, conn=caller) is not None] == [1, 0, 0]


# What people are told.


def test_everybody_sees_who_paused_it(filled: Client) -> None:
    pause(filled, reason="why")
    (row,) = overview.queues(filled)["queues"]
    assert row["paused"] == overview.queue(filled, "mail")["paused"]
    assert (row["paused"]["paused_by"], row["paused"]["reason"]) == ("ada", "why")


def test_nobody_is_blamed_for_not_reading_it(filled: Client, database: Database) -> None:
    execute(
        database, "UPDATE pgmq.q_mail SET vt = now() - interval '1 h', enqueued_at = now() - interval '1 h'"
    )

    def codes() -> set[str]:
        return {problem["code"] for problem in overview.queue(filled, "mail")["problems"]}

    assert "nobody_reads" in codes()
    pause(filled)
    assert "nobody_reads" not in codes()


def test_the_doctor_names_what_is_paused(filled: Client) -> None:
    def found() -> list[Any]:
        return [each for each in doctor.examine(filled) if each.code == "paused_queue"]

    assert found() == []
    pause(filled, reason="why")
    (problem,) = found()
    assert problem.text.startswith("Queue mail is paused by ada since ")
    assert problem.text.endswith(": why. Nothing is read from it.")
    assert problem.fix == f"When the reason is gone: `{command('resume-queue mail')}`."
    resume(filled)
    assert found() == []


def test_the_doctor_says_who_reads_on(reader: Client, filled: Client, database: Database) -> None:
    def found(client: Client) -> list[Any]:
        return [each for each in doctor.examine(client) if each.code == "pause_not_seen"]

    assert found(filled) == []
    pause(filled, reason="why")
    (problem,) = found(filled)
    assert f"read on: 'reader_{database.name}'." in problem.text
    assert "paused by ada since" in problem.text
    for line in problem.fix.splitlines():
        execute(database, line)
    assert found(filled) == []


def test_the_doctor_of_a_role_says_that_it_reads_on(reader: Client, database: Database) -> None:
    def found() -> list[Any]:
        lacking = reader.run(asking.rights)
        return [each for each in privileges.problems("reader", lacking) if "see pauses" in each.text]

    (problem,) = found()
    assert problem.text.endswith("So it reads on from a queue that is paused.")
    assert problem.fix.replace("TO reader", f"TO reader_{database.name}") == (
        f"GRANT USAGE ON SCHEMA airflow_pgmq TO reader_{database.name};\n"
        f"GRANT SELECT ON airflow_pgmq.paused_queues TO reader_{database.name};"
    )
    let_see(database)
    assert found() == []
