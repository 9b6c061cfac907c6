"""Each fault is made on a real Postgres, found, and gone after its fix was run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from airflow_pgmq.command_line import command
from airflow_pgmq.core import diagnoses, privileges
from airflow_pgmq.core.groups import GroupCursor
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db import client
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import groups, queues, stopped_groups
from airflow_pgmq.services import doctor
from tests.fixtures.factories import QUEUE, client_of, execute, job, send, tick
from tests.fixtures.roles import drop_role
from tests.postgres.test_watch_pooler import pooled  # noqa: F401 - a fixture
from tests.postgres.watching import make_queue, put

if TYPE_CHECKING:
    from airflow_pgmq.core.problems import Problem
    from airflow_pgmq.db.local import LocalPostgres
    from tests.fixtures.postgres import Database

pytestmark = pytest.mark.direct("the doctor says that notifications do not pass a pooler")


@pytest.fixture
def healthy(database: Database) -> Client:
    """A client of a database in which nothing is wrong."""
    client = client_of(database.dsn)
    make_queue(client, QUEUE)
    make_queue(client, f"{QUEUE}_dlq", notify=False)
    return client


def fix(database: Database, problem: Problem) -> None:
    for statement in problem.fix.splitlines():
        execute(database, statement)


def only(found: list[Problem], code: str) -> Problem:
    assert [problem.code for problem in found] == [code]
    return found[0]


def test_a_healthy_database_has_nothing(healthy: Client) -> None:
    send(healthy, "a")
    send(healthy, "b", scope="queued")
    tick(job()).run(healthy)
    assert doctor.examine(healthy) == []


def test_nobody_answers() -> None:
    problem = only(doctor.examine(client_of("host=127.0.0.1 port=1 dbname=x")), "no_connection")
    assert "127.0.0.1" in problem.text
    assert "host and port" in problem.fix


def test_an_unknown_database_and_an_unknown_role(database: Database) -> None:
    host = f"host={database.server.directory}"
    problem = only(doctor.examine(client_of(f"{host} user=postgres dbname=nowhere")), "no_connection")
    assert "Correct the database" in problem.fix
    problem = only(doctor.examine(client_of(f"{host} user=nobody dbname={database.name}")), "no_connection")
    assert "Correct user and password" in problem.fix


def test_no_pgmq(empty_database: Database) -> None:
    client = client_of(empty_database.dsn)
    assert only(doctor.examine(client), "no_pgmq").fix == command("init")
    client.install()
    assert doctor.examine(client) == []


def test_an_old_pgmq(database: Database, healthy: Client) -> None:
    execute(database, "DROP FUNCTION pgmq.send(text, jsonb, jsonb, timestamptz) CASCADE")
    assert "1.5.0" in only(doctor.examine(healthy), "old_pgmq").text


def test_our_schema_is_missing_or_old(database: Database) -> None:
    client = client_of(database.dsn)
    execute(database, "DELETE FROM airflow_pgmq.migrations WHERE number > 1")
    assert only(doctor.examine(client), "old_schema").severity == "warning"
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")
    assert only(doctor.examine(client), "no_schema").fix == command("init")
    client.install()
    assert doctor.examine(client) == []


def test_a_role_that_may_not_install_has_an_error(database: Database, role: Client) -> None:
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")
    found = {problem.code: problem for problem in doctor.examine(role)}
    assert found["no_schema"].severity == "error"


@pytest.fixture
def role(database: Database, healthy: Client) -> Iterator[Client]:
    """A client of a role without any rights, in a database where all belongs to another."""
    name = f"app_{database.name}"
    execute(database, f"CREATE ROLE {name} LOGIN")
    yield client_of(database.dsn, user=name)
    drop_role(database, name)


def test_missing_grants_are_told_work_by_work_and_granted_by_the_fix(
    database: Database, role: Client
) -> None:
    found = [problem for problem in doctor.examine(role) if problem.code == "missing_grants"]
    assert [problem.severity for problem in found] == ["error"] * len(privileges.RIGHTS)
    # Of no use without a right to read.
    others = [problem for problem in found if "may not see pauses" not in problem.text]
    assert all("USAGE on pgmq" in problem.text for problem in others)
    assert len(others) == len(found) - 1
    for number, problem in enumerate(found, 1):
        fix(database, problem)
        left = [each for each in doctor.examine(role) if each.code == "missing_grants"]
        assert len(left) <= len(found) - number
    assert doctor.examine(role) == []


def test_one_missing_privilege_is_named(database: Database, role: Client) -> None:
    for problem in doctor.examine(role):
        fix(database, problem)
    execute(database, f"REVOKE UPDATE ON pgmq.q_{QUEUE} FROM app_{database.name}")
    found = doctor.examine(role)
    assert {problem.severity for problem in found} == {"warning"}
    assert {problem.fix for problem in found} == {f"GRANT UPDATE ON pgmq.q_{QUEUE} TO app_{database.name};"}
    assert [re.findall(r"may not ([a-z ]+):", problem.text) for problem in found] == [
        ["send"],
        ["read"],
        ["run periodic jobs"],
        ["maintain"],
    ]


def test_queues_that_announce_nothing(database: Database, healthy: Client) -> None:
    execute(database, f"DROP TRIGGER airflow_pgmq_notify ON pgmq.q_{QUEUE}")
    problem = only(doctor.examine(healthy), "no_notify")
    assert problem.text.endswith(f": {QUEUE}.")
    fix(database, problem)
    assert doctor.examine(healthy) == []


def test_our_trigger_that_is_disabled_is_enabled(database: Database, healthy: Client) -> None:
    disable = f"ALTER TABLE pgmq.q_{QUEUE} DISABLE TRIGGER airflow_pgmq_notify"
    execute(database, disable)
    fix(database, only(doctor.examine(healthy), "no_notify"))
    assert doctor.examine(healthy) == []
    execute(database, disable)
    assert healthy.run(lambda: queues.enable_notify(QUEUE)) is True
    assert doctor.examine(healthy) == []


@pytest.mark.parametrize("ours", ["missing", "disabled", "there"])
def test_pgmqs_own_trigger_is_replaced_by_ours(database: Database, healthy: Client, ours: str) -> None:
    if ours == "missing":
        execute(database, f"DROP TRIGGER airflow_pgmq_notify ON pgmq.q_{QUEUE}")
    elif ours == "disabled":
        execute(database, f"ALTER TABLE pgmq.q_{QUEUE} DISABLE TRIGGER airflow_pgmq_notify")
    execute(database, "SELECT pgmq.enable_notify_insert(%s)", [QUEUE])
    problem = only(doctor.examine(healthy), "throttled_notify")
    assert "488" in problem.text
    fix(database, problem)
    assert doctor.examine(healthy) == []
    rows = execute(database, "SELECT tgname FROM pg_trigger WHERE tgname LIKE '%notify%'")
    assert [row["tgname"] for row in rows] == ["airflow_pgmq_notify"]


@pytest.mark.parametrize("pooled", ["transaction"], indirect=True)
def test_a_pooler_that_swallows_notifications(
    healthy: Client,
    pooled: dict[str, Any],  # noqa: F811
) -> None:
    through = client_of("", **pooled)
    assert "session mode" in only(doctor.examine(through, patience=0.5), "deaf").fix


def test_an_index_whose_build_failed(database: Database, healthy: Client) -> None:
    for _ in range(2):
        execute(database, "SELECT pgmq.send('mail', '1', '{\"dedup_key\": \"a\"}'::jsonb)")
    guard = "CREATE UNIQUE INDEX CONCURRENTLY q_mail_dedup_idx ON pgmq.q_mail ((headers ->> 'dedup_key'))"
    with database.connect(autocommit=True) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(guard)
    execute(database, f"DELETE FROM pgmq.q_{QUEUE} WHERE msg_id = 2")
    problem = next(each for each in doctor.examine(healthy) if each.code == "invalid_index")
    assert problem.severity == "error"
    fix(database, problem)
    assert doctor.examine(healthy) == []


def test_a_queue_without_the_guard_of_its_keys(database: Database, healthy: Client) -> None:
    send(healthy, "a", scope="queued")
    execute(database, f"DROP INDEX pgmq.q_{QUEUE}_dedup_idx")
    assert doctor.examine(healthy) == []
    again = "SELECT pgmq.send(%s, '1', '{\"dedup_key\": \"a\"}'::jsonb) AS msg_id"
    [row] = execute(database, again, [QUEUE])
    problem = only(doctor.examine(healthy), "missing_guard")
    execute(database, f"DELETE FROM pgmq.q_{QUEUE} WHERE msg_id = %s", [row["msg_id"]])
    fix(database, problem)
    assert doctor.examine(healthy) == []
    assert healthy.run(lambda: queues.guard(QUEUE)) is False


def test_a_message_that_outlived_its_window_needs_no_guard(database: Database, healthy: Client) -> None:
    send(healthy, "a")
    execute(database, "DELETE FROM airflow_pgmq.dedup_ledger")
    assert doctor.examine(healthy) == []


def test_a_namespace_that_stopped_and_a_job_that_is_behind(database: Database, healthy: Client) -> None:
    ticking = tick(job())
    ticking.run(healthy)
    execute(database, "UPDATE airflow_pgmq.namespaces SET ticked_at = now() - interval '1 hour'")
    assert "shop" in only(doctor.examine(healthy), "not_ticking").text
    execute(database, "UPDATE airflow_pgmq.namespaces SET ticked_at = now()")
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET next_slot = now() - interval '1 hour'")
    assert "shop/job" in only(doctor.examine(healthy), "job_behind").text
    ticking.run(healthy)
    assert doctor.examine(healthy) == []


def test_slots_that_did_not_happen(database: Database, healthy: Client) -> None:
    ticking = tick(job(expect_within=timedelta(minutes=5)), look_ahead=0)
    ticking.run(healthy)
    assert doctor.examine(healthy) == []
    execute(
        database,
        "UPDATE airflow_pgmq.periodic_jobs SET expected_until = 'epoch', watermark = now() - interval '90 s',"
        " next_slot = now() - interval '61 s'",
    )
    assert doctor.examine(healthy) == []
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET next_slot = next_slot - interval '4 min'")
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET watermark = next_slot - interval '1 s'")
    found = only([each for each in doctor.examine(healthy) if each.code != "job_behind"], "overdue")
    assert found.text.startswith("Namespace shop: 1 slot is overdue; the oldest: slot ")
    assert found.severity == "error"


@pytest.mark.parametrize(("seconds", "which"), [(-5, "ahead of"), (5, "behind")])
def test_clocks_that_differ(healthy: Client, seconds: int, which: str) -> None:
    def clock() -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=seconds)

    assert which in only(doctor.examine(healthy, clock=clock), "clock_skew").text
    assert doctor.examine(healthy) == []


def test_the_driver_that_is_installed_is_new_enough() -> None:
    assert diagnoses.driver(*client.versions()) == []


def test_messages_of_other_clients_are_no_reason_for_a_guard(database: Database, healthy: Client) -> None:
    put(database, QUEUE)
    assert doctor.examine(healthy) == []


def test_a_standby_is_told_although_it_refuses_to_listen(
    own_server: LocalPostgres, own_database: Database
) -> None:
    client = client_of(own_database.dsn)
    make_queue(client, QUEUE)
    own_server.stop()
    # Without a primary it waits for one, and may be read meanwhile.
    signal = own_server.directory / "data" / "standby.signal"
    signal.touch()
    owner = signal.parent.stat()
    os.chown(signal, owner.st_uid, owner.st_gid)
    own_server.start()
    only(doctor.examine(client), "standby")


def test_a_question_that_is_broken_off_is_no_lost_connection(database: Database, healthy: Client) -> None:
    impatient = client_of(database.dsn, limits=Limits(lock=0.001))
    with database.connect() as other:
        other.execute("LOCK TABLE airflow_pgmq.migrations")
        problem = only(doctor.examine(impatient), "not_answered")
    assert "lock timeout" in problem.text
    assert "Could not connect" not in problem.text


def test_groups_that_nobody_keeps_in_order(database: Database, healthy: Client) -> None:
    sent = "SELECT pgmq.send('mail', '1', '{\"x-pgmq-group\": \"a\"}'::jsonb)"
    execute(database, sent)
    assert doctor.examine(healthy) == []
    execute(database, sent)
    assert "index-groups mail" in only(doctor.examine(healthy), "groups_without_order").fix
    healthy.run(lambda: groups.make_index(QUEUE))
    assert doctor.examine(healthy) == []


def test_a_queue_that_is_read_in_order(database: Database, healthy: Client) -> None:
    assert healthy.run(lambda: groups.make_index(QUEUE))
    for _ in range(3):
        execute(database, "SELECT pgmq.send('mail', '1', '{\"x-pgmq-group\": \"a\"}'::jsonb)")
    messages = healthy.run(lambda: groups.read(QUEUE, GroupCursor(""), max_messages=9, visibility_timeout=60))
    assert doctor.examine(healthy) == []
    execute(database, "SELECT pgmq.read('mail', 60, 1)")
    assert "1 group several messages" in only(doctor.examine(healthy), "not_in_order").text
    execute(database, "DELETE FROM pgmq.q_mail WHERE msg_id > 1")
    healthy.run(lambda: stopped_groups.stop(QUEUE, messages, ["no"]))
    assert "1 group is stopped" in only(doctor.examine(healthy), "stopped_groups").text
    healthy.run(lambda: stopped_groups.resume(QUEUE, "a"))
    execute(database, "DROP TRIGGER airflow_pgmq_settled ON pgmq.q_mail")
    assert only(doctor.examine(healthy), "no_settled_notify").fix.endswith("index-groups mail")
    healthy.run(lambda: groups.make_index(QUEUE))
    assert doctor.examine(healthy) == []
