"""A deploy with queues that give nothing back: their jobs wait for the fix, all others go on."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.db.client import Client
from airflow_pgmq.errors import LockTimeout
from tests.fixtures.factories import client_of, execute, go_back, hours, job, queued, slots_in, state, tick
from tests.fixtures.roles import drop_role


def by_job(database):
    return Counter(row["headers"]["job"] for row in queued(database))


BROKEN = "ALTER TABLE pgmq.q_post RENAME TO was; CREATE VIEW pgmq.q_post AS SELECT 1 AS msg_id"
FIXED = "DROP VIEW pgmq.q_post; ALTER TABLE pgmq.was RENAME TO q_post"


def with_post(database):
    execute(database, "SELECT pgmq.create('post')")


def test_a_queue_that_gives_nothing_back_holds_up_its_own_jobs_only(database, client):
    """Its jobs are deployed when it is fixed: nothing is sent twice or lost."""
    with_post(database)
    old = [job(name, queue_name="post") for name in ("letter", "leaves", "moves")]
    tick(job(), *old).run(client)
    new = job(message="new"), job("letter", queue_name="post", message="new"), job("moves"), job("begins")
    execute(database, BROKEN)

    for _ in range(2):
        summary = tick(*new).run(client)
        assert [*summary.failed] == ["leaves", "letter", "moves"]
        assert "queue 'post' blocks its deploy" in summary.failed["letter"][0]
    assert by_job(database) == {"job": 10, "begins": 10}
    assert {row["message"] for row in queued(database) if row["headers"]["job"] == "job"} == {"new"}

    execute(database, FIXED)
    assert tick(*new).run(client).failed == {}
    assert by_job(database) == {"job": 10, "begins": 10, "moves": 10}
    letters = queued(database, "post")
    assert {(row["headers"]["job"], row["message"]) for row in letters} == {("letter", "new")}
    assert len(letters) == 10


REFUSE_DELETE = (
    "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} END $$;"
    "CREATE TRIGGER refuse BEFORE DELETE ON pgmq.q_post FOR EACH ROW EXECUTE FUNCTION public.refuse()"
)


@pytest.mark.parametrize("keeps", ["RAISE 'no';", "RETURN NULL;"], ids=["refused", "swallowed"])
def test_what_cannot_be_taken_back_is_not_sent_again(database, client, keeps):
    """Jobs that need nothing back go on: the queue takes messages."""
    with_post(database)
    names = ("changes", "stays", "leaves")
    tick(*(job(name, queue_name="post") for name in names), look_ahead=5).run(client)
    execute(database, REFUSE_DELETE.format(keeps))
    new = [job(name, queue_name="post", message=name) for name in ("changes", "begins")]
    new.append(job("stays", queue_name="post"))

    for _ in range(2):
        assert [*tick(*new).run(client).failed] == ["changes", "leaves"]
    sent = Counter(row["headers"]["job"] for row in queued(database, "post"))
    assert sent == {"changes": 5, "leaves": 5, "stays": 10, "begins": 10}

    execute(database, "DROP TRIGGER refuse ON pgmq.q_post")
    assert tick(*new).run(client).failed == {}
    rows = queued(database, "post")
    assert Counter(row["headers"]["job"] for row in rows) == {"changes": 10, "stays": 10, "begins": 10}
    assert all(row["message"] == "changes" for row in rows if row["headers"]["job"] == "changes")


def test_what_was_in_row_security_that_keeps_messages_is_not_sent_twice(database, client):
    """A policy for each command but DELETE: what was deleted is still there."""
    with_post(database)
    role = f"ticker_{database.name}"
    execute(
        database,
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA pgmq, airflow_pgmq TO {role};"
        f" GRANT ALL ON ALL TABLES IN SCHEMA pgmq, airflow_pgmq TO {role};"
        f" GRANT ALL ON ALL SEQUENCES IN SCHEMA pgmq TO {role};"
        f" ALTER TABLE pgmq.q_post ENABLE ROW LEVEL SECURITY;"
        f" CREATE POLICY r ON pgmq.q_post FOR SELECT USING (true);"
        f" CREATE POLICY w ON pgmq.q_post FOR INSERT WITH CHECK (true);"
        f" CREATE POLICY u ON pgmq.q_post FOR UPDATE USING (true)",
    )
    as_role = client_of(database.dsn, user=role)
    try:
        tick(job("letter", queue_name="post")).run(as_role)
        summary = tick(job("letter", queue_name="post", message="new")).run(as_role)
        assert "could not be taken back" in summary.failed["letter"][0]
        assert len(queued(database, "post")) == 10
    finally:
        drop_role(database, role)


def test_a_third_queue_holds_only_what_was_sent_there(database, client):
    """A job that moved away left messages of past slots there, and leaves the code."""
    with_post(database)
    tick(job(), job("moved", queue_name="post"), look_ahead=2).run(client)
    go_back(database, hours=3)
    tick(job(), job("moved", queue_name="post"), look_ahead=2).run(client)
    tick(job(), job("moved"), look_ahead=2).run(client)
    assert queued(database, "post")
    execute(database, BROKEN)

    summary = tick(job(message="new"), job("other")).run(client)

    assert [*summary.failed] == ["moved"]
    assert "'post'" in summary.failed["moved"][0]
    assert by_job(database)["other"] == 10


def test_a_job_that_waits_for_a_message_elsewhere_holds_up_no_other(database, client):
    """`overlap="skip"` asks the queue that its newest message was sent to."""
    with_post(database)
    tick(job("skips", queue_name="post", overlap="skip"), job()).run(client)
    go_back(database, hours=2)
    tick(job("skips", queue_name="post", overlap="skip"), job()).run(client)
    tick(job("skips", overlap="skip"), job()).run(client)
    execute(database, BROKEN)
    go_back(database, hours=2)

    summary = tick(job("skips", overlap="skip"), job()).run(client)

    assert [*summary.failed] == ["skips"]
    assert slots_in(database) == hours(slots_in(database)[0] - timedelta(hours=1), state(database)["horizon"])


def test_a_rollback_is_done_once_the_queue_is_fixed(database, client):
    with_post(database)

    def jobs(version):
        texts = {"version": version, "message": f"v{version}"}
        return job("job", **texts), job("letter", queue_name="post", **texts)

    tick(*jobs(2), look_ahead=2, rollback=True).run(client)
    execute(
        database,
        "UPDATE airflow_pgmq.namespaces SET version_ticked_at = now() - interval '10 min',"
        " written_by = pg_current_xact_id()::xid",
    )
    execute(database, BROKEN)
    for _ in range(2):
        assert [*tick(*jobs(1), look_ahead=2, rollback=True).run(client).failed] == ["letter"]
    execute(database, FIXED)

    summary = tick(*jobs(1), look_ahead=10, rollback=True).run(client)

    assert (summary.failed, summary.outdated) == ({}, 0)
    assert {row["message"] for row in queued(database, "post")} == {"v1"}
    assert len(queued(database, "post")) == 10


def test_a_lock_on_the_namespace_is_no_queues(database, monkeypatch):
    """It is waited for once, not once for each queue."""
    names = [f"q{n}" for n in range(5)]
    execute(database, "; ".join(f"SELECT pgmq.create('{name}')" for name in names))
    patient = client_of(database.dsn, limits=Limits(lock=0.2))
    tick(*(job(name, queue_name=name) for name in names)).run(patient)
    attempts = []
    attempt = Client.attempt
    monkeypatch.setattr(Client, "attempt", lambda *args: (attempts.append(args), attempt(*args))[1])
    with database.connect() as holder:
        holder.execute("SELECT FROM airflow_pgmq.namespaces FOR UPDATE")
        with pytest.raises(LockTimeout):
            tick(*(job(name, queue_name=name, message="new") for name in names)).run(patient)
        holder.rollback()
    assert len(attempts) < 4


def test_a_lock_on_one_queue_is_that_queues(database, client):
    with_post(database)
    client = client_of(database.dsn, limits=Limits(lock=0.2))
    tick(job(), job("letter", queue_name="post")).run(client)
    with database.connect() as holder:
        holder.execute("LOCK TABLE pgmq.q_post")
        summary = tick(job(message="new"), job("letter", queue_name="post", message="new")).run(client)
        holder.rollback()
    assert [*summary.failed] == ["letter"]
    assert {row["message"] for row in queued(database)} == {"new"}
    assert tick(job(message="new"), job("letter", queue_name="post", message="new")).run(client).failed == {}
    assert {row["message"] for row in queued(database, "post")} == {"new"}


def test_two_codes_beside_broken_queues_do_not_meet(database, client):
    """If others have deployed the namespace meanwhile, with other waiting jobs, the tick ends."""
    execute(database, "SELECT pgmq.create('post'), pgmq.create('away')")
    x = job("a", queue_name="post"), job("j")
    y = *x, job("k", queue_name="away")
    tick(*y).run(client)
    execute(database, BROKEN)
    first = tick(job("a", queue_name="post", message="new"), job("j"))
    summary = Summary(jobs=2)
    with client.connection() as conn:
        deployed = first._deploy(client, conn, summary)
        tick(*y).run(client)
        execute(database, BROKEN.replace("post", "away").replace("was", "gone"))
        assert {*tick(*first.jobs).run(client).failed} == {"a", "k"}
        go_back(database, hours=1)
        first._go_round(client, conn, deployed, summary)
    assert summary.sent == 0
