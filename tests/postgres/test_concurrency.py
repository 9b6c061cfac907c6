"""Many processes, the same keys: every key is sent once, without deadlocks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_pgmq.services import sending
from tests.fixtures.factories import client_of, execute, keys_in, queued, read_committed, send, statuses
from tests.postgres.processes import at_once, send_shuffled

pytestmark = pytest.mark.usefixtures("small_chunks")

PROCESSES = 16
KEYS = 5_000


def deadlocks(database):
    (row,) = execute(database, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return row["deadlocks"]


@pytest.mark.parametrize("on_duplicate", ["skip", "replace"])
@pytest.mark.parametrize("scope", ["once", "queued"])
def test_processes_send_the_same_keys_in_different_orders(database, client, scope, on_duplicate):
    options = {"scope": scope, "on_duplicate": on_duplicate}

    counts = at_once(send_shuffled, [(database.dsn, n, KEYS, options) for n in range(PROCESSES)])

    assert sum(count["sent"] for count in counts) == KEYS
    assert all(count.total() == KEYS for count in counts)
    assert sorted(keys_in(database)) == sorted(f"k{n}" for n in range(KEYS))
    assert deadlocks(database) == 0


@pytest.mark.parametrize("on_duplicate", ["skip", "replace"])
@pytest.mark.parametrize("scope", ["once", "queued"])
def test_transactions_with_one_batch_each_in_opposite_orders(database, client, scope, on_duplicate):
    """Chunks end at different keys: each replaces messages of the other's before it claims the rest."""
    keys = [f"k{n:04}" for n in range(3000)]
    send(client, *keys[:1000], scope=scope)

    def transaction(own_keys):
        with read_committed(database) as connection:
            return send(
                client_of(database.dsn), *own_keys, scope=scope, on_duplicate=on_duplicate, conn=connection
            )

    for _ in range(5):
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(transaction, [keys[:2500], keys[:499:-1]])
        assert statuses([*first, *second]).count("sent") == 2000
        execute(database, "DELETE FROM pgmq.q_mail WHERE headers ->> 'dedup_key' >= 'k1000'")
        execute(database, "DELETE FROM airflow_pgmq.dedup_ledger WHERE dedup_key >= 'k1000'")

    assert deadlocks(database) == 0


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_many_keys_of_which_another_transaction_takes_one_at_the_same_moment(database, client, end):
    """The statement for new keys fails when it loses the race; the call goes on with the other one."""
    keys = [f"k{n}" for n in range(3 * sending.BULK)]
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )

    with database.connect() as other, ThreadPoolExecutor(1) as pool:
        send(client, "k7", conn=other)
        results = pool.submit(send, client, *keys)
        while not execute(database, waiting):
            assert not results.done()
        getattr(other, end)()

        expected = ["duplicate" if key == "k7" and end == "commit" else "sent" for key in keys]
        assert statuses(results.result()) == expected
    assert sorted(keys_in(database)) == sorted(keys)


def test_only_one_of_many_makes_the_index(database, client):
    counts = at_once(send_shuffled, [(database.dsn, n, 20, {"scope": "queued"}) for n in range(8)])

    assert sum(count["sent"] for count in counts) == len(queued(database)) == 20
