"""`airflow pgmq …` through Airflow's own parser, with a connection of Airflow's metadata database."""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

import airflow_pgmq.core
from airflow_pgmq.cli.definition import get_commands
from airflow_pgmq.command_line import command
from airflow_pgmq.core import problems
from airflow_pgmq.db.local import LocalPostgres
from airflow_pgmq.db.statements import consuming, queues
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import Calendar
from airflow_pgmq.services import maintenance
from tests.fixtures.airflow import connection_to
from tests.fixtures.cli import CONN_ID, Run, connection_of, type_in
from tests.fixtures.factories import client_of, execute, go_back, job, read, tick
from tests.fixtures.postgres import Database
from tests.fixtures.roles import drop_role

#: Problems that the page, `airflow pgmq queues` and `jobs` show, and the doctor does not look for.
PAGES_OWN = {
    "no_access",
    "nobody_reads",
    "dead_letters",
    "not_installed",
    "not_maintained",
    "unreadable_job",
} | {"missing_calendar", "paused_for_dead_letter"}


def test_every_command_has_help_and_is_there(parser: Any, capsys: pytest.CaptureFixture[str]) -> None:
    names = [command.name for group in get_commands() for command in group.subcommands]
    commands = (
        "init doctor health maintain create drop queues peek send cancel requeue purge jobs pause resume"
        " run-now calendars skip pause-queue resume-queue groups resume-group index-groups send-batch"
        " read archive delete bind unbind topics tail"
    )
    assert sorted(names) == sorted(commands.split())
    table = (Path(__file__).parents[2] / "docs" / "reference" / "pgmq_functions.md").read_text().splitlines()
    cells = [line.split(" | ")[3] for line in table if line.startswith("| `") and line.count(" | ") == 4]
    told = {word for cell in cells for word in re.findall(r"`([a-z-]+)", cell)}
    assert told
    assert told <= {*names}
    words = [[name] for name in names if name not in ("calendars", "jobs")]
    words += [["calendars", each] for each in ("list", "show", "put", "delete")]
    jobs = "list add edit remove versions preview export import"
    words += [["jobs", each] for each in jobs.split()]
    for word in words:
        with pytest.raises(SystemExit) as caught:
            parser.parse_args(["pgmq", *word, "--help"])
        assert caught.value.code == 0
        assert "--conn-id" in capsys.readouterr().out


def test_definitions_load_nothing_of_what_they_define() -> None:
    code = (
        "import sys, airflow.cli.cli_config; before = set(sys.modules); "
        "from airflow_pgmq.cli.definition import get_commands; get_commands(); "
        "print(sorted(set(sys.modules) - before - {'airflow_pgmq'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = ["", ".arguments", ".definition", ".job_commands", ".message_commands", ".queue_commands"]
    assert done.stdout.splitlines()[-1] == str([f"airflow_pgmq.cli{name}" for name in own])


def test_init_makes_queues_that_announce_and_does_nothing_twice(run: Run, database: Database) -> None:
    execute(database, "SELECT pgmq.create('old')")
    assert run("init", "orders", "old").splitlines() == [
        "Queue orders: created",
        "Queue old: inserts are announced",
    ]
    assert "already" in run("init", "orders", "old")
    assert run("doctor", "-o", "json") == []


@pytest.mark.parametrize("name", ["init", "create"])
def test_queues_need_not_announce(run: Run, database: Database, name: str) -> None:
    execute(database, "SELECT pgmq.create('old')")
    run("init", "loud")
    assert run(name, "orders", "old", "loud", "--no-notify").splitlines() == ["Queue orders: created"]
    (problem,) = run("doctor", "-o", "json")
    assert (problem["code"], problem["severity"]) == ("no_notify", "warning")
    assert problem["text"].endswith(": old, orders.")


def test_a_queue_that_cannot_announce_is_made_and_says_why(
    bare: Run, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"app_{database.name}"
    execute(
        database,
        f"CREATE ROLE {role} LOGIN; GRANT USAGE, CREATE ON SCHEMA pgmq TO {role};"
        f"GRANT SELECT, INSERT ON pgmq.meta TO {role}",
    )
    try:
        connection = {**connection_to(database), "login": role}
        monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection))
        code, said = bare("create", "orders")
        assert (code, bare("create", "silent", "--no-notify")) == (0, (0, "Queue silent: created\n"))
    finally:
        drop_role(database, role)
    assert "Queue orders: created" in said
    assert "Queue orders: inserts are not announced, so waiters poll every 5 seconds." in said
    assert f"GRANT USAGE ON SCHEMA airflow_pgmq TO {role};" in said


def test_the_doctor_prints_the_fix_and_tells_errors_by_the_exit_code(
    run: Run, failing: Callable[..., str], database: Database
) -> None:
    execute(database, "SELECT pgmq.create('silent')")
    assert "    CREATE OR REPLACE TRIGGER airflow_pgmq_notify" in run("doctor")
    assert run("doctor", "-o", "json")[0]["severity"] == "warning"
    execute(database, "DROP SCHEMA pgmq CASCADE")
    with pytest.raises(SystemExit) as caught:
        run("doctor")
    assert caught.value.code == 1


def test_messages_are_sent_seen_and_left_as_they_are(run: Run, database: Database) -> None:
    run("init", "orders")
    (first,) = run(
        "send", "orders", '{"n": 1}', "--dedup-key", "a", "--headers", '{"team": "x"}', "-o", "json"
    )
    (again,) = run("send", "orders", '{"n": 1}', "--dedup-key", "a", "-o", "json")
    assert (first["status"], again["status"], again["msg_id"]) == ("sent", "duplicate", first["msg_id"])
    (message,) = run("peek", "orders", "-o", "json")
    assert message["message"] == {"n": 1}
    assert message["headers"] == {"team": "x", "dedup_key": "a"}
    assert (message["read_ct"], message["state"]) == (0, "visible")
    rows = execute(database, "SELECT read_ct, vt = enqueued_at OR vt <= now() AS same FROM pgmq.q_orders")
    assert rows == [{"read_ct": 0, "same": True}]
    assert run("peek", "orders", "--dedup-key", "b", "-o", "json") == []
    (queue,) = run("queues", "orders", "-o", "json")
    assert (queue["length"], queue["visible"]) == (1, 1)
    assert run("peek", "orders", "--source", "archive", "-o", "json") == []
    run("send", "orders", "2", "--ttl", "60", "--dedup-key", "short")
    (short,) = run("peek", "orders", "--dedup-key", "short", "-o", "json")
    lives = datetime.fromisoformat(short["expires_at"]) - datetime.fromisoformat(short["vt"])
    assert lives == timedelta(seconds=60)
    assert "1 message cancelled" in run("cancel", "orders", "a", "--yes")
    (message,) = run("peek", "orders", "--source", "archive", "-o", "json")
    assert (message["message"], message["state"]) == ({"n": 1}, "archived")


@pytest.mark.parametrize("name", ["Unicode-里程", "UPPER.case-dash", "100% sure"])
def test_queues_that_others_made_under_other_names(run: Run, database: Database, name: str) -> None:
    for each in (name, f"{name}_dlq"):
        execute(database, "SELECT pgmq.create(%s)", [each])
    assert run("init", name).splitlines() == [f"Queue {name}: inserts are announced"]
    (sent,) = run("send", name, "1", "--dedup-key", "a", "-o", "json")
    (again,) = run("send", name, "1", "--dedup-key", "a", "-o", "json")
    assert (sent["status"], again["status"]) == ("sent", "duplicate")
    assert [each["message"] for each in run("peek", name, "-o", "json")] == [1]
    assert [each["length"] for each in run("queues", name, "-o", "json")] == [1]
    assert "1 message cancelled" in run("cancel", name, "a", "--yes")
    assert "1 message is requeued" in run("requeue", name, "--source", "archive", "--msg-ids", "1", "--yes")
    assert "1 message deleted" in run("purge", name, "--yes")


def test_a_queue_is_paused_and_resumed(run: Run, failing: Callable[..., str], database: Database) -> None:
    run("init", "orders")
    run("send", "orders", "1")
    assert run("queues", "-o", "json")[0]["paused"] is None
    assert run("pause-queue", "orders", "--reason", "a bad deploy") == "Queue orders: paused.\n"
    hook = PgmqHook(connection=connection_of(database))
    assert hook.read("orders") == []

    (paused,) = hook.paused_queues()
    (listed,) = run("queues", "-o", "json")
    assert listed["paused"]["reason"] == "a bad deploy"
    assert listed["paused"]["paused_by"] == getpass.getuser()
    assert "a bad deploy" in run("queues", "-o", "plain")
    again = run("pause-queue", "orders", "--reason", "another")
    assert again == f"Queue orders: {paused}, which stays.\n"
    assert run("resume-queue", "orders") == "Queue orders: resumed.\n"
    assert run("resume-queue", "orders") == "Queue orders: was not paused.\n"
    assert len(hook.read("orders")) == 1
    for each in ("pause-queue", "resume-queue"):
        assert "Did you mean 'orders'?" in failing(each, "oders")
    assert "at most 500 characters" in failing("pause-queue", "orders", "--reason", "x" * 501)


def test_groups_are_listed_and_a_stopped_one_goes_on(
    run: Run, run_with_notes: Callable[..., str], failing: Callable[..., str], database: Database
) -> None:
    run("init", "orders")
    assert "`index-groups` prepares it" in run_with_notes("groups", "orders")
    assert (
        run("index-groups", "orders") == "Queue orders: the index is built, acks are announced from now on.\n"
    )
    assert run("index-groups", "orders") == "Queue orders: the index is there already.\n"
    hook = PgmqHook(connection=connection_of(database))
    for number in range(3):
        run("send", "orders", str(number), "--group", "customer 7")
    for _ in range(2):
        with (
            pytest.raises(ValueError, match="no"),
            hook.consume("orders", ordered=True, on_dead="stop_group", max_reads=1),
        ):
            raise ValueError("no")
        (group,) = run("groups", "orders", "-o", "json")
        assert (group["group"], group["state"], group["reason"]) == (
            "customer 7",
            "stopped",
            "ValueError: no",
        )
        assert "stopped" in run("groups", "orders")
        assert run("resume-group", "orders", "customer 7") == "Queue orders: group customer 7 goes on.\n"
        assert "is not stopped" in run("resume-group", "orders", "customer 7")
    with (
        pytest.raises(ValueError, match="no"),
        hook.consume("orders", ordered=True, on_dead="stop_group", max_reads=1),
    ):
        raise ValueError("no")
    assert "goes on" in run("resume-group", "orders", "customer 7", "--dead-letter", "--yes")
    assert [each.message for each in hook.peek("orders_dlq")] == [0]
    run("send", "orders", "4", "--group", "customer 8")
    assert "There may be more: --limit 2" in run_with_notes("groups", "orders", "--limit", "1")
    for each in (["groups", "oders"], ["resume-group", "oders", "a"], ["index-groups", "oders"]):
        assert "Did you mean 'orders'?" in failing(*each)


def test_a_message_may_come_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init", "orders")
    type_in(monkeypatch, '"text"')
    run("send", "orders", "-")
    assert run("peek", "orders", "-o", "json")[0]["message"] == "text"


def test_tables_show_brackets_of_messages_as_they_are(run: Run) -> None:
    run("init", "orders")
    run("send", "orders", '{"a": "[red]x"}')
    assert '{"a": "[red]x"}' in run("peek", "orders")
    assert yaml.safe_load(run("peek", "orders", "-o", "yaml"))[0]["message"] == {"a": "[red]x"}
    assert "orders" in run("queues", "-o", "plain")


@pytest.mark.parametrize("answer", ["n\n", "", "maybe\n"])
def test_destructive_commands_ask(
    run: Run, failing: Callable[..., str], monkeypatch: pytest.MonkeyPatch, database: Database, answer: str
) -> None:
    run("init", "orders", "orders_dlq")
    run("send", "orders", "1", "--dedup-key", "a")
    for words in (("purge", "orders"), ("cancel", "orders", "a"), ("requeue", "orders")):
        type_in(monkeypatch, answer)
        assert "Nothing was changed" in (said := failing(*words)) or "--yes" in said
    assert execute(database, "SELECT count(*) FROM pgmq.q_orders") == [{"count": 1}]


def test_destructive_commands_do_it_when_told_so(
    run: Run, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    run("init", "orders", "orders_dlq")
    for key in "abc":
        run("send", "orders", "1", "--dedup-key", key)
    assert "1 message cancelled" in run("cancel", "orders", "a", "--yes")
    type_in(monkeypatch, "y\n")
    assert "2 messages deleted" in run("purge", "orders")
    hook = PgmqHook(connection=connection_of(database))
    message = hook.send("orders", 1)
    hook.dead_letter("orders", [message.msg_id], "broken")
    assert "1 message is requeued" in run("requeue", "orders", "--yes")
    assert execute(database, "SELECT count(*) FROM pgmq.q_orders") == [{"count": 1}]


def test_the_list_of_jobs_says_why_a_tick_has_paused_one(
    run: Run, run_with_notes: Callable[..., str], database: Database
) -> None:
    client = client_of(database.dsn)
    client.run(lambda: queues.create("mail"))
    client.run(lambda: queues.create("mail_dlq"))
    ticking = tick(job(pause_on_dead_letter=True), look_ahead=0)
    ticking.run(client)
    go_back(database, hours=1)
    ticking.run(client)
    message = read(client)[0]
    client.run(lambda: consuming.dead_letter("mail", "mail_dlq", [message], "bad"))
    ticking.run(client)
    why = f"the message of slot {message.headers['slot']} became a dead letter in queue mail_dlq"
    assert f"Job shop/job was paused by a tick: {why}." in run_with_notes("jobs", "list")
    (found,) = run("jobs", "list", "-o", "json")
    assert (found["paused"], found["paused_for"]) == (True, why)


def test_jobs_are_listed_paused_resumed_and_run(run: Run, database: Database) -> None:
    run("init", "mail")
    tick(job()).run(client_of(database.dsn))
    (found,) = run("jobs", "list", "-o", "json")
    assert (found["namespace"], found["name"], found["paused"]) == ("shop", "job", False)
    assert "10 waiting messages were taken back" in run("pause", "shop", "job")
    assert run("jobs", "list", "shop", "-o", "json")[0]["paused"] is True
    run("resume", "shop", "job")
    assert run("run-now", "shop", "job", "-o", "json")[0]["status"] == "sent"
    assert execute(database, "SELECT count(*) FROM pgmq.q_mail") == [{"count": 1}]
    assert "0 * * * *" in run("jobs", "list")


def test_live_jobs_are_added_changed_and_removed(
    run: Run, failing: Callable[..., str], run_with_notes: Callable[..., str], database: Database
) -> None:
    run("init", "mail", "other")
    added = run(
        *("jobs", "add", "tenants", "acme", "--schedule", "0 6 * * *", "--queue-name", "mail"),
        *("--timezone", "Europe/Berlin", "--message", '{"n": 1}', "--set", "ttl=PT1H"),
    )
    assert "the next tick of tenants sends its slots" in added
    assert "T06:00:00+0" in added
    (row,) = run("jobs", "list", "-o", "json")
    assert (row["live"], row["version"], row["schedule"]) == (True, 1, "0 6 * * *")
    assert "No Dag ticks namespace tenants" in run_with_notes("jobs", "list")

    assert "is at version 2" in run("jobs", "edit", "tenants", "acme", "--schedule", "0 7 * * *")
    assert "is at version 3" in run("jobs", "edit", "tenants", "acme", "--set", "overlap=skip")
    newest, *_ = run("jobs", "versions", "tenants", "acme", "-o", "json")
    kept = ("cron", "ttl", "overlap", "message", "timezone")
    assert [newest["definition"][name] for name in kept] == [
        *("0 7 * * *", 3600, "skip"),
        *({"n": 1}, "Europe/Berlin"),
    ]
    edit = ("jobs", "edit", "tenants", "acme")
    assert "is at version 3; when you looked it was version 1" in failing(
        *edit, "--queue-name", "other", "--expected-version", "1"
    )
    assert "is at version 4" in run(*edit, "--restore", "1")
    exported = run("jobs", "export", "tenants")
    assert yaml.safe_load(exported)[0]["schedule"] == "0 6 * * *"
    assert "PeriodicJob(" in run("jobs", "export", "tenants", "--live", "--format", "python")

    assert "is deleted" in run("jobs", "remove", "tenants", "acme", "--yes")
    assert "--restore 4 makes it again" in failing(*edit, "--queue-name", "other")
    assert "is at version 6" in run(*edit, "--restore", "4", "--queue-name", "other")


def test_a_wrong_live_job_is_told(run: Run, failing: Callable[..., str], database: Database) -> None:
    run("init", "mail")
    add = ("jobs", "add", "tenants", "acme", "--queue-name", "mail")
    assert "it needs a schedule" in failing(*add) or "schedule" in failing(*add)
    assert "--message must be JSON" in failing(*add, "--schedule", "@daily", "--message", "{a}")
    assert "--set needs FIELD=VALUE" in failing(*add, "--schedule", "@daily", "--set", "ttl")
    assert "overlap" in failing(*add, "--schedule", "@daily", "--set", "overlpa=skip")
    assert "Queue 'gone' does not exist" in failing(
        "jobs", "add", "tenants", "acme", "--queue-name", "gone", "--schedule", "@daily"
    )
    tick(job()).run(client_of(database.dsn))
    assert "declared in the Dag" in failing(
        "jobs", "add", "shop", "job", "--queue-name", "mail", "--schedule", "@daily"
    )
    for words in (("edit", "shop", "job", "--queue-name", "mail"), ("versions", "shop", "job")):
        assert "declared in the Dag" in failing("jobs", *words)
    assert "No periodic job" in failing("jobs", "edit", "shop", "gone", "--queue-name", "mail")
    assert "Nothing to change" in failing_edit(run, failing)


def failing_edit(run: Run, failing: Callable[..., str]) -> str:
    run("jobs", "add", "shop", "live", "--queue-name", "mail", "--schedule", "@daily")
    return failing("jobs", "edit", "shop", "live")


def test_a_slot_is_left_out(run: Run, failing: Callable[..., str], database: Database) -> None:
    run("init", "mail")
    tick(job()).run(client_of(database.dsn))
    slot = run("jobs", "preview", "shop", "job", "-o", "json")[1]["slot"]
    assert "of job shop/job is left out" in run("skip", "shop", "job", slot)
    assert execute(database, "SELECT count(*) FROM pgmq.q_mail") == [{"count": 9}]
    assert "is not a slot of job" in failing("skip", "shop", "job", "2026-01-01T00:00:01Z")
    assert "is not an ISO 8601 instant" in failing("skip", "shop", "job", "tomorrow")


CRONTAB = """\
MAILTO=ops@example.com
30 2 * * 1-5 /srv/backup --all
@reboot /srv/warm-up
0 6 * * * docker ps --format '{{.Names}}'
"""


def test_jobs_are_imported(
    run: Run,
    failing: Callable[..., str],
    run_with_notes: Callable[..., str],
    database: Database,
    tmp_path: Path,
) -> None:
    run("init", "imported", "mail")
    file = tmp_path / "crontab"
    file.write_text(CRONTAB)
    given = ("jobs", "import", "--from", "crontab", str(file))
    shown = run(*given, "--timezone", "Europe/Berlin")
    assert [(each["name"], each["timezone"]) for each in yaml.safe_load(shown)] == [
        ("srv-backup-all", "Europe/Berlin"),
        ("docker-ps-format-.Names", "Europe/Berlin"),
    ]
    assert "PeriodicJob(" in run(*given, "--format", "python")
    said = run_with_notes(*given)
    assert "Check line 1: MAILTO=ops@example.com is left out" in said
    assert "Refused line 3 (@reboot /srv/warm-up): @reboot is no time" in said
    assert "2 jobs, 1 refused. Nothing was changed: --yes puts them" in said
    assert run("jobs", "list", "-o", "json") == []

    assert "2 live jobs are now in namespace imported" in run(*given, "--yes")
    found = run("jobs", "list", "imported", "-o", "json")
    assert [(each["name"], each["live"], each["queue_name"]) for each in found] == [
        ("docker-ps-format-.Names", True, "imported"),
        ("srv-backup-all", True, "imported"),
    ]
    run(*given, "--yes")
    assert [each["version"] for each in run("jobs", "list", "imported", "-o", "json")] == [1, 1]
    # What somebody has changed since is not lost.
    run("jobs", "edit", "imported", "srv-backup-all", "--queue-name", "mail")
    assert "Refused srv-backup-all: a live job has this name, with another definition" in run_with_notes(
        *given, "--yes"
    )
    assert run("jobs", "list", "imported", "-o", "json")[1]["queue_name"] == "mail"
    own = tmp_path / "jobs.yaml"
    own.write_text(run("jobs", "export", "imported"))
    assert "2 live jobs" in run("jobs", "import", "--from", "yaml", str(own), "--namespace", "new", "--yes")
    to_gone = ("--namespace", "x", "--queue-name", "gone", "--yes")
    assert "Queue 'gone' does not exist" in failing(*given, *to_gone)
    file.write_text("@reboot /srv/warm-up\n")
    assert "0 jobs, 1 refused: nothing was changed" in failing(*given, "--yes")


def test_jobs_are_imported_from_tables(
    run: Run, failing: Callable[..., str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("jobs", "import", "--from", "pg_cron")
    assert "There is no table cron.job" in failing(*given)
    execute(database, "CREATE SCHEMA cron")
    execute(
        database,
        "CREATE TABLE cron.job AS SELECT 1::bigint AS jobid, '0 3 * * *' AS schedule, 'VACUUM' AS command,"
        " 'shop' AS database, 'clerk' AS username, true AS active, 'nightly' AS jobname",
    )
    execute(database, f"ALTER DATABASE {database.name} SET cron.timezone = 'Europe/Berlin'")
    dsn = f"postgresql:///{database.name}?host={database.server.directory}&user=postgres"
    for source in ((), (dsn,), (f"host={database.server.directory} dbname={database.name} user=postgres",)):
        (found,) = yaml.safe_load(run(*given, *source))
        assert (found["name"], found["timezone"], found["message"]["sql"]) == (
            *("nightly", "Europe/Berlin"),
            "VACUUM",
        )
    (found,) = yaml.safe_load(run(*given, "--timezone", "Asia/Tokyo"))
    assert found["timezone"] == "Asia/Tokyo"
    assert "no tables of django-celery-beat" in failing("jobs", "import", "--from", "django-celery-beat", dsn)
    assert "Others can read the password" in failing(*given, f"{dsn}&password=secret")
    wrong = failing(*given, "postgresql://clerk:se%cret@db/shop")
    assert "This is no DSN of Postgres" in wrong
    assert "cret" not in wrong


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from", "crontab"], "Name the file with the jobs of crontab"),
        (["--from", "crontab", "/no/such/file"], "/no/such/file cannot be read"),
        (["--from", "yaml", "/dev/null", "--system"], "--system is for crontab"),
        (["--from", "yaml", "/dev/null"], "must be a list of jobs"),
    ],
)
def test_a_wrong_import_is_told(failing: Callable[..., str], words: list[str], says: str) -> None:
    assert says in failing("jobs", "import", *words)


def test_slots_are_previewed(run: Run, failing: Callable[..., str], database: Database) -> None:
    run("init", "mail")
    after = ("--after", "2026-03-28T12:00:00Z", "--limit", "2", "-o", "json")
    found = run("jobs", "preview", "--schedule", "30 2 * * *", "--timezone", "Europe/Berlin", *after)
    assert [row["slot"] for row in found] == ["2026-03-29T01:00:00+00:00", "2026-03-30T00:30:00+00:00"]
    assert [row["local"] for row in found] == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    weekly = '{"every": "P7D", "anchor": "2026-03-02T09:00:00"}'
    (first, _) = run("jobs", "preview", "--set", f"schedule={weekly}", *after)
    assert first["slot"] == "2026-03-30T09:00:00+00:00"
    tick(job()).run(client_of(database.dsn))
    assert run("jobs", "preview", "shop", "job", *after)[0]["slot"] == "2026-03-28T13:00:00+00:00"
    assert "Give a namespace and a name" in failing("jobs", "preview", "shop")


def test_what_becomes_of_slots_is_said_by_hand(
    run: Run, failing: Callable[..., str], database: Database
) -> None:
    run("init", "mail")
    tick(job()).run(client_of(database.dsn))
    run("pause", "shop", "job")
    run("resume", "shop", "job", "--catch-up", "none")
    tick(job()).run(client_of(database.dsn))
    assert (
        run("run-now", "shop", "job", "--slot", "2026-06-01T06:00:00Z", "-o", "json")[0]["status"] == "sent"
    )
    assert "is not a slot of job shop/job" in failing(
        "run-now", "shop", "job", "--slot", "2026-06-01T06:30:00Z"
    )
    for text in ("yesterday", "2026-06-01T06:00:00"):
        assert "is not an ISO 8601 instant" in failing("run-now", "shop", "job", "--slot", text)
    assert "1 message deleted" in run("purge", "mail", "--yes")
    assert "10 messages deleted" in run("purge", "mail", "--yes", "--with-slots")


def test_calendars_are_put_shown_and_deleted(
    run: Run, failing: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: Database
) -> None:
    run("init", "mail")
    file = tmp_path / "bank.txt"
    file.write_text(
        "\ufeff# Bavaria\n2026-12-25\tChristmas\n\n2026-01-01\n# of the state\n2026-01-06, Epiphany\n"
    )
    assert "Calendar bank has 3 days; 0 waiting messages were taken back" in run(
        "calendars", "put", "bank", str(file)
    )
    tick(job(exclude=[Calendar("bank")])).run(client_of(database.dsn))
    (found,) = run("calendars", "list", "-o", "json")
    assert (found["name"], found["days"], found["jobs"]) == ("bank", 3, 1)
    assert (found["first"], found["last"]) == ("2026-01-01", "2026-12-25")
    assert run("calendars", "show", "bank", "-o", "json") == [
        {"day": "2026-01-01", "reason": "day off"},
        {"day": "2026-01-06", "reason": "Epiphany"},
        {"day": "2026-12-25", "reason": "Christmas"},
    ]
    type_in(monkeypatch, "2026-12-24\n")
    assert "has 1 day; 10 waiting messages were taken back" in run("calendars", "put", "bank", "-")
    type_in(monkeypatch, "n\n")
    assert "Nothing was changed" in failing("calendars", "delete", "bank")
    run("calendars", "delete", "bank", "--yes")
    assert run("calendars", "list", "-o", "json") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-12-25\nChristmas\n", "Line 2 does not begin with a date such as 2026-12-25: 'Christmas'"),
        ("2026-13-01", "Line 1 does not begin with a date"),
    ],
)
def test_mistakes_in_calendars(
    run: Run, failing: Callable[..., str], monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    run("init")
    type_in(monkeypatch, text)
    assert said in failing("calendars", "put", "bank", "-")
    assert "cannot be read" in failing("calendars", "put", "bank", "/no/such/file")
    put = command(f"calendars put --conn-id {CONN_ID} bank FILE")
    assert f"`{put}`" in failing("calendars", "show", "bank")


def test_maintenance_samples_archives_and_prunes(run: Run, database: Database) -> None:
    run("init", "orders")
    run("send", "orders", "1", "--headers", '{"expires_at": "2020-01-01T00:00:00Z"}')
    (done,) = run("maintain", "-o", "json")
    assert done == {"sampled": 1, "expired": 1, "removed": 0, "skipped": {}, "overdue": 0}
    (done,) = run("maintain", "--archive-days", "0", "-o", "json")
    assert done["removed"] == 1
    assert execute(database, "SELECT count(*) FROM airflow_pgmq.queue_samples") == [{"count": 1}]


def test_health_is_an_exit_code(bare: Run, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection_to(database)))
    bare("create", "mail")
    client = client_of(database.dsn)
    code, said = bare("health", "-o", "json")
    assert (code, json.loads(said)) == (
        0,
        [{"healthy": True, "overdue_count": 0, "overdue": [], "silent": []}],
    )

    tick(job(expect_within=timedelta(microseconds=1)), look_ahead=0).run(client)
    assert bare("health") == (0, "No slot is overdue, and all namespaces are ticked.\n")
    execute(database, "UPDATE airflow_pgmq.namespaces SET ticked_at = ticked_at - interval '301 seconds'")
    code, said = bare("health")
    assert (code, said.startswith("Namespace shop was not ticked since ")) == (1, True)
    assert bare("health", "--max-age", "600")[0] == 0

    execute(
        database,
        "UPDATE airflow_pgmq.periodic_jobs SET expected_until = 'epoch', watermark = now() - interval '3 h',"
        " next_slot = now() - interval '2 h'",
    )
    code, said = bare("health", "--max-age", "600", "-o", "json")
    (found,) = json.loads(said)
    assert (code, found["healthy"], found["silent"]) == (1, False, [])
    assert [(each["name"], each["state"]) for each in found["overdue"]] == [("job", "not_sent")]
    # To look is not to be told.
    assert maintenance.maintain(client).overdue == 1
    assert bare("health", "--max-age", "600")[1].startswith("1 slot is overdue; the oldest: slot ")

    # A paused job has nothing to do, and neither has its namespace.
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET paused = true")
    assert bare("health")[0] == 0


def test_health_that_cannot_be_known_has_a_code_of_its_own(
    bare: Run, database: Database, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = bare("health", "--conn-id", "nowhere")
    assert (code, said.count("airflow connections add nowhere")) == (2, 1)
    for wrong, part in (
        ({**connection_to(database), "host": "/nowhere"}, "No such file"),
        (connection_to(empty_database), "The schema airflow_pgmq is missing"),
    ):
        monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(wrong))
        code, said = bare("health", "-o", "json")
        (found,) = json.loads(said.splitlines()[0])
        assert (code, found["healthy"]) == (2, False)
        assert part in found["error"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["maintain", "--archive-days", "-1"], "from 0 to 36500"),
        (["maintain", "--archive-days", "nan"], "from 0 to 36500"),
        (["maintain", "--archive-days", "1e12"], "from 0 to 36500"),
        (["health", "--max-age", "0"], "--max-age must be a number of seconds"),
        (["health", "--max-age", "nan"], "--max-age must be a number of seconds"),
        (["send", "orders", "1", "--headers", "5"], "must be a JSON object"),
        (["send", "orders", "1", "--headers", '[{"a": 1}]'], "must be a JSON object"),
        (["send", "orders", "text"], "double quotes"),
        (["send", "nowhere", "1"], f"{command(f'init --conn-id {CONN_ID} nowhere')}`"),
        (["send", "oders", "1"], "Did you mean 'orders'?"),
        (["peek", "order"], "Did you mean 'orders'?"),
        (["queues", "Orders"], "Did you mean 'orders'?"),
        (["purge", "oders", "--yes"], "Did you mean 'orders'?"),
        (["drop", "oders", "--yes"], "Did you mean 'orders'?"),
        (["send", "orders", "1", "--delay", "soon"], "ISO 8601"),
        (["send", "orders", "1", "--ttl", "soon"], "A ttl is seconds or a timedelta, not 'soon'"),
        (["send", "orders", "1", "--ttl", "-5"], "The ttl of -5 s is not more than 0 s"),
        (
            ["send", "orders", "1", "--ttl", "5", "--headers", '{"expires_at": "x"}'],
            "either ttl= or the header",
        ),
        (["peek", "nowhere"], "nowhere"),
        (["peek", "orders", "--limit", "0"], "limit must be at least 1, not 0."),
        (["queues", "nowhere"], "nowhere"),
        (["pause", "shop", "job"], "No periodic job 'job'"),
        (["requeue", "orders", "--source", "archive", "--yes"], "say which"),
        (
            ["requeue", "orders", "--source", "archive", "--dead-letter-queue", "orders", "--yes"],
            "dead_letter_queue belongs to source='dead_letters'",
        ),
        (["requeue", "orders", "--yes"], "Queue orders has no dead letters: there is no queue 'orders_dlq'."),
        (["requeue", "oders", "--yes"], "Did you mean 'orders'?"),
        (["requeue", "orders", "--dead-letter-queue", "order", "--yes"], "Did you mean 'orders'?"),
        (["read", "oders"], "Did you mean 'orders'?"),
        (["read", "orders", "--condition", "[1]"], "--condition must be a JSON object"),
        (["read", "orders", "--headers-condition", "{"], "--headers-condition is not JSON"),
        (["read", "orders", "--visibility-timeout", "0.5"], "A visibility timeout is whole seconds"),
        (["read", "orders", "--max-messages", "0"], "--max-messages must be at least 1"),
        (["archive", "oders", "--msg-ids", "1"], "Did you mean 'orders'?"),
        (["delete", "oders", "--msg-ids", "1", "--yes"], "Did you mean 'orders'?"),
        (["bind", "a.*", "oders"], "Did you mean 'orders'?"),
        (["bind", "a..b", "orders"], "dots"),
        (["unbind", "a.*", "oders"], "Did you mean 'orders'?"),
        (["topics", "oders"], "Did you mean 'orders'?"),
        (["init", "good", "Bad-Name"], "cannot be given to a new queue"),
        (["create", "good", "Bad-Name"], "cannot be given to a new queue"),
        (["init", "Bad-Name"], "cannot be given to a new queue"),
        (["send", "orders", '{"a": 1, "a": 2}'], "the key 'a' twice"),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(
    run: Run, failing: Callable[..., str], words: list[str], says: str
) -> None:
    run("init", "orders")
    said = failing(*words)
    assert says in said
    assert len(said.splitlines()) == 1


def test_a_bad_name_keeps_the_others_from_being_made(failing: Callable[..., str], database: Database) -> None:
    for name in ("init", "create"):
        assert "'Bad-Name'" in failing(name, "good", "Bad-Name")
    assert execute(database, "SELECT queue_name FROM pgmq.meta") == []


def test_queues_are_created_and_dropped(
    run: Run, failing: Callable[..., str], monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    assert run("create", "orders", "mail").splitlines() == ["Queue orders: created", "Queue mail: created"]
    assert run("create", "orders").splitlines() == ["Everything is there already."]
    assert run("doctor", "-o", "json") == []
    assert "Queue fast: created" in run("create", "fast", "--unlogged")
    kinds = "SELECT relpersistence FROM pg_class WHERE oid = 'pgmq.q_fast'::regclass"
    assert execute(database, kinds) == [{"relpersistence": "u"}]
    type_in(monkeypatch, "n\n")
    assert "Nothing was changed" in failing("drop", "orders")
    run("send", "mail", "1")
    assert "Queue mail: dropped, with 1 message and its archive" in run("drop", "mail", "--yes")
    assert [row["queue_name"] for row in run("queues", "-o", "json")] == ["fast", "orders"]


def test_no_jobs_are_told_with_how_they_come(bare: Run, pgmq_connection: str) -> None:
    code, said = bare("jobs", "list", "-o", "json")
    assert (code, said.splitlines()[0]) == (0, "[]")
    assert "The first run of a PgmqPeriodicOperator registers its jobs" in said


def test_a_role_that_may_not_install_is_told_who_should(
    bare: Run, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"app_{empty_database.name}"
    execute(empty_database, f"CREATE ROLE {role} LOGIN")
    try:
        connection = {**connection_to(empty_database), "login": role}
        monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection))
        code, said = bare("init", "orders")
    finally:
        execute(empty_database, f"DROP ROLE {role}")
    assert code == 1
    assert "may not install" in said
    assert "permission denied for database" in said
    assert f"Let a role that may create schemas run `{command('init')}` once" in said
    assert said.count("/production/permissions/") == 1


@pytest.mark.parametrize("words", [("queues",), ("init", "orders"), ("doctor",)])
def test_without_a_connection_every_command_says_how_to_make_one(bare: Run, words: tuple[str, ...]) -> None:
    code, said = bare(*words)
    assert code == 1
    for way in (
        "airflow connections add pgmq_default --conn-uri 'pgmq://USER:PASSWORD@HOST:5432/DATABASE'",
        "Admin → Connections",
        "AIRFLOW_CONN_PGMQ_DEFAULT",
    ):
        assert way in said
    # The command line is what sees them all.
    assert "plain Python" not in said


def test_the_doctors_finding_of_no_connection_is_json_too(bare: Run) -> None:
    code, said = bare("doctor", "--conn-id", "shop", "-o", "json")
    (found,) = json.loads(said)
    assert (code, found["code"], found["severity"]) == (1, "unknown_connection", "error")
    assert "airflow connections add shop " in found["fix"]


def test_a_connection_of_another_type_is_named_with_what_to_do(
    bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", "mysql://u:secret@127.0.0.1/q")
    code, said = bare("doctor")
    assert code == 1
    assert "type 'mysql'" in said
    assert "Give it the type 'pgmq'" in said
    assert "secret" not in said


def test_a_connection_of_the_environment_loads_neither_airflows_models_nor_its_postgres_hook(
    database: Database,
) -> None:
    """They take longer than the command."""
    PgmqHook(connection=connection_of(database)).create_queue("orders")
    code = """
import sys
from airflow_pgmq.__main__ import main
sys.argv = ["airflow_pgmq", "queues", "-o", "json"]
main()
print(sorted(sys.modules), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "AIRFLOW_CONN_PGMQ_DEFAULT": json.dumps(connection_to(database))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [queue["queue_name"] for queue in json.loads(done.stdout)] == ["orders"]
    assert "'airflow_pgmq.hooks.connection'" in done.stderr
    assert "'airflow.providers.postgres.hooks.postgres'" not in done.stderr
    # Airflow 3.1 loads its models for `airflow version`, too.
    if command("").startswith("airflow"):
        assert "'airflow.models.taskinstance'" not in done.stderr


def test_a_secrets_backend_of_tasks_only_is_not_asked(
    bare: Run, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's own commands do not ask it either."""

    def ask(conn_id: str) -> None:
        raise AssertionError(conn_id)

    monkeypatch.setattr("airflow.sdk.Connection.get", ask)
    monkeypatch.setenv("AIRFLOW__WORKERS__SECRETS_BACKEND", "of.tasks.Backend")
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection_to(database)))
    assert bare("queues")[0] == 0


@pytest.mark.parametrize("extra", ["[]", "null", '"text"', '{"sslmode"'])
def test_a_connection_whose_extra_is_no_json_object_is_refused(
    bare: Run, database: Database, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    """Without it, an option such as sslmode would be lost in silence."""
    connection = {**connection_to(database), "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection))
    code, said = bare("queues")
    assert (code, said.count("\n")) == (1, 1)
    # Airflow 3.1 looks it up by its model, which refuses it, too.
    is_new = command("").startswith("airflow")
    assert ("'pgmq_default' is not a JSON object" if is_new else "no connection 'pgmq_default'") in said


@pytest.mark.parametrize("words", [("queues",), ("doctor",), ("send", "mail", "1")])
def test_an_option_that_is_not_allowed_is_one_line(
    bare: Run, database: Database, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection_to(database)))
    monkeypatch.setenv("AIRFLOW__PGMQ__LOCK_TIMEOUT", "-1")
    code, said = bare(*words)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("[pgmq] lock_timeout is -1.0: give seconds from")


def test_a_database_without_pgmq_and_without_its_sql_names_the_extra(
    bare: Run, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection_to(empty_database)))
    monkeypatch.setattr("airflow_pgmq.db.client.bundled_pgmq", lambda: None)
    code, said = bare("init", "orders")
    assert code == 1
    assert "pip install 'airflow-provider-pgmq[sql]'" in said
    assert f"`{command('init')}` again" in said
    code, said = bare("queues")
    assert (code, f"run `{command('init')}`" in said) == (1, True)
    code, said = bare("doctor")
    assert (code, f"\n    {command('init')}\n" in said) == (1, True)


def test_a_connection_that_is_not_there_or_leads_nowhere(
    parser: Any,
    airflow_metadata: LocalPostgres,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CLOSED", "pgmq://nobody:secret@127.0.0.1:1/q")
    for conn_id, says in (("nope", "nope"), ("closed", "Correct host and port")):
        args = parser.parse_args(["pgmq", "queues", "--conn-id", conn_id])
        with pytest.raises(SystemExit) as caught:
            args.func(args)
        said = capsys.readouterr().err
        assert caught.value.code == 1
        assert says in said
        assert "secret" not in said


def test_what_changes_is_in_the_audit_log_and_messages_are_not(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    monkeypatch.setattr(sys, "argv", ["airflow", "pgmq", "purge", "orders"])
    run("init", "orders")
    run("send", "orders", '"very private"')
    run("purge", "orders", "--yes")
    run("pause-queue", "orders", "--reason", "why")
    with create_session() as session:
        for event in ("cli_purge", "cli_pause_queue"):
            assert list(session.scalars(select(Log).where(Log.event == event)))
        events = list(session.scalars(select(Log).where(Log.event == "cli_purge")))
        assert "orders" in str(events[-1].extra)
        assert not any("very private" in str(each.extra) for each in session.scalars(select(Log)))


def test_the_page_lists_every_command_and_every_finding() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()
    commands, findings = page.split("## What the doctor finds")
    listed = set(re.findall(r"`([a-z-]+)[^`]*`", "\n".join(re.findall(r"^\| (`.+?) \|", commands, re.M))))
    assert {command.name for group in get_commands() for command in group.subcommands} <= listed
    core = Path(airflow_pgmq.core.__file__).parent
    code = "".join(module.read_text() for module in core.glob("*.py"))
    found = {*re.findall(r'Problem\(\s*"(\w+)"', code), *get_args(problems.Failure)} - PAGES_OWN
    rows = re.findall(r"^\| (`.+?) \|", findings, re.M)
    assert set(re.findall(r"`(\w+)`", "\n".join(rows))) == found


def test_peek_hides_what_the_page_hides_unless_asked(run: Run, database: Database) -> None:
    run("init", "orders", "orders_dlq")
    hook = PgmqHook(connection=connection_of(database))
    hook.send("orders", {"a": [{"Password": "hunter2"}]}, headers={"token": "t0ken"})
    hook.dead_letter("orders", hook.read("orders"), "no hunter2")

    for output in ("json", "table"):
        said = str(run("peek", "orders_dlq", "-o", output))
        assert "hunter2" not in said
        assert "t0ken" not in said
        assert "hunter2" in str(run("peek", "orders_dlq", "--unredacted", "-o", output))
