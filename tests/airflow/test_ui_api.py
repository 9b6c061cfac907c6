"""The page's API on Airflow's own application: what it answers, does, and says when it cannot."""

from __future__ import annotations

import json
import threading

import anyio
import pytest
from sqlalchemy import select

from airflow_pgmq.command_line import command
from airflow_pgmq.db.statements import Statement, first
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.ui import database as ui_database
from tests.fixtures.factories import execute, job, tick
from tests.fixtures.ui import act, asker

API = "/pgmq/api/pgmq_default"


@pytest.fixture
def hook(pgmq_connection):
    hook = PgmqHook(pgmq_connection)
    for queue_name in ("mail", "mail_dlq"):
        hook.create_queue(queue_name)
    return hook


@pytest.fixture
def audit_log(airflow_metadata):
    """Rows that the test adds: event, user, details."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    def rows():
        with create_session() as session:
            statement = select(Log.id, Log.event, Log.owner, Log.extra).order_by(Log.id)
            return session.execute(statement.where(Log.event.like("pgmq_%"))).all()

    before = len(rows())
    return lambda: [(row.event, row.owner, json.loads(row.extra)) for row in rows()[before:]]


def test_queues(boss, hook):
    hook.send_batch("mail", [1, 2])
    found = boss.get(f"{API}/queues").json()

    assert [(each["queue_name"], each["length"]) for each in found["queues"]] == [
        ("mail", 2),
        ("mail_dlq", 0),
    ]
    assert found["at"].endswith("Z")
    assert [each["code"] for each in found["problems"]] == ["not_maintained"]


@pytest.mark.parametrize(("range_", "points"), [("hour", 61), ("day", 145), ("week", 169)])
def test_one_queue(boss, hook, range_, points):
    found = boss.get(f"{API}/queues/mail", params={"range": range_}).json()

    assert found["queue_name"] == "mail"
    assert len(found["history"]) == points


def test_jobs_name_dags_whose_ids_have_dots(boss, hook, airflow_metadata):
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(DagModel(dag_id="shop.eu", bundle_name="dags-folder"))
    tick(job(), owner="shop.eu.ticks.every_minute").run(hook.client)
    found = boss.get(f"{API}/jobs").json()

    assert (found["jobs"][0]["dag_id"], found["jobs"][0]["task_id"]) == ("shop.eu", "ticks.every_minute")
    assert found["namespaces"][0]["dag_id"] == "shop.eu"


def test_messages_are_redacted_by_the_option(boss, hook, monkeypatch):
    monkeypatch.setenv("AIRFLOW__PGMQ__REDACT_KEYS", "Iban, pin")
    hook.send("mail", {"to": {"IBAN": "DE00", "password": "p"}}, headers={"pin": 1})
    (found,) = boss.get(f"{API}/queues/mail/messages").json()["messages"]

    assert found["message"] == {"to": {"IBAN": "***", "password": "p"}}
    assert found["headers"] == {"pin": "***"}
    assert found["redacted"]


def test_passwords_are_redacted_by_default(boss, hook):
    hook.send("mail", {"Password": "p"})
    (found,) = boss.get(f"{API}/queues/mail/messages").json()["messages"]

    assert found["message"] == {"Password": "***"}


def test_a_dead_letters_reason_does_not_quote_what_is_redacted(boss, hook):
    """Exceptions quote values, and the reason of a dead letter is an exception's text."""
    message = {"user": "me", "login": {"password": "hunter2"}}
    hook.send("mail", message, headers={"token": "t0ken", "source": {"dag_id": "shop"}})
    hook.dead_letter("mail", hook.read("mail"), "ValueError: 'hunter2' of me, by t0ken; api_key=abc")
    for path in ("queues/mail_dlq/messages", "dags/shop/sent"):
        answer = boss.get(f"{API}/{path}")
        (found,) = answer.json()["messages"]
        told = "ValueError: '***' of me, by ***; api_key=***"
        assert found["dead_letter"]["reason"] == found["headers"]["dead_letter"]["reason"] == told
        assert not [each for each in ("hunter2", "t0ken", "abc") if each in answer.text]


def test_the_reason_of_a_large_message_is_told_where_the_message_is(boss, hook):
    hook.send("mail", {"password": "hunter2", "x": "x" * 20_000})
    hook.dead_letter("mail", hook.read("mail"), "no hunter2")
    (listed,) = boss.get(f"{API}/queues/mail_dlq/messages").json()["messages"]
    (alone,) = boss.get(f"{API}/queues/mail_dlq/messages?msg_id={listed['msg_id']}").json()["messages"]

    assert listed["dead_letter"]["reason"] == "***"
    assert alone["dead_letter"]["reason"] == "no ***"


def test_sent(boss, hook):
    source = {"dag_id": "shop", "run_id": "r/1", "task_id": "t", "map_index": 3}
    hook.send("mail", 1, headers={"source": source})
    hook.send("mail", 2, headers={"source": {**source, "map_index": 4}})
    found = boss.get(f"{API}/dags/shop/sent", params=source).json()["messages"]

    assert [(each["queue_name"], each["message"], each["source"]) for each in found] == [("mail", 1, source)]


def test_answers_are_json_whatever_messages_hold(boss, hook, database):
    execute(
        database,
        "SELECT pgmq.send('mail', %s::jsonb, %s::jsonb, 0)",
        ['{"x": 1' + "0" * 309 + ".5}", '{"expires_at": "9999-12-31T23:59:59-05:00"}'],
    )
    (found,) = boss.get(f"{API}/queues/mail/messages").json()["messages"]

    assert found["message"] == {"x": "inf"}
    assert found["expires_at"] == "9999-12-31T23:59:59-05:00"


# Actions.


def test_pause_run_now_and_resume(boss, hook, audit_log):
    tick(job()).run(hook.client)
    paused = act(boss, "pgmq_default/jobs/shop/job/pause").json()
    ran = act(boss, "pgmq_default/jobs/shop/job/run-now").json()
    resumed = act(boss, "pgmq_default/jobs/shop/job/resume").json()

    assert (paused["name"], paused["paused"], resumed["paused"]) == ("job", True, False)
    assert [message.msg_id for message in hook.read("mail")] == [ran["msg_id"]]
    common = {"connection": "pgmq_default", "job": "shop/job"}
    assert audit_log() == [
        ("pgmq_pause", "boss", {**common, "taken_back": 10}),
        ("pgmq_run_now", "boss", {**common, "msg_id": ran["msg_id"]}),
        ("pgmq_resume", "boss", common),
    ]


def test_a_stopped_group_is_seen_and_goes_on(boss, guest, hook, audit_log):
    assert guest.get(f"{API}/queues/mail").json()["ordered"] is False
    assert guest.get(f"{API}/queues/mail/groups").json()["groups"] == []
    hook.index_groups("mail")
    hook.send_batch("mail", [1, 2], group="customer-7")
    with pytest.raises(ValueError), hook.consume("mail", ordered=True, on_dead="stop_group", max_reads=1):
        raise ValueError("no")

    assert guest.get(f"{API}/queues/mail").json()["ordered"] is True
    (group,) = boss.get(f"{API}/queues/mail/groups").json()["groups"]
    assert (group["group"], group["state"], group["messages"]) == ("customer-7", "stopped", 2)
    assert group["reason"] == "ValueError: no"
    (seen,) = guest.get(f"{API}/queues/mail/groups").json()["groups"]
    assert {*seen} == {"state", "until", "msg_id", "tries", "messages", "stopped_at"}

    body = {"group": "customer-7", "as_dead_letter": True}
    assert act(boss, "pgmq_default/queues/mail/groups/resume", body).json() == {"changed": True}
    assert act(boss, "pgmq_default/queues/mail/groups/resume", body).json() == {"changed": False}
    assert [message.message for message in hook.read("mail", ordered=True)] == [2]
    details = {"connection": "pgmq_default", "queue": "mail", "group": "customer-7", "as_dead_letter": True}
    assert audit_log() == [("pgmq_resume_group", "boss", details)]


def test_the_name_of_a_group_may_be_hidden(boss, hook, monkeypatch):
    monkeypatch.setenv("AIRFLOW__PGMQ__REDACT_KEYS", "x-pgmq-group")
    hook.index_groups("mail")
    hook.send("mail", 1, group="customer-7")
    answer = boss.get(f"{API}/queues/mail/groups")
    assert [each["group"] for each in answer.json()["groups"]] == ["***"]


def test_a_queue_is_paused_and_resumed(boss, guest, hook, audit_log):
    hook.send("mail", 1)
    first = act(boss, "pgmq_default/queues/mail/pause", {"reason": "a bad deploy"})
    again = act(boss, "pgmq_default/queues/mail/pause", {"reason": "another"})
    assert (first.json(), again.json()) == ({"changed": True}, {"changed": False})
    assert hook.read("mail") == []

    for path in ("queues", "queues/mail"):
        answer = guest.get(f"{API}/{path}").json()
        paused = (answer["queues"][0] if path == "queues" else answer)["paused"]
        assert (paused["paused_by"], paused["reason"]) == ("boss", "a bad deploy")
        assert paused["paused_at"]

    assert act(boss, "pgmq_default/queues/mail/resume").json() == {"changed": True}
    assert act(boss, "pgmq_default/queues/mail/resume").json() == {"changed": False}
    assert len(hook.read("mail")) == 1
    common = {"connection": "pgmq_default", "queue": "mail"}
    assert audit_log() == [
        ("pgmq_pause_queue", "boss", {**common, "reason": "a bad deploy"}),
        ("pgmq_resume_queue", "boss", common),
    ]


def test_dead_letters_come_back_to_where_they_came_from(boss, hook, audit_log):
    hook.create_queue("other")
    for queue_name in ("mail", "other"):
        hook.send_batch(queue_name, [f"{queue_name} {n}" for n in range(3)])
        hook.dead_letter(
            queue_name, hook.read(queue_name, max_messages=3), "no", dead_letter_queue="mail_dlq"
        )
    first = act(boss, "pgmq_default/queues/mail_dlq/requeue", {"msg_ids": [1, 4]})
    rest = act(boss, "pgmq_default/queues/mail_dlq/requeue", {"max_messages": 10})

    assert (first.json(), rest.json()) == ({"changed": 2, "left": 0}, {"changed": 4, "left": 0})
    assert hook.metrics("mail").queue_length == hook.metrics("other").queue_length == 3
    assert [(event, user, details["msg_ids"]) for event, user, details in audit_log()] == [
        ("pgmq_requeue", "boss", "1, 4"),
        ("pgmq_requeue", "boss", "2-3, 5-6"),
    ]


def test_dead_letters_of_other_clients_come_back_by_the_name(boss, hook):
    """They may have been sent there as they were."""
    hook.create_queue("a")
    hook.send("mail_dlq", "plain")
    hook.send("mail_dlq", "other", headers={"dead_letter": {"queue": "a"}})

    assert act(boss, "pgmq_default/queues/mail_dlq/requeue").json() == {"changed": 2, "left": 0}
    assert [message.message for message in hook.read("mail", max_messages=5)] == ["plain"]
    assert [message.message for message in hook.read("a", max_messages=5)] == ["other"]


def test_dead_letters_of_dropped_queues_stay(boss, hook):
    for origin in ("gone", "a$b", "mail"):
        hook.send("mail_dlq", origin, headers={"dead_letter": {"queue": origin}})

    assert act(boss, "pgmq_default/queues/mail_dlq/requeue").json() == {"changed": 1, "left": 2}
    assert [message.message for message in hook.read("mail", max_messages=5)] == ["mail"]
    assert hook.metrics("mail_dlq").queue_length == 2


def test_what_is_done_is_done_without_the_audit_log(boss, hook, monkeypatch, caplog):
    monkeypatch.setattr("airflow_pgmq.ui.audit.create_session", None)
    hook.send("mail", 1)

    assert act(boss, "pgmq_default/queues/mail/delete", {"msg_ids": [1]}).json() == {"changed": 1}
    assert "Not written to the audit log: boss did delete" in caplog.text


def test_purge_has_more_time(boss, hook, database):
    execute(
        database,
        "CREATE TABLE seen AS SELECT '' AS timeout WHERE false;"
        "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "    INSERT INTO public.seen VALUES (current_setting('statement_timeout')); RETURN NULL; END $$;"
        "CREATE TRIGGER look BEFORE TRUNCATE ON pgmq.q_mail EXECUTE FUNCTION look()",
    )
    hook.send("mail", 1)

    assert act(boss, "pgmq_default/queues/mail/purge", {"confirm": "mail"}).json() == {"changed": 1}
    assert execute(database, "SELECT timeout FROM seen") == [{"timeout": "1min"}]


def test_archived_messages_come_back(boss, hook):
    hook.send_batch("mail", [1, 2])
    hook.archive("mail", [1, 2])
    changed = act(boss, "pgmq_default/queues/mail/requeue", {"msg_ids": [2], "source": "archive"}).json()

    assert changed == {"changed": 1}
    assert [message.message for message in hook.read("mail")] == [2]


def test_release_and_delete(boss, hook, audit_log):
    hook.send_batch("mail", ["held", "deleted", "kept"])
    hook.read("mail", max_messages=3, visibility_timeout=3600)

    assert act(boss, "pgmq_default/queues/mail/release", {"msg_ids": [1, 99]}).json() == {"changed": 1}
    assert act(boss, "pgmq_default/queues/mail/delete", {"msg_ids": [2]}).json() == {"changed": 1}
    assert [message.message for message in hook.read("mail", max_messages=3)] == ["held"]
    assert hook.metrics("mail").queue_length == 2
    assert [details["msg_ids"] for _, _, details in audit_log()] == ["1", "2"]
    assert "held" not in str(audit_log())


def test_the_audit_log_names_a_thousand_messages_in_short(boss, hook, audit_log):
    hook.send_batch("mail", range(1500))
    even = list(range(2, 1001, 2))
    act(boss, "pgmq_default/queues/mail/delete", {"msg_ids": even})
    act(boss, "pgmq_default/queues/mail/delete", {"msg_ids": list(range(1001, 1501))})
    scattered, run = [details["msg_ids"] for _, _, details in audit_log()]

    assert scattered.startswith("2, 4, 6")
    assert len(scattered) < 2100
    shown, _, left = scattered.rpartition(" and ")
    assert len(shown.split(", ")) + int(left.split()[0]) == len(even)
    assert run == "1001-1500"


def test_purge_wants_the_name_typed(boss, hook, audit_log):
    hook.send_batch("mail", [1, 2])
    refused = act(boss, "pgmq_default/queues/mail/purge", {"confirm": "Mail"})

    assert refused.status_code == 422
    assert hook.metrics("mail").queue_length == 2
    assert act(boss, "pgmq_default/queues/mail/purge", {"confirm": "mail"}).json() == {"changed": 2}
    assert audit_log() == [
        ("pgmq_purge", "boss", {"connection": "pgmq_default", "queue": "mail", "changed": 2})
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("queues/mail/release", {}),
        ("queues/mail/release", {"msg_ids": []}),
        ("queues/mail/release", {"msg_ids": list(range(1001))}),
        ("queues/mail/delete", {"msg_ids": ["x"]}),
        ("queues/mail/delete", {"msg_ids": [2**63]}),
        ("queues/mail/requeue", {"max_messages": 5}),
        ("queues/mail/requeue", {"source": "archive"}),
        ("queues/mail_dlq/requeue", {"max_messages": 0}),
        ("queues/mail/pause", {"reason": "x" * 501}),
        ("queues/mail/pause", {"reason": "\x00"}),
        ("queues/mail/pause", {"because": "x"}),
        ("queues/mail/purge", {}),
        ("queues/a$b/purge", {"confirm": "a$b"}),
    ],
)
def test_bad_input_changes_nothing(boss, hook, audit_log, path, body):
    answer = act(boss, f"pgmq_default/{path}", body)

    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert audit_log() == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("queues/mail?range=year", 422),
        ("queues/mail/messages?limit=201", 422),
        ("queues/mail/messages?dedup_key=%00", 422),
        ("queues/mail/messages?msg_id=-9223372036854775808", 422),
        ("queues/mail/messages?source=elsewhere", 422),
        ("queues/none", 404),
        ("queues/none/messages", 404),
        ("dags/%00/sent", 422),
        (f"dags/{'x' * 251}/sent", 422),
        ("dags//sent", 404),
        ("sent", 404),
        ("nothing", 404),
    ],
)
def test_bad_questions(boss, hook, path, status):
    answer = boss.get(f"{API}/{path}")

    assert answer.status_code == status
    assert answer.json()["detail"]


def test_unknown_things(boss, hook):
    for path in ("jobs/shop/none/pause", "jobs/shop/none/run-now", "queues/none/purge"):
        answer = act(boss, f"pgmq_default/{path}", {"confirm": "none"})
        assert answer.status_code == 404, path
    assert boss.get("/pgmq/api/none/queues").json() == {"detail": "There is no PGMQ connection 'none'."}


# When the queue database fails.


def test_a_connection_that_leads_nowhere(boss, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_PGMQ_DEFAULT",
        json.dumps({"conn_type": "pgmq", "host": "/nowhere", "login": "me", "password": "hunter2"}),
    )
    answer = boss.get(f"{API}/queues")

    assert answer.status_code == 502
    assert answer.json()["detail"].startswith("Connection pgmq_default: Could not connect: ")
    assert "/nowhere" in answer.json()["detail"]
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text


def test_a_database_without_pgmq(boss, empty_database, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_PGMQ_DEFAULT",
        json.dumps(
            {
                "conn_type": "pgmq",
                "host": str(empty_database.server.directory),
                "login": "postgres",
                "schema": empty_database.name,
            }
        ),
    )
    answer = boss.get(f"{API}/queues")

    assert answer.status_code == 502
    assert command("init") in answer.json()["detail"]


def test_slow_statements_are_given_up(boss, hook, database, monkeypatch):
    monkeypatch.setattr(ui_database, "STATEMENT_TIMEOUT", 1)
    with database.connect() as connection:
        connection.execute("LOCK pgmq.q_mail")
        answer = boss.get(f"{API}/queues/mail/messages")

    assert answer.status_code == 502
    assert answer.json()["detail"] == "Connection pgmq_default: the database took longer than 1 s to answer"


def test_reading_is_done_on_connections_that_cannot_write(boss, hook):
    def write(client, conn):
        client.run(lambda: Statement("write", script="SELECT pgmq.send('mail', '1')"), conn)

    with pytest.raises(Exception, match="read-only transaction") as caught:
        anyio.run(ui_database.read, asker(), write)
    assert caught.value.status_code == 502
    assert hook.metrics("mail").queue_length == 0


def test_the_database_sees_who_asks(pgmq_connection, hook):
    script = (
        "SELECT current_setting('application_name') AS name, current_setting('statement_timeout') AS limit,"
        " current_setting('transaction_read_only') AS read_only"
    )

    def ask(client, conn):
        return client.run(lambda: Statement("ask", script=script, decode=first), conn)

    answer = anyio.run(ui_database.read, asker(), ask)
    assert answer == {"name": "airflow-pgmq-ui", "limit": "5s", "read_only": "on"}


def test_options_of_the_connection_stay(boss, hook, monkeypatch, database):
    monkeypatch.setenv(
        "AIRFLOW_CONN_PGMQ_DEFAULT",
        json.dumps(
            {
                "conn_type": "pgmq",
                "host": str(database.server.directory),
                "login": "postgres",
                "schema": database.name,
                "extra": {"options": "-c search_path=elsewhere"},
            }
        ),
    )

    def ask(client, conn):
        return conn.execute("SHOW search_path").fetchone()

    assert anyio.run(ui_database.read, asker(), ask) == ("elsewhere",)


def test_overload_is_refused_and_leaves_airflow_its_threads(pgmq_connection, hook):
    """More requests than may wait: the rest is told so at once, and the loop stays free."""
    hold = threading.Event()
    started = threading.Semaphore(0)
    answers = []

    def work(client, conn):
        started.release()
        assert hold.wait(60)

    async def ask():
        try:
            await ui_database.read(asker(), work)
            answers.append(200)
        except Exception as exc:
            answers.append(exc.status_code)

    async def main():
        async with anyio.create_task_group() as group:
            for _ in range(ui_database.THREADS + ui_database.WAITING + 5):
                group.start_soon(ask)
            # In Airflow's own threads: were they all held up, this would wait until the work gives up.
            for _ in range(ui_database.THREADS):
                await anyio.to_thread.run_sync(started.acquire)
            refused = list(answers)
            hold.set()
            assert refused == [503] * 5

    anyio.run(main)
    assert sorted(answers) == [200] * (ui_database.THREADS + ui_database.WAITING) + [503] * 5


def test_an_action_that_fails_is_not_in_the_log(boss, hook, database, audit_log):
    execute(database, "ALTER TABLE pgmq.q_mail RENAME TO q_gone")
    answer = act(boss, "pgmq_default/queues/mail/delete", {"msg_ids": [1]})

    assert answer.status_code == 404
    assert audit_log() == []


def test_html_in_a_message_stays_data(boss, hook):
    """The answer is JSON that no browser takes for a page."""
    hook.send("mail", {"html": "<script>alert(1)</script>"}, dedup_key="<b>x</b>")
    answer = boss.get(f"{API}/queues/mail/messages")

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["messages"][0]["message"] == {"html": "<script>alert(1)</script>"}
