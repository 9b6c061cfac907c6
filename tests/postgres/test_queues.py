"""Queues are created, dropped, listed and counted."""

from __future__ import annotations

from dataclasses import fields

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.messages import QueueMetrics
from airflow_pgmq.db.statements import queues
from airflow_pgmq.errors import FeatureMissing, InvalidArgument, InvalidName, QueueNotFound
from airflow_pgmq.services.sending import send as send_prepared
from tests.fixtures import partman
from tests.fixtures.factories import execute, queued, read, send, statuses


def create(client, queue_name, **options):
    client.run(lambda: queues.create(queue_name, **options))


def drop(client, queue_name):
    return client.run(lambda: queues.drop(queue_name))


def test_created_queues_are_listed(client):
    create(client, "alpha")
    create(client, "fast", unlogged=True)

    found = client.run(queues.list_all)

    assert [(each.queue_name, each.is_partitioned, each.is_unlogged) for each in found] == [
        ("alpha", False, False),
        ("fast", False, True),
        ("mail", False, False),
    ]


def test_queue_that_is_there_stays_as_it_is(database, client):
    send(client, "a")

    create(client, "mail")

    assert len(queued(database)) == 1


def test_partitioned_queue_needs_pg_partman(client):
    with pytest.raises(FeatureMissing, match="pg_partman is required"):
        create(client, "parts", partition_interval="1 day", retention_interval="1 month")

    assert [each.queue_name for each in client.run(queues.list_all)] == ["mail"]


def test_queue_cannot_be_unlogged_and_partitioned(client):
    with pytest.raises(InvalidArgument, match="at once"):
        create(client, "both", unlogged=True, partition_interval="1 day")


@pytest.mark.parametrize(
    "name", ["", "Mail", "1st", "a-b", "a b", "ümlaut", "x" * 48, "a;b", "a'b", 'a"b', "a\n"]
)
def test_name_that_pgmq_would_bend_is_refused(client, name):
    with pytest.raises(InvalidName):
        create(client, name)

    assert [each.queue_name for each in client.run(queues.list_all)] == ["mail"]


def test_dropped_queue_forgets_its_keys(database, client):
    create(client, "other")
    send(client, "a")
    send_prepared(client, "other", prepare([1], dedup_keys=["a"]))

    assert drop(client, "mail") is True
    create(client, "mail")

    assert statuses(send(client, "a")) == ["sent"]
    assert statuses(send_prepared(client, "other", prepare([1], dedup_keys=["a"]))) == ["duplicate"]


def test_missing_queue_is_not_dropped(client):
    assert drop(client, "nowhere") is False


def test_purge_removes_messages_in_flight_too_and_keeps_keys(database, client):
    send(client, "a", "b")
    read(client, 1)

    assert client.run(lambda: queues.purge("mail", with_slots=False)) == 2

    assert queued(database) == []
    assert statuses(send(client, "a")) == ["duplicate"]


def test_metrics_tell_visible_messages_from_all(client):
    send(client, "a", "b", "c", delays=[0, 0, 3600])
    read(client, 1)

    metrics = client.run(lambda: queues.metrics("mail"))

    assert (metrics.queue_name, metrics.queue_length, metrics.queue_visible_length) == ("mail", 3, 1)
    assert metrics.total_messages == 3
    assert metrics.oldest_msg_age_sec is not None


def test_metrics_of_all_queues_come_by_name(client):
    create(client, "zebra")
    create(client, "alpha")

    assert [
        each.queue_name for each in client.run(lambda: queues.metrics_of(["alpha", "mail", "zebra"]))
    ] == ["alpha", "mail", "zebra"]


def test_metrics_of_a_missing_queue_name_it(client):
    with pytest.raises(QueueNotFound, match="'nowhere'"):
        client.run(lambda: queues.metrics("nowhere"))


def test_metrics_count_messages_without_a_partition_of_their_own(database, client):
    """A queue whose name is that of a default partition is not taken for one, as PGMQ's function does."""
    create(client, "mail_default")
    partman.install(database)
    create(client, "parts", partition_interval="1 day")
    send_prepared(client, "parts", prepare([1, 2, 3]))
    execute(database, "INSERT INTO pgmq.a_parts (msg_id, vt, message) VALUES (9, now(), '9')")

    def counted():
        asked = ["mail", "mail_default", "parts"]
        found = client.run(lambda: queues.metrics_of(asked))
        return [each.default_partition_length for each in found]

    # An estimate, which the server makes from time to time.
    assert counted() == [None, None, 0]
    execute(database, "ANALYZE pgmq.q_parts, pgmq.a_parts")
    assert counted() == [None, None, 4]
    assert client.run(lambda: queues.metrics("parts")).default_partition_length == 4


def test_metrics_have_every_column_of_pgmqs_own(database, client):
    columns = execute(
        database,
        "SELECT attname FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid"
        " WHERE attrelid = 'pgmq.metrics_result'::regclass AND attnum > 0",
    )
    assert {row["attname"] for row in columns} <= {each.name for each in fields(QueueMetrics)}
