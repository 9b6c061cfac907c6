"""A duplicate costs a look-up and nothing else."""

from __future__ import annotations

import pytest

from tests.fixtures.factories import execute, send, statuses

KEYS = [f"k{n}" for n in range(10_000)]

WRITTEN = """
SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_all_tables
WHERE schemaname IN ('pgmq', 'airflow_pgmq')
"""


def sizes(database):
    """Values that change with a write: sizes of tables and indexes, and the last id.

    Without the maps of free and visible pages, which autovacuum adds at any time.
    """
    (row,) = execute(
        database,
        "SELECT pg_relation_size('airflow_pgmq.dedup_ledger') AS ledger,"
        " pg_relation_size('pgmq.q_mail') AS queue,"
        " pg_indexes_size('airflow_pgmq.dedup_ledger') AS keys,"
        " pg_indexes_size('pgmq.q_mail') AS ids, last_value"
        " FROM pgmq.q_mail_msg_id_seq",
    )
    return row


def complaints(log, start):
    """The server's log since then, without checkpoints."""
    lines = log.read_text()[start:].splitlines()
    return [line for line in lines if "checkpoint" not in line]


@pytest.mark.direct("it asks what this session has written")
@pytest.mark.parametrize("scope", ["once", "queued"])
def test_duplicates_burn_no_id_and_write_nothing(database, client, scope):
    send(client, *KEYS, scope=scope)
    before = sizes(database)
    log = database.server.log
    logged = len(log.read_text())

    with database.connect() as connection:
        results = send(client, *KEYS, scope=scope, conn=connection)
        written = connection.execute(WRITTEN).fetchone()[0]
        transaction = connection.execute("SELECT pg_current_xact_id_if_assigned()").fetchone()[0]

    assert statuses(results) == ["duplicate"] * len(KEYS)
    assert (written, transaction) == (0, None)
    assert sizes(database) == before
    assert complaints(log, logged) == []


def test_new_keys_among_duplicates_burn_one_id_each(database, client):
    send(client, *KEYS[:500])

    results = send(client, *KEYS[:1000])

    assert {result.msg_id for result in results} == set(range(1, 1001))
    assert sizes(database)["last_value"] == 1000
