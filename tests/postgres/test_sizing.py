"""What docs/production/sizing.md says: the bytes of a message, and that a standby can be looked at."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements.inspection import Search
from airflow_pgmq.services import overview, sending
from tests.fixtures.factories import QUEUE, client_of, execute, job, tick

if TYPE_CHECKING:
    from airflow_pgmq.db.client import Client
    from airflow_pgmq.db.local import LocalPostgres
    from tests.fixtures.postgres import Database

PAGE = (Path(__file__).parents[2] / "docs" / "production" / "sizing.md").read_text(encoding="utf-8")
BATCH = 100
#: Sizes differ a little: pages are filled in another order each time.
TOLERANCE = 0.15

PAYLOADS = {
    "41 bytes": (10_000, lambda number: {"invoice": number, "customer": "c-000001"}),
    "1 KB": (5_000, lambda number: {"invoice": number, "text": secrets.token_hex(470)}),
    "10 KB": (2_000, lambda number: {"text": secrets.token_hex(5_000)}),
}


def documented(label: str) -> list[int]:
    """The numbers in the row of the page's tables that begins with this."""
    (row,) = re.findall(rf"^\| {re.escape(label)} \|(.+)\|$", PAGE, re.M)
    return [int(cell.replace(",", "")) for cell in row.split("|")]


def size(database: Database, table: str) -> int:
    (row,) = execute(database, "SELECT pg_total_relation_size(%s::regclass) AS bytes", [table])
    return row["bytes"]


def send_all(client: Client, label: str) -> int:
    count, payload = PAYLOADS[label]
    for start in range(0, count, BATCH):
        numbers = range(start, start + BATCH)
        keys = [f"invoice/small/{number:08}" for number in numbers]
        sending.send(client, QUEUE, prepare([payload(number) for number in numbers], dedup_keys=keys))
    return count


@pytest.mark.parametrize("label", PAYLOADS)
def test_bytes_of_a_message(client: Client, database: Database, label: str) -> None:
    execute(database, f"ALTER TABLE pgmq.q_{QUEUE} SET (autovacuum_enabled = off)")
    count = send_all(client, label)
    measured = [size(database, f"pgmq.q_{QUEUE}") / count]
    for _ in range(0, count, BATCH):
        execute(database, f"SELECT FROM pgmq.read('{QUEUE}', 3600, {BATCH})")
    measured.append(size(database, f"pgmq.q_{QUEUE}") / count)
    for start in range(1, count, BATCH):
        ids = list(range(start, start + BATCH))
        execute(database, "SELECT FROM pgmq.archive(%s, %s::bigint[])", [QUEUE, ids])
    measured.append(size(database, f"pgmq.a_{QUEUE}") / count)

    assert measured == pytest.approx(documented(label), rel=TOLERANCE)


def test_bytes_of_a_key(client: Client, database: Database) -> None:
    count = send_all(client, "41 bytes")
    measured = size(database, "airflow_pgmq.dedup_ledger") / count
    assert [measured] == pytest.approx(documented("a dedup key, scope `once`"), rel=TOLERANCE)


def test_bytes_of_a_slot(client: Client, database: Database) -> None:
    jobs = [job(f"job_{number}", cron="* * * * * *") for number in range(3)]
    sent = tick(*jobs, look_ahead=1).run(client).sent
    measured = size(database, "airflow_pgmq.slots") / sent
    assert [measured] == pytest.approx(documented("a slot of a periodic job"), rel=TOLERANCE)


def test_bytes_of_a_sample(database: Database) -> None:
    execute(
        database,
        "INSERT INTO airflow_pgmq.queue_samples SELECT 'orders_' || queue, now() + minute * interval '1 min',"
        " minute, minute, minute, minute, minute, 1.5"
        " FROM generate_series(1, 1000) AS minute, generate_series(1, 10) AS queue",
    )
    measured = size(database, "airflow_pgmq.queue_samples") / 10_000
    assert [measured] == pytest.approx(documented("a sample"), rel=TOLERANCE)


def test_a_standby_can_be_looked_at(own_server: LocalPostgres, own_database: Database) -> None:
    client = client_of(own_database.dsn)
    execute(own_database, f"SELECT pgmq.create('{QUEUE}')")
    tick(job()).run(client)
    own_server.stop()
    signal = own_server.directory / "data" / "standby.signal"
    signal.touch()
    owner = signal.parent.stat()
    os.chown(signal, owner.st_uid, owner.st_gid)
    own_server.start()

    with client.connection() as conn:
        conn.read_only = True
        looks: list[Any] = [
            overview.queues(client, conn)["queues"],
            overview.jobs(client, conn=conn)["jobs"],
            overview.messages(client, Search(queue_name=QUEUE), conn=conn)["messages"],
        ]

    assert [len(look) for look in looks] == [1, 1, 10]
