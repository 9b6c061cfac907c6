"""`docs/production/permissions.md` is right: its grants are enough, and none of them can be left out."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.delays import AT_ONCE
from airflow_pgmq.db.statements import (
    Statement,
    consuming,
    doctor,
    fifo,
    overdue,
    pausing,
    periodic,
    queues,
    reading,
    scalar,
    schema,
    sending,
    throttles,
    watching,
)
from airflow_pgmq.db.statements.calendars import found as calendars_found
from airflow_pgmq.db.statements.topics import bind, bind_if_there, bindings, routes, unbind
from airflow_pgmq.db.statements.watching import Ask
from airflow_pgmq.errors import NotInstalled, PermissionDenied
from airflow_pgmq.jobs import Calendar
from airflow_pgmq.services import (
    calendars,
    health,
    job_control,
    live_jobs,
    maintenance,
    overview,
    sampling,
    topics,
)
from airflow_pgmq.services.consuming import Consumer
from airflow_pgmq.services.sending import send as send_prepared
from tests.fixtures.factories import client_of, execute, go_back, job, send, tick
from tests.fixtures.roles import drop_role

PAGE = (Path(__file__).parents[2] / "docs" / "production" / "permissions.md").read_text()
SECTIONS = {
    title: re.sub(r" *--.*", "", block).strip().splitlines()
    for title, block in re.findall(r"^## (.+?)\n[^#]*?```sql\n(.+?)```", PAGE, re.M | re.S)
}
GRANT = re.compile(r"GRANT (?P<privileges>[A-Z, ]+) ON (?P<what>.+) TO app;")


def lose(database, lost):
    for table in ("queues", "queue_marks"):
        execute(database, f"UPDATE airflow_pgmq.{table} SET {lost}")


def do_send(client):
    key = str(datetime.now(timezone.utc))
    send_prepared(client, "mail", prepare([1]))
    send(client, key)
    send(client, key, on_duplicate="replace")
    # As if others had restored the queue, and made it again.
    for lost in ("relation = 0", "relation = 0, created_at = 'epoch'"):
        lose(client.database, lost)
        send(client, key + lost)
    send(client, key + "queued", scope="queued")
    # Enough of them for the ledger to be pruned, which a sender need not be allowed to do.
    send(client, *(f"{key} {n}" for n in range(100)))
    topics.send(client, "a", prepare([1]))
    topics.send(client, "a", prepare([1], dedup_keys=[key + "topic"]))


def do_bind(client):
    client.run(lambda: bind_if_there("b", "mail"))
    client.run(lambda: routes("b"))
    client.run(lambda: unbind("b", "mail"))


def do_throttle(client):
    client_of(client.owner_dsn).run(lambda: throttles.enable("mail", 0))
    client.run(lambda: throttles.update("mail", 1))
    client.run(throttles.throttles)


def do_read(client):
    keys = [f"{datetime.now(timezone.utc)} {n}" for n in range(5)]
    send(client_of(client.owner_dsn), *keys)
    client.run(lambda: sending.cancel("mail", keys[:1]))
    first, second, third, *_ = client.run(lambda: reading.read("mail", max_messages=4, visibility_timeout=9))
    client.run(lambda: reading.archive("mail", first))
    client.run(lambda: reading.delete("mail", second))
    client.run(lambda: reading.set_vt("mail", third, AT_ONCE))
    client.run(lambda: reading.pop("mail", 1))
    for grouped in (fifo.read_grouped, fifo.read_grouped_rr, fifo.read_grouped_head):
        client.run(lambda grouped=grouped: grouped("mail", max_messages=1, visibility_timeout=0))
    overview.peek(client, overview.Search(queue_name="mail"))
    client.run(lambda: reading.visible("mail", limit=1, condition=None, headers_condition=None))
    client.run(lambda: reading.read("mail", max_messages=9, visibility_timeout=1, headers_condition={}))


def do_wait(client):
    client.run(lambda: watching.look({Ask.of("mail", {"a": 1}): 1}))
    client.run(lambda: watching.listen("pgmq.q_mail.INSERT"))


def do_consume(client):
    """Every outcome, in and out of the transaction of the work."""
    for transactional in (False, True):
        for ack in ("archive", "delete"):
            expired = {"expires_at": "2020-01-01T00:00:00Z"}
            headers = [None, None, None, expired]
            send_prepared(client_of(client.owner_dsn), "mail", prepare([1, 2, 3, 4], headers=headers))
            policy = Policy(queue_name="mail", batch_size=9, transactional=transactional, ack=ack)
            Consumer(client, policy, together=True).drain(
                lambda messages, conn: ["ack", "retry", "dead"] if len(messages) == 3 else None
            )


def do_see_pauses(client):
    """Read a paused queue with a right of its own to read, which is not what is looked at here."""
    owner = client_of(client.owner_dsn)
    name = client.run(lambda: Statement("me", script="SELECT current_user AS me", decode=scalar("me")))
    for right in ("USAGE ON SCHEMA pgmq", "SELECT, UPDATE ON pgmq.q_mail"):
        execute(client.database, f"GRANT {right} TO {name}")
    send_prepared(owner, "mail", prepare([1]))
    owner.run(lambda: pausing.pause("mail", "", "ada"))
    if client.run(lambda: reading.read("mail", max_messages=1, visibility_timeout=0)):
        raise PermissionDenied("permission denied")


def do_pause(client):
    client.ensure_schema()
    client.run(lambda: pausing.pause("mail", "", "ada"))
    client.run(pausing.paused)
    client.run(lambda: pausing.resume("mail"))


def do_requeue(client):
    owner = client_of(client.owner_dsn)
    owner.run(lambda: queues.purge("mail_dlq", with_slots=True))
    send_prepared(owner, "mail", prepare([1, 2]))
    dead, archived, *_ = owner.run(lambda: reading.read("mail", max_messages=9, visibility_timeout=9))
    owner.run(lambda: consuming.dead_letter("mail", "mail_dlq", [dead], "bad"))
    owner.run(lambda: reading.archive("mail", archived))
    for source in ("dead_letters", "archive"):
        moved = client.run(
            lambda source=source: consuming.requeue(
                "mail",
                source=source,
                msg_ids=[archived.msg_id] if source == "archive" else None,
            )
        )
        assert len(moved) == 1


def do_periodic(client):
    lose(client.database, "relation = 0, created_at = 'epoch'")
    tick(job(), job("other")).run(client)
    do_expect(client, lambda: tick(job(), job("other"), job("fast", **EXPECTING)).run(client).failed)
    put_calendar(client)
    tick(job(message="new", exclude=[Calendar("bank")])).run(client)
    now = datetime.now(timezone.utc)
    for _ in range(2):
        tick(job()).backfill(client, now - timedelta(hours=1), now)
    client.run(lambda: job_control.pause("shop", "job"))
    client.run(lambda: job_control.resume("shop", "job"))
    client.run(lambda: job_control.run_now("shop", "job"))
    client.run(lambda: job_control.remove("shop"))
    # Of a namespace that is not known, queue and archive are asked.
    tick(job()).backfill(client, now - timedelta(hours=1), now)


EXPECTING = {"cron": "* * * * * *", "expect_within": timedelta(microseconds=1)}


def do_expect(client, look, **fields):
    """Look for overdue slots of a job whose messages are acked without a trace."""
    owner = client_of(client.owner_dsn)
    tick(job(**fields), job("other"), job("fast", **EXPECTING), look_ahead=0).run(owner)
    execute(client.database, "UPDATE airflow_pgmq.periodic_jobs SET expected_until = now() - interval '1 h'")
    execute(
        client.database,
        "INSERT INTO airflow_pgmq.slots SELECT 'shop', 'fast', date_trunc('second', now() - interval '9 m'),"
        " 'mail', 0, 7, now(), now(), now() + interval '1 d' ON CONFLICT DO NOTHING",
    )
    if look():
        raise PermissionDenied("permission denied")


def do_see_overdue(client):
    def look():
        client.run(
            lambda: Statement("view", script="SELECT namespace, name FROM airflow_pgmq.overdue", decode=list)
        )
        client.run(health.examine)
        return [each for each in client.run(lambda: overdue.overdue(None)) if each.state == "unknown"]

    do_expect(client, look)


def put_calendar(client):
    client_of(client.owner_dsn).run(lambda: calendars.put("bank", []))


def do_calendars(client):
    put_calendar(client)
    tick(job(exclude=[Calendar("bank")])).run(client_of(client.owner_dsn))
    client.ensure_schema()
    client.run(lambda: calendars.put("bank", [date(2099, 1, 1)]))
    client.run(calendars_found)
    client.run(lambda: calendars.delete("bank"))


def do_live_jobs(client):
    owner = client_of(client.owner_dsn)
    owner.run(lambda: calendars.put("bank", []))
    # Of a namespace that was never ticked, queue and archive are asked.
    for name in ("job", "never ticked"):
        client.ensure_schema()
        client.run(lambda: live_jobs.put("shop", [job()], by="ada"))
        if name == "job":
            tick().run(owner)
            go_back(client.database, hours=10)
            lose(client.database, "relation = 0, created_at = 'epoch'")
        # The old definition has slots to send, also the next time that this runs.
        execute(client.database, "DELETE FROM airflow_pgmq.slots; TRUNCATE pgmq.q_mail, pgmq.a_mail")
        go_back(client.database, hours=3)
        client.run(lambda: live_jobs.put("shop", [job(message=1, exclude=[Calendar("bank")])], by="ada"))
        client.run(lambda: live_jobs.versions("shop", "job"))
        client.run(lambda: live_jobs.delete("shop", "job", by="ada"))
        owner.run(lambda: job_control.remove("shop"))


def do_look(client):
    # `metrics_all` is about every queue.
    client_of(client.owner_dsn).run(lambda: queues.drop("mail_dlq"))
    client.run(queues.list_all)
    client.run(lambda: queues.metrics("mail"))
    with client.connection() as conn:
        if sampling.metrics(client, conn)[1]:
            raise PermissionDenied("permission denied")
    client.run(bindings)
    client.run(lambda: periodic.list_jobs(None))
    client.run(doctor.installation)
    client.run(schema.version)


def do_maintain(client):
    """Maintain, with work of each kind, in a minute that has no sample yet."""
    do_expect(client, lambda: False)
    with psycopg.connect(client.owner_dsn) as owner:
        owner.execute("TRUNCATE airflow_pgmq.queue_samples")
        owner.execute("SELECT pgmq.send('mail', '1', '{\"expires_at\": \"2026-01-01T00:00:00Z\"}'::jsonb, 0)")
    done = maintenance.maintain(client, archive_retention=timedelta(0), queue_names=["mail"])
    if done.skipped:
        raise PermissionDenied("permission denied")
    assert (done.sampled, done.expired) == (2, 1)


def do_see(client):
    put_calendar(client)
    do_expect(client, lambda: False, exclude=[Calendar("bank")])
    overview.queues(client)
    client_of(client.owner_dsn).run(lambda: pausing.pause("mail", "", "ada"))
    shown = overview.queue(client, "mail")
    if shown["dead_letters"] is None or shown["paused"] is None:
        raise PermissionDenied("permission denied")
    # What cannot be looked at is left out.
    if None in [each["overdue"] for each in overview.jobs(client)["jobs"] if each["name"] == "fast"]:
        raise PermissionDenied("permission denied")
    client_of(client.owner_dsn).run(lambda: live_jobs.put("shop", [job("live")], by="me"))
    for name in ("job", "live"):
        if overview.details(client, "shop", name)["missing"]:
            raise PermissionDenied("permission denied")
    overview.messages(client, overview.Search(queue_name="mail", dedup_key="a"))
    overview.messages(client, overview.Search(queue_name="mail", source="archive"))
    if overview.sent(client, {"dag_id": "shop"})["left_out"]:
        raise PermissionDenied("permission denied")


def do_create(client):
    for unlogged in (False, True):
        client.ensure_schema()
        client.run(lambda unlogged=unlogged: queues.create("own", unlogged=unlogged, notify=True))
        client.run(lambda: queues.guard("own"))
        send_prepared(client, "own", prepare([1], dedup_keys=["a"]), scope="queued")
        client.run(lambda: queues.purge("own", with_slots=False))
        client.run(lambda: queues.drop("own"))


WORK = {
    "Sending": do_send,
    "Binding topics": do_bind,
    "PGMQ's own notify trigger": do_throttle,
    "Reading": do_read,
    "Waiting": do_wait,
    "Consuming": do_consume,
    "Seeing pauses": do_see_pauses,
    "Pausing queues": do_pause,
    "Requeue": do_requeue,
    "Periodic jobs": do_periodic,
    "Calendars": do_calendars,
    "Live jobs": do_live_jobs,
    "Maintenance": do_maintain,
    "Overdue slots": do_see_overdue,
    "The page": do_see,
    "Looking": do_look,
    "Creating and dropping queues": do_create,
}


class Role:
    """A role with no rights, in a database where everything is installed and belongs to another."""

    def __init__(self, database):
        self.database = database
        self.name = f"app_{database.name}"

    def run(self, statement):
        execute(self.database, re.sub(r"\bapp\b", self.name, statement))

    @property
    def client(self):
        client = client_of(self.database.dsn, user=self.name)
        client.owner_dsn, client.database = self.database.dsn, self.database
        return client


@pytest.fixture
def role(database, client):
    client.run(lambda: queues.create("mail_dlq", notify=True))
    client.run(lambda: queues.guard("mail"))
    # Senders need no rights for the trigger that announces messages.
    client.run(lambda: queues.enable_notify("mail"))
    client.run(lambda: bind("a", "mail"))
    role = Role(database)
    role.run("CREATE ROLE app LOGIN")
    yield role
    drop_role(database, role.name)


def single_rights(lines):
    """Each privilege of the lines: what to revoke, and how."""
    for line in lines:
        found = GRANT.fullmatch(line)
        for privilege in found["privileges"].split(", "):
            yield f"{privilege} ON {found['what']}"


@pytest.mark.parametrize("section", WORK)
def test_rights_suffice_and_none_can_be_left_out(role, section):
    for line in SECTIONS[section]:
        role.run(line)
    WORK[section](role.client)

    superfluous = []
    for right in single_rights(SECTIONS[section]):
        role.run(f"REVOKE {right} FROM app")
        try:
            WORK[section](role.client)
        except (PermissionDenied, NotInstalled):
            execute(
                role.database,
                "DROP TABLE IF EXISTS pgmq.q_own, pgmq.a_own; TRUNCATE pgmq.q_mail, pgmq.a_mail",
            )
            execute(role.database, "DELETE FROM pgmq.meta WHERE queue_name = 'own'")
        else:
            superfluous.append(right)
        role.run(f"GRANT {right} TO app")

    assert superfluous == []


def test_rights_on_all_queues_reach_those_to_come(role):
    for line in [*SECTIONS["All queues at once, also those to come"], *SECTIONS["Periodic jobs"]]:
        role.run(line)
    execute(role.database, "SELECT pgmq.create('late')")

    assert tick(job(queue_name="late")).run(role.client).sent == 10


def test_senders_need_rights_for_pgmqs_own_trigger(role):
    for line in SECTIONS["Sending"]:
        role.run(line)
    client_of(role.database.dsn).run(lambda: throttles.enable("mail", 0))
    with pytest.raises(PermissionDenied, match="notify_insert_throttle"):
        send_prepared(role.client, "mail", prepare([1]))

    role.run(SECTIONS["PGMQ's own notify trigger"][-1])

    assert len(send_prepared(role.client, "mail", prepare([1]))) == 1


def test_every_section_of_the_page_is_tested():
    assert SECTIONS.keys() == {*WORK, "All queues at once, also those to come"}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_role_without_rights_is_told_so(role, work):
    with pytest.raises((PermissionDenied, NotInstalled), match="permission denied"):
        work(role.client)
