"""Users who may see Dags but not connections get nothing that others wrote, from no route or error."""

from __future__ import annotations

import itertools
import json
import os
from datetime import date

import pytest

from airflow_pgmq.hooks import PgmqHook
from tests.airflow.test_ui_access import GUARDED, fill, request
from tests.fixtures.factories import execute, job, tick
from tests.fixtures.ui import act

#: Each planted text is this and a number, so that what leaked says where it was.
MARK = "planted-secret-"

API = "/pgmq/api/pgmq_default"
GETS = [path for method, path in GUARDED if method == "GET"]


@pytest.fixture
def plant():
    """A text that must not be seen; each call makes another."""
    numbers = itertools.count()
    return lambda: f"{MARK}{next(numbers)}"


@pytest.fixture
def secrets(plant):
    """Headers as we and others write them, with a secret wherever one fits."""

    def headers():
        return {
            "note": plant(),
            "job": plant(),
            "namespace": plant(),
            "x-pgmq-group": plant(),
            "version": plant(),
            "slot": plant(),
            "expires_at": plant(),
            "source": {"dag_id": "shop", "run_id": plant(), "task_id": plant(), "more": plant()},
            "dead_letter": {"queue": plant(), "reason": plant(), "msg_id": plant(), "enqueued_at": plant()},
            plant(): 1,
        }

    return headers


@pytest.fixture
def hook(pgmq_connection, database, plant, secrets, monkeypatch):
    """Secrets in every field of the database and of the connection but the names of things."""
    stored = json.loads(os.environ["AIRFLOW_CONN_PGMQ_DEFAULT"])
    stored |= {"password": plant(), "description": plant(), "extra": {"application_name": plant()}}
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(stored))
    hook = PgmqHook(pgmq_connection)
    for queue_name in ("mail_dlq", "mail"):
        hook.create_queue(queue_name)
        hook.guard_queue(queue_name)
        for scope in ("once", "queued"):
            hook.send_batch(
                queue_name,
                [{plant(): plant()} for _ in range(4)],
                headers=[secrets() for _ in range(4)],
                dedup_keys=[plant() for _ in range(4)],
                dedup_scope=scope,
            )
        hook.archive(queue_name, hook.read(queue_name))
    hook.dead_letter("mail", hook.read("mail"), plant())
    planted = job(message=plant(), headers={"note": plant()}, group=plant())
    tick(planted).run(hook.client)
    hook.run_job_now("shop", "job")
    hook.put_calendar("off", {date(2099, 12, 24): plant()})
    return hook


def questions() -> list[str]:
    """Every GET of the API and of the pages, with what may be asked of each."""
    more = {
        "/messages": ["?source=archive", "?msg_id=2", "?limit=1"],
        "/sent": ["?task_id=t", "?map_index=-1"],
        "/{queue_name}": ["?range=day"],
        "/connections": ["?connection_id=pgmq_default"],
    }
    found = []
    for path in GETS:
        found.append(fill(path))
        for end, queries in more.items():
            if path.endswith(end) and "/ui/" not in path:
                found += [fill(path) + query for query in queries]
    dead = [each.replace("/mail", "/mail_dlq") for each in found if "/mail" in each]
    return found + dead


@pytest.mark.parametrize("address", questions())
def test_nothing_that_somebody_wrote_is_shown(guest, hook, address):
    answer = guest.get(address, follow_redirects=False)

    assert answer.status_code == 200
    assert MARK not in answer.text
    assert MARK not in str(answer.headers)


def test_the_messages_themselves_are_shown_to_be_there(guest, hook):
    found = guest.get(f"{API}/queues/mail/messages").json()["messages"]

    columns = {"msg_id", "read_ct", "enqueued_at", "vt", "archived_at", "state"}
    assert found
    assert all(each.keys() == columns for each in found)


def test_who_may_read_the_connection_sees_it_all(boss, hook):
    """Otherwise the secrets were not planted."""
    text = "".join(boss.get(each).text for each in questions())
    assert text.count(MARK) > 100


@pytest.mark.parametrize("by", ["dedup_key", "job"])
def test_what_cannot_be_seen_cannot_be_guessed(guest, boss, hook, by):
    """A search that finds a message by its key tells that the key is there."""
    hook.send("mail", 1, headers={"job": "guess"}, dedup_key="guess")
    refused = guest.get(f"{API}/queues/mail/messages", params={by: "guess"})

    assert refused.status_code == 403
    assert "read the connection" in refused.json()["detail"]
    assert len(boss.get(f"{API}/queues/mail/messages", params={by: "guess"}).json()["messages"]) == 1


def test_what_a_dag_sent_is_for_who_may_see_the_dag(as_user, pgmq_connection, hook, monkeypatch):
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    asked = []

    def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
        asked.append(details.id)
        return False

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", is_authorized_dag)
    answer = as_user("guest").get(f"{API}/dags/shop/sent")

    assert answer.status_code == 403
    assert asked == ["shop"]


# When the database fails, its words may say anything: keys, values, hosts, roles.


def failing_connection(monkeypatch, **fields):
    stored = {"conn_type": "pgmq", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(stored))


def reads(client):
    return [client.get(fill(path), follow_redirects=False) for path in GETS if "{connection_id}" in path]


@pytest.mark.parametrize("how", ["no socket", "no server", "no user", "no database", "no option"])
def test_a_connection_that_fails_says_no_more_than_that(guest, boss, database, plant, monkeypatch, how):
    here = {"host": str(database.server.directory), "login": "postgres", "schema": database.name}
    fields = {
        "no socket": {"host": f"/tmp/{plant()}", "login": plant(), "schema": plant(), "password": plant()},
        "no server": {"host": "127.0.0.1", "port": 1, "login": plant(), "password": plant()},
        "no user": {**here, "login": plant()},
        "no database": {**here, "schema": plant()},
        "no option": {**here, "extra": {plant(): plant()}},
    }[how]
    failing_connection(monkeypatch, **fields)

    for answer in reads(guest):
        assert answer.status_code == 502
        for told in (MARK, "127.0.0.1", "/tmp", "port", str(database.server.directory)):
            assert told not in answer.text + str(answer.headers)
        assert answer.json()["detail"].startswith("Connection pgmq_default: ")
    told = boss.get(f"{API}/queues").json()["detail"]
    assert MARK in told or how == "no server"
    assert fields.get("password", "no password") not in told


def test_errors_of_the_database_are_not_quoted(guest, boss, hook, database, plant):
    execute(
        database,
        f"""
        CREATE FUNCTION boom() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION '{plant()}' USING DETAIL = '{plant()}', HINT = '{plant()}', ERRCODE = '23505';
        END $$;
        ALTER TABLE pgmq.meta RENAME TO true_meta;
        CREATE VIEW pgmq.meta AS SELECT * FROM pgmq.true_meta WHERE public.boom();
        ALTER TABLE airflow_pgmq.namespaces RENAME TO true_namespaces;
        CREATE VIEW airflow_pgmq.namespaces AS SELECT * FROM airflow_pgmq.true_namespaces WHERE public.boom();
        """,
    )
    failed = [answer for answer in reads(guest) if answer.status_code != 200]

    assert len(failed) >= 4
    for answer in failed:
        assert answer.status_code == 502
        assert MARK not in answer.text + str(answer.headers)
    assert MARK in boss.get(f"{API}/queues").json()["detail"]


def test_errors_of_ours_that_nobody_expected_are_not_quoted(guest, boss, hook, plant, monkeypatch, caplog):
    secret = plant()

    def fail(*args, **kwargs):
        raise NotImplementedError(secret)

    monkeypatch.setattr("airflow_pgmq.services.overview.queues", fail)
    for client in (guest, boss):
        answer = client.get(f"{API}/queues")
        assert answer.status_code == 500
        assert MARK not in answer.text + str(answer.headers)
        assert "log" in answer.json()["detail"]
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert secret in caplog.text


@pytest.mark.parametrize("path", [path for method, path in GUARDED if method == "POST"])
def test_who_may_not_act_is_told_nothing(guest, hook, path):
    answer = request(guest, "POST", path)

    assert answer.status_code == 403
    assert MARK not in answer.text


# The audit log, which more people may read than messages.


def test_the_audit_log_holds_ids_and_no_content(boss, hook, airflow_metadata):
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    act(boss, "pgmq_default/queues/mail/release", {"msg_ids": [1, 2, 3]})
    act(boss, "pgmq_default/queues/mail/delete", {"msg_ids": [3]})
    act(boss, "pgmq_default/queues/mail_dlq/requeue")
    act(boss, "pgmq_default/jobs/shop/job/pause")
    with create_session() as session:
        rows = list(session.scalars(select(Log).where(Log.event.like("pgmq_%"))))
        assert rows
        assert not any(MARK in str(row.extra) for row in rows)
