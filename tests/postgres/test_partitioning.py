"""Queues and archives in partitions: what PGMQ asks of pg_partman."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements import partitioning, queues, reading
from airflow_pgmq.errors import FeatureMissing, InvalidArgument, QueueNotFound
from airflow_pgmq.services import creating, sending
from tests.fixtures import partman
from tests.fixtures.factories import execute, read, send

if TYPE_CHECKING:
    from airflow_pgmq.db.client import Client
    from tests.fixtures.postgres import Database


def convert(client: Client, queue_name: str = "mail", **options: Any) -> bool:
    asked: dict[str, Any] = {"partition_interval": "1 day", "retention_interval": "1 month"}
    asked |= {"leading_partition": 10, **options}
    return client.run(lambda: partitioning.convert_archive(queue_name, **asked))


def test_partitions_are_made_ahead(client: Client, database: Database) -> None:
    partman.install(database)

    creating.create(client, "parts", partition_interval="1 day", retention_interval="1 month", premake=7)
    creating.create(client, "usual", partition_interval=1000)

    found = partman.parents(database)
    assert {name: row["premake"] for name, row in found.items()} == {
        "pgmq.q_parts": 7,
        "pgmq.a_parts": 7,
        "pgmq.q_usual": 4,
        "pgmq.a_usual": 4,
    }
    assert found["pgmq.q_parts"]["partition_interval"] == "1 day"
    assert found["pgmq.q_parts"]["retention"] == "1 month"


def test_a_partitioned_queue_works(client: Client, database: Database) -> None:
    partman.install(database)
    creating.create(client, "parts", partition_interval="1 day", premake=1)

    sending.send(client, "parts", prepare([1, 2], dedup_keys=["a", "b"]))
    found = client.run(lambda: reading.read("parts", max_messages=9, visibility_timeout=9))

    assert [each.message for each in found] == [1, 2]
    assert client.run(lambda: reading.archive("parts", found)) == [1, 2]


@pytest.mark.parametrize(("premake", "interval"), [(0, "1 day"), (-1, 10), (4, None)])
def test_a_premake_that_makes_no_sense(client: Client, premake: int, interval: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"premake=.*at least 1, and only with partition_interval"):
        creating.create(client, "parts", partition_interval=interval, premake=premake)


def test_an_older_pgmq_has_no_premake(client: Client, database: Database) -> None:
    partman.install(database)
    execute(database, "DROP FUNCTION pgmq.create_partitioned(text, text, text, integer)")

    with pytest.raises(FeatureMissing, match=r"needs PGMQ 1\.13\.0"):
        creating.create(client, "parts", partition_interval="1 day", premake=4)


def test_an_archive_is_converted_once(client: Client, database: Database) -> None:
    partman.install(database)
    send(client, "a", "b")
    first, second = read(client)
    client.run(lambda: reading.archive("mail", first))

    assert convert(client) is True
    assert convert(client) is False

    (asked,) = partman.parents(database).values()
    assert (asked["parent_table"], asked["control"]) == ("pgmq.a_mail", "archived_at")
    assert (asked["partition_interval"], asked["retention"]) == ("1 day", "1 month")
    # Messages go to the new archive; the old ones are in the old one.
    assert client.run(lambda: reading.archive("mail", second)) == [second.msg_id]
    assert execute(database, "SELECT msg_id FROM pgmq.a_mail") == [{"msg_id": second.msg_id}]
    assert execute(database, "SELECT msg_id FROM pgmq.a_mail_old") == [{"msg_id": first.msg_id}]


def test_without_pg_partman_nothing_is_changed(client: Client, database: Database) -> None:
    with pytest.raises(FeatureMissing, match=r"'mail' .*CREATE EXTENSION pg_partman"):
        convert(client)
    assert execute(database, "SELECT to_regclass('pgmq.a_mail_old') AS old") == [{"old": None}]


def test_no_archive_of_a_queue_that_is_missing(client: Client) -> None:
    with pytest.raises(QueueNotFound, match="'nowhere'"):
        convert(client, "nowhere")


def test_a_converted_archive_goes_with_its_queue(client: Client, database: Database) -> None:
    partman.install(database)
    convert(client)

    assert client.run(lambda: queues.drop("mail")) is True
    assert execute(database, "SELECT to_regclass('pgmq.a_mail') AS archive") == [{"archive": None}]
