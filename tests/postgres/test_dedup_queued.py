"""`dedup_scope="queued"`: one message with the key in the queue at a time, by an index that is verified."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements import queues, transfers
from airflow_pgmq.errors import DuplicateMessage, GuardMissing, InvalidQuery, QueueNotFound
from airflow_pgmq.services import sending
from tests.fixtures.factories import client_of, execute, keys_in, queued, read, send, statuses

INDEX = "CREATE UNIQUE INDEX {} q_mail_dedup_idx ON pgmq.q_mail ((headers ->> 'dedup_key'))"

LEAVES = {
    "archived": "SELECT pgmq.archive('mail', 1)",
    "deleted": "SELECT pgmq.delete('mail', 1)",
    "popped": "SELECT pgmq.pop('mail')",
    "purged": "SELECT pgmq.purge_queue('mail')",
}


def send_queued(client, *keys, **options):
    return send(client, *keys, scope="queued", **options)


def indexes(database):
    found = execute(
        database,
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = 'pgmq.q_mail'::regclass AND i.indisunique AND NOT i.indisprimary",
    )
    return [(row["relname"], row["indisvalid"]) for row in found]


def test_key_is_taken_while_its_message_is_queued(database, client):
    (first,) = send_queued(client, "a")
    (second,) = send_queued(client, "a")

    (row,) = queued(database)
    assert (first.status, second.status, second.msg_id) == ("sent", "duplicate", first.msg_id)
    assert second.first_sent_at == row["enqueued_at"]


def test_key_is_taken_while_its_message_is_in_flight(client):
    send_queued(client, "a")
    read(client)

    assert statuses(send_queued(client, "a")) == ["duplicate"]


@pytest.mark.parametrize("how", LEAVES)
def test_key_is_free_when_its_message_has_left(database, client, how):
    send_queued(client, "a")
    execute(database, LEAVES[how])

    assert statuses(send_queued(client, "a")) == ["sent"]


def test_results_are_in_the_order_of_the_call(client):
    send_queued(client, "b")

    results = send_queued(client, "c", "b", "a", "c")

    assert [result.dedup_key for result in results] == ["c", "b", "a", "c"]
    assert statuses(results) == ["sent", "duplicate", "sent", "duplicate"]


def test_first_send_makes_the_index(database, client):
    assert indexes(database) == []

    send_queued(client, "a")

    assert indexes(database) == [("q_mail_dedup_idx", True)]


def test_index_is_made_once(client):
    assert client.run(lambda: queues.guard("mail")) is True
    assert client.run(lambda: queues.guard("mail")) is False


def test_index_is_made_under_the_queues_lock(database, client):
    with database.connect() as connection:
        connection.execute("SELECT pgmq.acquire_queue_lock('mail')")
        with database.connect() as other:
            other.execute("SET lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                send_queued(client, "a", conn=other)

    assert statuses(send_queued(client, "a")) == ["sent"]


def test_messages_without_a_key_do_not_matter(database, client):
    execute(database, "SELECT pgmq.send_batch('mail', ARRAY['1', '2']::jsonb[])")
    send_queued(client, "a")

    sending.send(client, "mail", prepare([3, 4]))

    assert len(queued(database)) == 5


def test_other_clients_cannot_send_the_key_either(database, client):
    send_queued(client, "a")

    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(database, """SELECT pgmq.send('mail', '1'::jsonb, '{"dedup_key": "a"}'::jsonb)""")


def test_invalid_index_is_rebuilt(database, client):
    """A concurrent build that failed leaves an index that nothing enforces."""
    twice = """SELECT pgmq.send('mail', '1', '{"dedup_key": "a"}'::jsonb) FROM generate_series(1, 2)"""
    execute(database, twice)
    with database.connect(autocommit=True) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(INDEX.format("CONCURRENTLY"))
    assert indexes(database) == [("q_mail_dedup_idx", False)]
    execute(database, "SELECT pgmq.delete('mail', 1)")

    results = send_queued(client, "a", "b")

    assert indexes(database) == [("q_mail_dedup_idx", True)]
    assert statuses(results) == ["duplicate", "sent"]


@pytest.mark.parametrize(
    "other",
    [
        INDEX.format("") + " WHERE read_ct = 0",
        INDEX.format("") + " WHERE headers ? 'dedup_key' AND read_ct = 0",
        "CREATE UNIQUE INDEX q_mail_dedup_idx ON pgmq.q_mail ((headers ->> 'job_key'))",
        "CREATE UNIQUE INDEX q_mail_dedup_idx ON pgmq.q_mail ((headers ->> 'dedup_key'), msg_id)",
        "CREATE INDEX q_mail_dedup_idx ON pgmq.q_mail ((headers ->> 'dedup_key'))",
    ],
)
def test_index_that_guards_something_else_is_rebuilt(database, client, other):
    execute(database, other)

    assert statuses(send_queued(client, "a")) == ["sent"]
    read(client)
    assert statuses(send_queued(client, "a")) == ["duplicate"]


def test_index_over_all_messages_is_as_good(database, client):
    execute(database, INDEX.format(""))

    assert client.run(lambda: queues.guard("mail")) is False
    assert statuses(send_queued(client, "a", "a")) == ["sent", "duplicate"]


def test_duplicates_that_are_there_are_named(database, client):
    execute(
        database,
        """SELECT pgmq.send('mail', '1', '{"dedup_key": "the key"}'::jsonb) FROM generate_series(1, 2)""",
    )

    with pytest.raises(GuardMissing, match=r"(?s)'mail'.*the key.*Consume or cancel"):
        send_queued(client, "a")

    assert keys_in(database) == ["the key"] * 2


def test_partitioned_queue_is_refused(database, client):
    execute(
        database,
        "CREATE TABLE pgmq.q_parts (LIKE pgmq.q_mail INCLUDING DEFAULTS) PARTITION BY RANGE (msg_id)",
    )

    with pytest.raises(GuardMissing, match=r"partitioned.*dedup_scope='once'"):
        sending.send(client, "parts", prepare([1], dedup_keys=["a"]), scope="queued")


def test_role_that_does_not_own_the_queue_gets_the_sql_for_its_owner(database, client):
    with database.connect() as connection:
        connection.execute("CREATE ROLE guest_of_queued")
        connection.execute("GRANT ALL ON SCHEMA pgmq TO guest_of_queued")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA pgmq TO guest_of_queued")
        connection.execute("SET LOCAL ROLE guest_of_queued")
        with pytest.raises(GuardMissing) as failure:
            send_queued(client, "a", conn=connection)
        connection.execute("RESET ROLE")
        text = failure.value.text
        connection.execute(text[text.index("CREATE UNIQUE INDEX") :])
        connection.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA pgmq TO guest_of_queued")
        connection.execute("SET LOCAL ROLE guest_of_queued")

        results = send_queued(client, "a", "a", conn=connection)

        connection.rollback()
    assert statuses(results) == ["sent", "duplicate"]


def test_role_that_does_not_own_an_index_to_rebuild_gets_the_sql_for_its_owner(database, client):
    execute(database, "CREATE INDEX q_mail_dedup_idx ON pgmq.q_mail ((headers ->> 'dedup_key'))")
    with database.connect() as connection:
        connection.execute("CREATE ROLE guest_of_rebuilt")
        connection.execute("GRANT ALL ON SCHEMA pgmq TO guest_of_rebuilt")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA pgmq TO guest_of_rebuilt")
        connection.execute("SET LOCAL ROLE guest_of_rebuilt")
        with pytest.raises(GuardMissing, match=r"only the owner.*DROP INDEX .*q_mail_dedup_idx"):
            send_queued(client, "a", conn=connection)
        connection.rollback()


def test_index_that_is_dropped_later_fails_closed(database, client):
    send_queued(client, "a")
    execute(database, "DROP INDEX pgmq.q_mail_dedup_idx")

    with pytest.raises(GuardMissing, match="guard_queue"):
        send_queued(client, "a", "b")

    assert keys_in(database) == ["a"]


def send_rows(client, sql, scope):
    options = {"window": timedelta(days=1), "fail_on_duplicate": False, "headers": None}
    return client.run(lambda: transfers.send("mail", sql, None, scope=scope, **options))


def test_rows_of_a_query_fail_closed_too(database, client):
    send_queued(client, "a")
    send_rows(client, "SELECT 'b' AS dedup_key", "queued")
    execute(database, "DROP INDEX pgmq.q_mail_dedup_idx")

    with pytest.raises(GuardMissing, match="guard_queue"):
        send_rows(client, "SELECT 'c' AS dedup_key", "queued")
    # The same SQLSTATE in the user's own query is the query's fault.
    with pytest.raises(InvalidQuery, match="position 9"):
        send_rows(client, "SELECT 'c' AS dedup_key ORDER BY 9", "queued")

    assert keys_in(database) == ["a", "b"]


def test_rows_of_a_query_with_a_key_of_the_other_scope_are_refused(database, client):
    send_queued(client, "a")
    client.ensure_schema()

    with pytest.raises(DuplicateMessage, match=r"\(a\).*one dedup_scope per queue"):
        send_rows(client, "SELECT 'a' AS dedup_key", "once")

    assert keys_in(database) == ["a"]


def test_queue_that_is_made_again_fails_closed_then_gets_its_index(database, client):
    send_queued(client, "a")
    execute(database, "SELECT pgmq.drop_queue('mail')")
    execute(database, "SELECT pgmq.create('mail')")

    with pytest.raises(GuardMissing):
        send_queued(client, "a")
    assert queued(database) == []

    assert statuses(send_queued(client_of(database.dsn), "a")) == ["sent"]
    assert statuses(send_queued(client, "a")) == ["duplicate"]


def test_unlogged_queue_can_have_it(database, client):
    execute(database, "SELECT pgmq.create_unlogged('fast')")
    batch = prepare([1], dedup_keys=["a"])

    assert statuses(sending.send(client, "fast", batch, scope="queued")) == ["sent"]
    assert statuses(sending.send(client, "fast", batch, scope="queued")) == ["duplicate"]


def test_needs_no_schema_of_ours(database, client):
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")

    assert statuses(send_queued(client, "a")) == ["sent"]
    assert execute(database, "SELECT to_regnamespace('airflow_pgmq') AS ours") == [{"ours": None}]


def test_missing_queue_is_reported(client):
    with pytest.raises(QueueNotFound, match="'nowhere'"):
        sending.send(client, "nowhere", prepare([1], dedup_keys=["a"]), scope="queued")


def test_index_is_made_in_the_transaction_that_made_the_queue(database, client):
    with database.connect() as connection:
        connection.execute("SELECT pgmq.create('young')")
        batch = prepare([1, 2], dedup_keys=["a", "a"])

        results = sending.send(client, "young", batch, scope="queued", conn=connection)

    assert statuses(results) == ["sent", "duplicate"]


def test_index_is_made_in_a_transaction_that_has_sent_before(database, client):
    """A build on a connection of our own would wait for this one's lock, and this one for the build."""
    with database.connect() as connection:
        sending.send(client, "mail", prepare([1]), conn=connection)

        assert statuses(send_queued(client, "a", conn=connection)) == ["sent"]


def test_one_key_of_the_other_scope_is_refused(database, client):
    send_queued(client, "a")

    with pytest.raises(DuplicateMessage, match=r"\(a\).*one dedup_scope per queue"):
        send(client, "a", scope="once")

    assert keys_in(database) == ["a"]


def test_a_key_of_the_other_scope_is_refused_and_what_was_sent_before_stays(database, client, small_chunks):
    keys = [f"k{n:04}" for n in range(2500)]
    send(client, keys[-1], scope="queued")

    with pytest.raises(DuplicateMessage, match="one dedup_scope per queue") as failure:
        send(client, *keys, scope="once")

    assert keys[-1] in str(failure.value)
    remaining = [row["headers"]["dedup_key"] for row in queued(database)][1:]
    assert 0 < len(remaining) < len(keys) - 1
    assert remaining == keys[: len(remaining)]
