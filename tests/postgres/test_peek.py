"""`hook.peek`: whole messages, which are not changed."""

from __future__ import annotations

from datetime import timedelta
from inspect import signature

import pytest

from airflow_pgmq.db.statements import inspection
from airflow_pgmq.errors import InvalidArgument, InvalidName, QueueNotFound
from airflow_pgmq.messages import Message
from tests.fixtures.factories import client_of, execute, job, queued, tick


@pytest.fixture
def hook(pgmq_connection):
    from airflow_pgmq.hooks import PgmqHook

    hook = PgmqHook(pgmq_connection)
    hook.create_queue("mail")
    return hook


def ids(messages):
    return [message.msg_id for message in messages]


def test_messages_are_seen_and_left_as_they_are(hook, database):
    hook.send("mail", {"n": 1}, headers={"h": 1}, dedup_key="a")
    hook.send("mail", {"n": 2}, delay=timedelta(days=1))
    (held,) = hook.read("mail")
    before = queued(database)

    first, second = hook.peek("mail")

    assert first == held
    assert first.last_read_at == held.last_read_at is not None
    assert (first.message, first.headers) == ({"n": 1}, {"h": 1, "dedup_key": "a"})
    assert (second.message, second.read_ct) == ({"n": 2}, 0)
    assert queued(database) == before


def test_what_was_seen_can_be_settled_if_nobody_has_read_it_since(hook):
    hook.send_batch("mail", [1, 2])
    first, second = hook.peek("mail")
    hook.read("mail")

    assert hook.archive("mail", [first, second]) == [2]


def test_as_many_as_asked_for_and_on_from_there(hook):
    hook.send_batch("mail", list(range(12)))

    assert ids(hook.peek("mail")) == list(range(1, 11))
    assert ids(hook.peek("mail", after=10)) == [11, 12]
    assert ids(hook.peek("mail", limit=2, after=3)) == [4, 5]
    assert ids(hook.peek("mail", limit=100)) == list(range(1, 13))


def test_the_archive_newest_first(hook):
    hook.send_batch("mail", [1, 2, 3])
    hook.archive("mail", [1, 2, 3])

    assert hook.peek("mail") == []
    assert ids(hook.peek("mail", source="archive", limit=2)) == [3, 2]
    assert ids(hook.peek("mail", source="archive", after=2)) == [1]
    assert ids(hook.peek("mail", source="archive", msg_id=2)) == [2]


def test_by_id_key_and_job(hook, database):
    hook.send_batch("mail", list("abc"), dedup_keys=list("abc"))
    hook.send("mail", "b", dedup_key="q", dedup_scope="queued")
    tick(job("one"), job("two")).run(client_of(database.dsn))

    assert ids(hook.peek("mail", msg_id=2)) == [2]
    assert hook.peek("mail", msg_id=99) == []
    assert ids(hook.peek("mail", dedup_key="b")) == [2]
    assert ids(hook.peek("mail", dedup_key="q")) == [4]
    assert hook.peek("mail", dedup_key="nobody's") == []
    assert [message.headers["job"] for message in hook.peek("mail", job="two")] == ["two"] * 10
    assert hook.peek("mail", job="shop/one", limit=1) == hook.peek("mail", job="one", limit=1)
    assert hook.peek("mail", job="other/one") == []


def test_it_looks_on_until_it_has_found_enough(hook, monkeypatch):
    """Twenty thousand messages are looked through at a time; here two."""
    monkeypatch.setattr(inspection, "SCANNED", 2)
    hook.send_batch(
        "mail", list(range(9)), headers=[{"job": "rare" if n in (3, 8) else "often"} for n in range(9)]
    )

    assert ids(hook.peek("mail", job="rare")) == [4, 9]
    assert ids(hook.peek("mail", job="rare", limit=1)) == [4]
    assert ids(hook.peek("mail", job="rare", after=4)) == [9]
    assert ids(hook.peek("mail", job="often", limit=5)) == [1, 2, 3, 5, 6]
    hook.archive("mail", list(range(1, 10)))
    assert ids(hook.peek("mail", source="archive", job="rare")) == [9, 4]


def test_large_messages_are_whole(hook):
    hook.send("mail", "x" * 100_000, headers={"long": "y" * 50_000})
    (message,) = hook.peek("mail")
    assert (len(message.message), len(message.headers["long"])) == (100_000, 50_000)


def test_what_python_cannot_read_is_said_so(hook, database):
    execute(database, "SELECT pgmq.send('mail', %s::jsonb)", ["[" * 12_000 + "]" * 12_000])
    (message,) = hook.peek("mail")
    assert "JSON of" in message.message.reason


def test_in_the_callers_transaction(hook):
    with hook.get_conn() as conn:
        hook.send("mail", 1, conn=conn)
        assert isinstance(hook.peek("mail", conn=conn)[0], Message)
        assert hook.peek("mail") == []


def test_mistakes_are_told(hook):
    with pytest.raises(QueueNotFound, match="'nowhere'"):
        hook.peek("nowhere")
    with pytest.raises(InvalidArgument, match="limit must be at least 1, not 0"):
        hook.peek("mail", limit=0)
    with pytest.raises(InvalidArgument, match="source must be 'queue' or 'archive', not 'trash'"):
        hook.peek("mail", source="trash")
    with pytest.raises(InvalidName, match="NUL"):
        hook.peek("mail", dedup_key="\x00")


def test_it_takes_what_the_command_takes(hook):
    """But for what is about printing."""
    from airflow_pgmq.cli.definition import get_commands

    (group,) = get_commands()
    (command,) = [each for each in group.subcommands if each.name == "peek"]
    flags = {arg.flags[-1].lstrip("-").replace("-", "_") for arg in command.args}
    assert flags - {"unredacted", "output", "conn_id", "verbose"} == set(signature(hook.peek).parameters) - {
        "conn"
    }


def test_tables_of_an_older_pgmq_have_no_time_of_the_last_read(hook, database):
    hook.send("mail", 1)
    hook.send("mail", 2)
    hook.archive("mail", [1])
    execute(database, "ALTER TABLE pgmq.q_mail DROP COLUMN last_read_at")
    execute(database, "ALTER TABLE pgmq.a_mail DROP COLUMN last_read_at")

    found = [*hook.peek("mail"), *hook.peek("mail", source="archive")]

    assert [(each.message, each.last_read_at) for each in found] == [(2, None), (1, None)]
