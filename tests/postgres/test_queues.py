"""Queues are created, dropped, listed, counted and bound to topics."""

from __future__ import annotations

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements import queues, sending
from airflow_pgmq.errors import FeatureMissing, InvalidArgument, InvalidName, QueueNotFound
from airflow_pgmq.services.sending import send as send_prepared
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


def test_topic_reaches_every_bound_queue(database, client):
    create(client, "audit")
    client.run(lambda: queues.bind_topic("orders.#", "audit"))
    client.run(lambda: queues.bind_topic("orders.*", "mail"))

    reached = client.run(lambda: sending.topic("orders.new", {"n": 1}, {"h": 1}, 0))
    assert client.run(lambda: sending.topic("orders.new.eu", {"n": 2}, None, 0)) == 1

    assert reached == 2
    assert [(row["message"], row["headers"]) for row in queued(database)] == [({"n": 1}, {"h": 1})]
    assert [row["message"] for row in queued(database, "audit")] == [{"n": 1}, {"n": 2}]


def test_topics_are_listed_and_unbound(client):
    client.run(lambda: queues.bind_topic("a.*", "mail"))

    assert [(each.pattern, each.queue_name) for each in client.run(queues.topics)] == [("a.*", "mail")]
    assert client.run(lambda: queues.unbind_topic("a.*", "mail")) is True
    assert client.run(lambda: queues.unbind_topic("a.*", "mail")) is False
    assert client.run(queues.topics) == []


def test_pgmq_without_topics_says_so(database, client):
    execute(database, "DROP FUNCTION pgmq.bind_topic(text, text)")

    with pytest.raises(FeatureMissing, match="too old"):
        client.run(lambda: queues.bind_topic("a.*", "mail"))
