"""PGMQ's own notify trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.core.messages import NotifyThrottle
from airflow_pgmq.db.statements import queues, throttles
from airflow_pgmq.errors import FeatureMissing, InvalidArgument, QueueNotFound
from tests.fixtures.factories import execute, send

if TYPE_CHECKING:
    from airflow_pgmq.db.client import Client
    from tests.fixtures.postgres import Database


def announced(database: Database, work: Any) -> int:
    """How many notifications there are of what `work` does."""
    with database.observe(autocommit=True) as listener:
        listener.execute('LISTEN "pgmq.q_mail.INSERT"')
        work()
        listener.execute("NOTIFY \"pgmq.q_mail.INSERT\", 'the end'")
        return next(count for count, each in enumerate(listener.notifies()) if each.payload)


def test_it_is_added_changed_and_removed(client: Client, database: Database) -> None:
    client.run(lambda: throttles.enable("mail", 0))
    assert client.run(throttles.throttles) == [NotifyThrottle("mail", 0, None)]
    assert announced(database, lambda: [send(client, "a"), send(client, "b")]) == 2

    client.run(lambda: throttles.update("mail", 3_600_000))
    assert announced(database, lambda: [send(client, "c"), send(client, "d")]) == 1
    (found,) = client.run(throttles.throttles)
    assert found.throttle_interval_ms == 3_600_000
    assert found.last_notified_at is not None

    client.run(lambda: throttles.disable("mail"))
    assert client.run(throttles.throttles) == []
    assert announced(database, lambda: send(client, "e")) == 0


def test_it_is_another_one_than_ours(client: Client) -> None:
    client.run(lambda: queues.enable_notify("mail"))
    client.run(lambda: throttles.enable("mail", 250))

    client.run(lambda: throttles.disable("mail"))

    assert client.run(lambda: queues.enable_notify("mail")) is False


@pytest.mark.parametrize("work", [throttles.enable, throttles.update])
def test_what_it_refuses(client: Client, work: Any) -> None:
    with pytest.raises(QueueNotFound, match="'nowhere'"):
        client.run(lambda: work("nowhere", 1))
    client.run(lambda: throttles.enable("mail", 1))
    with pytest.raises(InvalidArgument, match="must be non-negative"):
        client.run(lambda: work("mail", -1))


def test_there_is_nothing_to_change(client: Client) -> None:
    with pytest.raises(InvalidArgument, match="does not have notify_insert enabled"):
        client.run(lambda: throttles.update("mail", 1))


@pytest.mark.parametrize(
    ("function", "work", "version"),
    [
        ("enable_notify_insert(text, integer)", lambda: throttles.enable("mail", 1), "1.8.0"),
        ("update_notify_insert(text, integer)", lambda: throttles.update("mail", 1), "1.11.0"),
        ("disable_notify_insert(text)", lambda: throttles.disable("mail"), "1.7.0"),
        ("list_notify_insert_throttles()", throttles.throttles, "1.11.0"),
    ],
)
def test_an_older_pgmq(client: Client, database: Database, function: str, work: Any, version: str) -> None:
    execute(database, f"DROP FUNCTION pgmq.{function}")
    with pytest.raises(FeatureMissing, match=rf"needs PGMQ {version}"):
        client.run(work)
