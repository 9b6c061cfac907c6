"""The errors of every verb when the server, database, role or session is not as it should be."""

from __future__ import annotations

import json
import pickle
from datetime import datetime, timezone

import psycopg
import pytest

from airflow_pgmq.command_line import command
from airflow_pgmq.compat import BaseHook
from airflow_pgmq.errors import (
    BrokenOff,
    CalendarNotFound,
    FeatureMissing,
    InvalidArgument,
    InvalidName,
    InvalidQuery,
    JobNotFound,
    LockTimeout,
    NotConnected,
    NotInstalled,
    PermissionDenied,
    PgmqError,
    QueueNotFound,
    documentation,
)
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import Calendar
from airflow_pgmq.services import maintenance, overview
from tests.fixtures.factories import execute, job, tick
from tests.fixtures.roles import drop_role


def hook_of(database, **fields):
    extra = fields.pop("extra", {})
    from airflow.sdk import Connection

    values = {
        "conn_type": "pgmq",
        "host": str(database.server.directory),
        "login": "postgres",
        "schema": database.name,
        **fields,
    }
    return PgmqHook(connection=Connection(conn_id="x", extra=json.dumps(extra), **values))


#: Each kind of verb of the hook; a test checks that none is left out.
VERBS = {
    "install": lambda hook: hook.install(),
    "send": lambda hook: hook.send("mail", 1),
    "send_batch": lambda hook: hook.send_batch("mail", [1], dedup_keys=["a"]),
    "send queued": lambda hook: hook.send("mail", 1, dedup_key="b", dedup_scope="queued"),
    "send_from_query": lambda hook: hook.send_from_query("mail", "SELECT 1 AS message"),
    "send_topic": lambda hook: hook.send_topic("a", 1),
    "send_batch_topic": lambda hook: hook.send_batch_topic("a", [1], dedup_keys=["a"]),
    "read": lambda hook: hook.read("mail"),
    "read in order": lambda hook: hook.read("mail", ordered=True),
    "read_grouped": lambda hook: hook.read_grouped("mail"),
    "read_grouped_rr": lambda hook: hook.read_grouped_rr("mail"),
    "read_grouped_head": lambda hook: hook.read_grouped_head("mail"),
    "peek": lambda hook: hook.peek("mail"),
    "get_messages": lambda hook: hook.get_messages("mail", [1]),
    "pop": lambda hook: hook.pop("mail"),
    "archive": lambda hook: hook.archive("mail", [1]),
    "delete": lambda hook: hook.delete("mail", [1]),
    "release": lambda hook: hook.release("mail", [1]),
    "extend": lambda hook: hook.extend("mail", [1]),
    "cancel": lambda hook: hook.cancel("mail", "a"),
    "dead_letter": lambda hook: hook.dead_letter("mail", [1], "no"),
    "requeue": lambda hook: hook.requeue("mail"),
    "consume": lambda hook: hook.consume("mail").__enter__(),
    "create_queue": lambda hook: hook.create_queue("other"),
    "drop_queue": lambda hook: hook.drop_queue("other"),
    "list_queues": lambda hook: hook.list_queues(),
    "pause_queue": lambda hook: hook.pause_queue("mail"),
    "resume_queue": lambda hook: hook.resume_queue("mail"),
    "paused_queues": lambda hook: hook.paused_queues(),
    "metrics": lambda hook: hook.metrics("mail"),
    "metrics_all": lambda hook: hook.metrics_all(),
    "purge": lambda hook: hook.purge("mail"),
    "guard_queue": lambda hook: hook.guard_queue("mail"),
    "index_groups": lambda hook: hook.index_groups("mail"),
    "groups": lambda hook: hook.groups("mail"),
    "stopped_groups": lambda hook: hook.stopped_groups("mail"),
    "resume_group": lambda hook: hook.resume_group("mail", "a", as_dead_letter=True),
    "enable_notify": lambda hook: hook.enable_notify("mail"),
    "disable_notify": lambda hook: hook.disable_notify("mail"),
    "create_fifo_index": lambda hook: hook.create_fifo_index("mail"),
    "create_fifo_indexes_all": lambda hook: hook.create_fifo_indexes_all(),
    "convert_archive_partitioned": lambda hook: hook.convert_archive_partitioned(
        "mail", partition_interval=9
    ),
    "enable_notify_insert": lambda hook: hook.enable_notify_insert("mail"),
    "update_notify_insert": lambda hook: hook.update_notify_insert("mail", throttle_interval_ms=9),
    "disable_notify_insert": lambda hook: hook.disable_notify_insert("mail"),
    "list_notify_insert_throttles": lambda hook: hook.list_notify_insert_throttles(),
    "bind_topic": lambda hook: hook.bind_topic("a", "mail"),
    "unbind_topic": lambda hook: hook.unbind_topic("a", "mail"),
    "topics": lambda hook: hook.topics(),
    "test_routing": lambda hook: hook.test_routing("a"),
    "validate_routing_key": lambda hook: hook.validate_routing_key("a"),
    "validate_topic_pattern": lambda hook: hook.validate_topic_pattern("a"),
    "pause_job": lambda hook: hook.pause_job("shop", "job"),
    "resume_job": lambda hook: hook.resume_job("shop", "job"),
    "run_job_now": lambda hook: hook.run_job_now("shop", "job"),
    "list_jobs": lambda hook: hook.list_jobs(),
    "remove_namespace": lambda hook: hook.remove_namespace("shop"),
    "put_job": lambda hook: hook.put_job("shop", job("live")),
    "put_jobs": lambda hook: hook.put_jobs("shop", [job("live")]),
    "delete_job": lambda hook: hook.delete_job("shop", "live"),
    "job_versions": lambda hook: hook.job_versions("shop", "live"),
    "skip_slot": lambda hook: hook.skip_slot("shop", "job", datetime.now(timezone.utc)),
    "overdue": lambda hook: hook.overdue(),
    "next_slots": lambda hook: hook.next_slots(job(exclude=[Calendar("bank")])),
    "put_calendar": lambda hook: hook.put_calendar("bank", []),
    "get_calendar": lambda hook: hook.get_calendar("bank"),
    "list_calendars": lambda hook: hook.list_calendars(),
    "delete_calendar": lambda hook: hook.delete_calendar("bank"),
    "tick": lambda hook: tick(job()).run(hook.client),
    "maintain": lambda hook: maintenance.maintain(hook.client),
    "queues of the page": lambda hook: overview.queues(hook.client),
    "queue of the page": lambda hook: overview.queue(hook.client, "mail"),
    "jobs of the page": lambda hook: overview.jobs(hook.client),
    "messages of the page": lambda hook: overview.messages(hook.client, overview.Search(queue_name="mail")),
    "sent of the page": lambda hook: overview.sent(hook.client, {"dag_id": "shop"}),
}
JOB_VERBS = ("pause_job", "resume_job", "run_job_now", "list_jobs", "remove_namespace")
JOB_VERBS += (
    "skip_slot",
    "delete_job",
    "job_versions",
    "next_slots",
    "overdue",
    "get_calendar",
    "list_calendars",
    "delete_calendar",
)


def told(verb, hook):
    """The error of the verb, or None. It must be one of ours, in a few lines, and say what to do."""
    try:
        VERBS[verb](hook)
    except PgmqError as exc:
        return exc
    return None


def all_told(hook, but=()):
    found = {verb: exc for verb in VERBS if verb not in but and (exc := told(verb, hook)) is not None}
    for verb, exc in found.items():
        assert "\n" not in str(exc).strip(), verb
    return found


def test_every_verb_of_the_hook_is_tried():
    others = {"close", "get_conn", "connection_arguments", "get_ui_field_behaviour", "test_connection"}
    # They wait outages out.
    others |= {"wait", "watcher"}
    verbs = {name for name in dir(PgmqHook) if not name.startswith("_") and callable(getattr(PgmqHook, name))}
    assert verbs - set(dir(BaseHook)) - others == {verb for verb in VERBS if verb in verbs}


@pytest.mark.parametrize(
    ("fields", "class_", "says"),
    [
        ({"host": "127.0.0.1", "port": 1}, NotConnected, "Correct host and port"),
        ({"host": "/nowhere"}, NotConnected, "Correct host and port"),
        ({"login": "nobody"}, NotConnected, "Correct user and password"),
        ({"schema": "none"}, NotConnected, "Correct the database"),
        ({"extra": {"nonsense": "1"}}, NotConnected, "Correct the extras"),
        ({"extra": {"options": "-c nonsense=1"}}, NotConnected, "Correct the extras"),
    ],
)
def test_no_verb_connects(database, fields, class_, says):
    found = all_told(hook_of(database, **fields))

    assert found.keys() == VERBS.keys()
    for verb, exc in found.items():
        assert type(exc).__name__ == class_.__name__, verb
        assert says in str(exc), verb


def test_too_many_clients_are_told_apart(database):
    role = f"narrow_{database.name}"
    execute(database, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    try:
        found = all_told(hook_of(database, login=role))
        assert found.keys() == VERBS.keys()
        for verb, exc in found.items():
            assert isinstance(exc, NotConnected), verb
            assert "CONNECTION LIMIT" in str(exc), verb
            assert "host and port" not in str(exc), verb
    finally:
        execute(database, f"DROP ROLE {role}")


def test_a_database_without_pgmq_is_not_a_missing_queue(empty_database):
    told_so = set()
    # There is nothing to show, and nothing to take off.
    silent = {"jobs of the page", "disable_notify"}
    for verb in VERBS:
        exc = told(verb, hook_of(empty_database))
        # What needs our schema installs it, and PGMQ with it.
        if execute(empty_database, "SELECT to_regnamespace('pgmq') IS NULL AS missing")[0]["missing"]:
            assert isinstance(exc, NotInstalled) or verb in silent, (verb, exc)
            assert f"run `{command('init')}` once" in str(exc) or exc is None, verb
            told_so.add(verb)
        else:
            execute(empty_database, "DROP SCHEMA pgmq, airflow_pgmq CASCADE")
    assert {"send", "read", "purge", "bind_topic", "pause_job", "queues of the page"} <= told_so


def test_verbs_on_jobs_before_init_say_so(database, client):
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")
    for verb in JOB_VERBS:
        exc = told(verb, hook_of(database))
        assert isinstance(exc, NotInstalled), verb
        assert str(exc).startswith("The schema airflow_pgmq is missing"), verb
        assert f"run `{command('init')}` once" in str(exc)


def test_an_old_schema_of_ours_is_named(database, client):
    execute(
        database,
        "DROP TABLE airflow_pgmq.periodic_jobs CASCADE;"
        " CREATE TABLE airflow_pgmq.periodic_jobs (namespace text)",
    )
    for verb in JOB_VERBS:
        if (exc := told(verb, hook_of(database))) is not None:
            assert isinstance(exc, (NotInstalled, CalendarNotFound, JobNotFound)), verb


def test_a_pgmq_that_lacks_something_is_named(database, client):
    execute(database, "DROP FUNCTION pgmq.test_routing(text)")
    exc = told("send_topic", hook_of(database))

    assert isinstance(exc, FeatureMissing)
    assert "needs PGMQ 1.11.0" in str(exc)
    assert documentation.UPGRADING in str(exc)


def test_what_holds_our_own_transactions_up_is_named(database, client, monkeypatch):
    monkeypatch.setenv("AIRFLOW__PGMQ__LOCK_TIMEOUT", "1")
    with database.connect() as holder:
        holder.execute("LOCK pgmq.q_mail, airflow_pgmq.namespaces, airflow_pgmq.dedup_ledger")
        for verb in ("send", "read", "purge", "pause_job"):
            exc = told(verb, hook_of(database))
            assert isinstance(exc, LockTimeout), verb
            assert "pg_blocking_pids" in str(exc), verb


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("default_transaction_read_only = on", "target_session_attrs"),
        ("statement_timeout = 300", "statement_timeout"),
        ("lock_timeout = 100", "lock_timeout"),
    ],
)
def test_what_the_session_of_a_caller_does_not_allow_is_named(database, client, setting, says):
    execute(database, "SELECT pgmq.create('mail_dlq')")
    with hook_of(database).get_conn() as conn, database.connect() as holder:
        conn.execute(f"SET {setting}")
        conn.commit()
        if "timeout" in setting:
            holder.execute("LOCK pgmq.q_mail")
        for work in (
            lambda: hook_of(database).send("mail", 1, conn=conn),
            lambda: hook_of(database).read("mail", conn=conn),
            lambda: hook_of(database).purge("mail", conn=conn),
            lambda: hook_of(database).requeue("mail", conn=conn),
        ):
            with pytest.raises(BrokenOff) as caught:
                work()
            assert says in str(caught.value)
            assert isinstance(caught.value, psycopg.Error)
            conn.rollback()


def test_a_role_without_rights_is_told_of_the_grants(database, client):
    role = f"bare_{database.name}"
    execute(database, f"CREATE ROLE {role} LOGIN")
    try:
        found = all_told(hook_of(database, login=role))
        assert len(found) > 30
        for verb, exc in found.items():
            assert isinstance(exc, (PermissionDenied, NotInstalled)), (verb, exc)
            assert "permission" in str(exc), verb
    finally:
        drop_role(database, role)


def test_a_server_that_is_shut_down_says_so(own_server, own_database):
    hook = hook_of(own_database, schema="postgres")
    hook.create_queue("mail")
    with hook.get_conn() as conn:
        own_server.stop()
        with pytest.raises(BrokenOff, match=r"shut down|lost") as caught:
            hook.send("mail", 1, conn=conn)
        assert isinstance(caught.value, psycopg.OperationalError)
    with pytest.raises(NotConnected, match="Correct host and port"):
        hook.send("mail", 1)


def test_ours_and_the_drivers_in_one_passes_between_processes(database):
    exc = told("send", hook_of(database, host="/nowhere"))

    assert isinstance(exc, psycopg.OperationalError)
    again = pickle.loads(pickle.dumps(exc))
    assert type(again) is NotConnected
    assert str(again) == str(exc)


def test_the_users_own_sql_is_not_taken_for_pgmq(database, client):
    for query in ("SELECT nothing AS message", "SELECT 1 AS message FROM none", "SELECT f() AS message"):
        for scope in ("once", "queued", "none"):
            with pytest.raises(InvalidQuery, match="It was: SELECT"):
                hook_of(database).send_from_query("mail", query, dedup_scope=scope)


@pytest.mark.parametrize(
    ("work", "class_"),
    [
        (lambda hook: hook.bind_topic("a", "nowhere"), QueueNotFound),
        (lambda hook: hook.bind_topic("a b", "mail"), InvalidName),
        (lambda hook: hook.unbind_topic("", "mail"), InvalidName),
        (lambda hook: hook.send_topic("..", 1), InvalidName),
        (lambda hook: hook.test_routing("a.*"), InvalidName),
        (lambda hook: hook.validate_routing_key(""), InvalidName),
        (lambda hook: hook.validate_topic_pattern("a.**"), InvalidName),
        (lambda hook: hook.create_queue("parts", partition_interval="daily"), FeatureMissing),
    ],
)
def test_what_pgmq_refuses_is_named(database, client, work, class_):
    with pytest.raises(class_):
        work(hook_of(database))


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800b"])
def test_what_the_driver_cannot_send_is_named(database, client, name):
    hook = hook_of(database)
    for work in (
        lambda: hook.pause_job("shop", name),
        lambda: hook.list_jobs(name),
        lambda: hook.cancel("mail", name),
        lambda: hook.bind_topic(name, "mail"),
    ):
        with pytest.raises(InvalidArgument):
            work()
