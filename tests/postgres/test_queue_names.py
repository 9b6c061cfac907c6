"""Queues that PGMQ's own clients made, under names that this package would not give."""

from __future__ import annotations

import asyncio

import pytest

from airflow_pgmq.core import names
from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements import consuming, queues, reading
from airflow_pgmq.errors import InvalidName
from airflow_pgmq.services import doctor, maintenance, overview, sending
from tests.fixtures.factories import execute, job, statuses, tick
from tests.postgres.watching import listening, put, soon, waiting, watcher_of

NAMES = [
    "Unicode-里程",
    "UPPER",
    "with-dash",
    "dots.in.it",
    "ÜBER",
    "Заказы",
    "ΟΔΟΣ",
    "İI",
    "x" * 43,
    "里" * 14,
]


@pytest.fixture(params=NAMES)
def name(request, client, database):
    for queue_name in (request.param, f"{request.param}_dlq"):
        execute(database, "SELECT pgmq.create(%s)", [queue_name])
    return request.param


def test_pgmq_and_this_package_mean_the_same_table(database, client, name):
    found = execute(database, "SELECT queue_name FROM pgmq.meta WHERE queue_name = %s", [name])
    tables = execute(
        database,
        "SELECT pgmq.format_table_name(%(name)s, 'q') AS q, pgmq.format_table_name(%(name)s, 'a') AS a,"
        " to_regclass(%(sequence)s) IS NOT NULL AS has_sequence",
        {"name": name, "sequence": names.sequence(name)},
    )
    assert found == [{"queue_name": name}]
    assert (names.table(name)[1], names.table(name, "a")[1]) == (tables[0]["q"], tables[0]["a"])
    assert tables[0]["has_sequence"]


def test_everything_but_making(database, client, name):
    assert client.run(lambda: queues.guard(name)) is True
    alone = prepare([{"n": 1}], dedup_keys=["a"])
    assert [statuses(sending.send(client, name, alone)) for _ in range(2)] == [["sent"], ["duplicate"]]
    batch = prepare([{"n": 1}, {"n": 2}], dedup_keys=["a", "b"])
    assert statuses(sending.send(client, name, batch)) == ["duplicate", "sent"]
    assert statuses(sending.send(client, name, batch)) == ["duplicate", "duplicate"]
    one = prepare([{"n": 3}], dedup_keys=["c"])
    assert statuses(sending.send(client, name, one, scope="queued")) == ["sent"]
    assert statuses(sending.send(client, name, one, scope="queued", on_duplicate="replace")) == ["replaced"]

    assert client.run(lambda: queues.metrics(name)).queue_length == 3
    (first,) = client.run(
        lambda: reading.read(name, max_messages=1, visibility_timeout=60, condition={"n": 1})
    )
    assert client.run(lambda: reading.archive(name, [first])) == [first.msg_id]
    (second,) = client.run(lambda: reading.read(name, max_messages=1, visibility_timeout=60))
    dead = client.run(lambda: consuming.dead_letter(name, f"{name}_dlq", [second], ["no"]))
    assert dead == [second.msg_id]

    assert tick(job(queue_name=name)).run(client).by_queue[name, "sent"] > 0
    assert name not in maintenance.maintain(client).skipped
    assert overview.queue(client, name, "hour")["queue_name"] == name
    assert "odd_name" not in {each.code for each in doctor.examine(client)}

    assert client.run(lambda: queues.purge(name, with_slots=False)) > 0
    assert client.run(lambda: queues.drop(name)) is True
    assert name not in [each.queue_name for each in client.run(queues.list_all)]


@pytest.mark.direct("notifications do not pass a pooler")
def test_waiters_hear_of_its_messages(database, client, name):
    client.run(lambda: queues.enable_notify(name))

    async def scenario():
        async with watcher_of(database) as watcher:
            task = await waiting(watcher, name, poll_interval=3600)
            await listening(watcher, database, name)
            put(database, name)
            return await soon(task)

    assert asyncio.run(scenario()).count == 1


@pytest.mark.parametrize("name", ["里" * 16, "ü" * 24])
def test_a_name_of_more_bytes_than_postgres_keeps_is_refused_with_the_reason(database, client, name):
    """PGMQ counts characters: its own metrics fail for such a queue, and two of them may share a table."""
    execute(database, "SELECT pgmq.create(%s)", [name])
    with pytest.raises(InvalidName, match="1 to 47 bytes of UTF-8"):
        sending.send(client, name, prepare([1]))
    assert [each["queue_name"] for each in overview.queues(client)["queues"]] == ["mail"]
    assert [each.code for each in doctor.examine(client)].count("odd_name") == 1


@pytest.mark.parametrize("name", ["Unicode-里程", "UPPER"])
def test_only_making_one_is_refused(client, name):
    with pytest.raises(InvalidName, match="cannot be given to a new queue"):
        client.run(lambda: queues.create(name))
    assert [each.queue_name for each in client.run(queues.list_all)] == ["mail"]
