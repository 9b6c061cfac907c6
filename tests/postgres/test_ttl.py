"""A message is of use for its `ttl` from when it becomes visible on, however it is sent."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.services import maintenance
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import execute, queued

HOUR = timedelta(hours=1)
FAR = datetime(2099, 1, 1, 12, tzinfo=timezone.utc)

WAYS = {
    "plain": {},
    "once": {"dedup_key": "k"},
    "queued": {"dedup_key": "k", "dedup_scope": "queued"},
    "a group and headers": {"group": "g", "headers": {"h": 1}},
    "many new keys": {"dedup_keys": [f"k{n}" for n in range(100)]},
}


@pytest.fixture
def hook(pgmq_connection):
    from airflow_pgmq.hooks import PgmqHook

    hook = PgmqHook(pgmq_connection)
    hook.create_queue("mail")
    return hook


def send(hook, way, **options):
    if "dedup_keys" in way:
        delay = options.pop("delay", None)
        hook.send_batch("mail", list(way["dedup_keys"]), delays=delay, **way, **options)
    else:
        hook.send("mail", {"n": 1}, **way, **options)


def lives(database, table="q_mail"):
    """How long each message is visible before it expires, or has been since it was sent."""
    rows = execute(
        database,
        "SELECT (headers ->> 'expires_at')::timestamptz - greatest(vt, enqueued_at) AS lives"
        f" FROM pgmq.{table} ORDER BY msg_id",
    )
    return [row["lives"] for row in rows]


def is_an_hour(life):
    """A send reads the clock more than once; not each pytest's `approx` knows a timedelta."""
    return abs(life - HOUR) < timedelta(seconds=30)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("ttl", [3600, "3600", HOUR])
def test_it_counts_from_when_the_message_is_visible(hook, database, way, ttl):
    send(hook, way, ttl=ttl)
    found = lives(database)
    assert found
    assert all(map(is_an_hour, found))
    assert all(row["headers"]["expires_at"].endswith("+00:00") for row in queued(database))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("delay", [86400, timedelta(days=1), FAR])
def test_a_delay_takes_nothing_of_it(hook, database, way, delay):
    send(hook, way, ttl=HOUR, delay=delay)
    assert set(lives(database)) == {HOUR}


def test_an_instant_that_has_passed_takes_nothing_of_it(hook, database):
    hook.send("mail", 1, delay=datetime(2020, 1, 1, tzinfo=timezone.utc), ttl=HOUR)
    (row,) = execute(
        database, "SELECT (headers ->> 'expires_at')::timestamptz - enqueued_at AS lives FROM pgmq.q_mail"
    )
    assert is_an_hour(row["lives"])


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_without_one_nothing_is_in_the_headers(hook, database, way):
    send(hook, way)
    assert all("expires_at" not in (row["headers"] or {}) for row in queued(database))


def test_other_headers_stay(hook, database):
    hook.send("mail", 1, headers={"h": 1}, group="g", dedup_key="k", ttl=60)
    (row,) = queued(database)
    del row["headers"]["expires_at"]
    assert row["headers"] == {"h": 1, "x-pgmq-group": "g", "dedup_key": "k"}


def test_a_send_that_replaces_a_message_says_how_long_it_is_of_use(hook, database):
    hook.send("mail", 1, dedup_key="k", delay=FAR, ttl=60)
    assert (
        hook.send("mail", 2, dedup_key="k", delay=FAR, ttl=HOUR, on_duplicate="replace").status == "replaced"
    )
    assert lives(database) == [HOUR]
    hook.send("mail", 3, dedup_key="k", delay=FAR, on_duplicate="replace")
    assert lives(database) == [None]


def test_a_topics_messages(hook, database):
    hook.bind_topic("a.*", "mail")
    hook.send_topic("a.b", 1, headers={"h": 1}, ttl=HOUR)
    hook.send_topic("a.b", 2, ttl=HOUR, delay=86400)
    hook.send_topic("a.b", 3)
    first, second, third = lives(database)
    assert is_an_hour(first)
    assert is_an_hour(second)
    assert third is None
    assert queued(database)[0]["headers"].keys() == {"h", "expires_at"}
    with pytest.raises(InvalidArgument, match="either ttl="):
        hook.send_topic("a.b", 1, headers={"expires_at": "x"}, ttl=1)


QUERY = "SELECT n, n * interval '1 day' AS delay, 'k' || n AS dedup_key FROM generate_series(1, 3) AS n"


@pytest.mark.parametrize("scope", ["none", "once", "queued"])
def test_the_rows_of_a_query(hook, database, scope):
    hook.send_from_query("mail", QUERY, ttl=HOUR, dedup_scope=scope, headers={"h": 1})
    assert lives(database) == [HOUR] * 3
    assert all(row["headers"]["h"] == 1 for row in queued(database))


@pytest.mark.parametrize("scope", ["none", "once", "queued"])
def test_a_row_may_say_itself_when_it_expires(hook, database, scope):
    query = (
        "SELECT n, 'k' || n AS dedup_key,"
        ' CASE n WHEN 1 THEN \'{"expires_at": "2099-01-01T00:00:00Z"}\'::jsonb END AS headers'
        " FROM generate_series(1, 2) AS n WHERE n < %(ttl)s"
    )
    # A parameter of the query's own may have the name of ours.
    hook.send_from_query("mail", query, {"ttl": 3}, ttl=HOUR, dedup_scope=scope)
    first, second = queued(database)
    assert first["headers"]["expires_at"] == "2099-01-01T00:00:00Z"
    assert is_an_hour(lives(database)[1])
    assert second["headers"]["expires_at"] != first["headers"]["expires_at"]


def test_rows_of_a_query_expire_by_the_ttl_or_by_a_header_of_all(hook):
    with pytest.raises(InvalidArgument, match="either ttl="):
        hook.send_from_query("mail", QUERY, ttl=1, headers={"expires_at": "x"})
    with pytest.raises(InvalidArgument, match="ttl is seconds or a timedelta"):
        hook.send_from_query("mail", QUERY, ttl="soon")


def make_past(database):
    """Make it look as if time had passed by the database's clock."""
    execute(
        database,
        "UPDATE pgmq.q_mail SET headers = headers || jsonb_build_object('expires_at',"
        " (headers ->> 'expires_at')::timestamptz - interval '1 day') WHERE headers ? 'expires_at'",
    )


def test_consumers_skip_it_and_maintenance_archives_it(hook, database):
    hook.send_batch("mail", ["old", "older"], ttl=HOUR)
    hook.send("mail", "new", ttl=timedelta(days=2))
    make_past(database)
    hook.send("mail", "last")
    seen = []
    policy = Policy(queue_name="mail")
    summary = Consumer(hook.client, policy, together=False).drain(
        lambda messages, conn: seen.extend(message.message for message in messages)
    )
    assert (seen, summary.expired) == (["new", "last"], 2)

    hook.send("mail", "old", ttl=HOUR)
    make_past(database)
    assert maintenance.maintain(hook.client).expired == 1
    assert queued(database) == []


def test_the_ttl_of_a_message_is_that_of_a_periodic_job(hook, database):
    """The header means the same, whether a job or a sender wrote it."""
    hook.send("mail", 1, delay=FAR, ttl=HOUR)
    (row,) = queued(database)
    assert datetime.fromisoformat(row["headers"]["expires_at"]) == FAR + HOUR
