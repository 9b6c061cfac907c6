"""Jobs that are paused once a message of theirs has become a dead letter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
import pytest

from airflow_pgmq.core.summary import Summary
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import consuming, periodic, queues
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.services import job_control, live_jobs, overview
from tests.fixtures.factories import (
    NAMESPACE,
    client_of,
    execute,
    go_back,
    go_back_to_migration,
    job,
    read,
    state,
    tick,
)
from tests.fixtures.postgres import Database


@pytest.fixture(autouse=True)
def dead_letter_queue(client: Client) -> None:
    client.run(lambda: queues.create("mail_dlq"))


def careful(name: str = "job", **fields: Any) -> PeriodicJob:
    return job(name, pause_on_dead_letter=True, **fields)


def due(client: Client, database: Database, *jobs: PeriodicJob) -> Summary:
    """Let jobs send the slots of the last three hours, and those of the next two."""
    tick(*jobs, look_ahead=0).run(client)
    go_back(database, hours=3)
    return tick(*jobs, look_ahead=2).run(client)


def bury(client: Client, count: int = 1, reason: str = "bad") -> list[str]:
    """Let visible messages of the queue become dead letters; their slots."""
    messages = read(client, count)
    client.run(lambda: consuming.dead_letter("mail", "mail_dlq", messages, reason))
    return [message.headers["slot"] for message in messages]


def run(client: Client, *jobs: PeriodicJob, **options: Any) -> Summary:
    return tick(*jobs, look_ahead=2, **options).run(client)


def waiting(database: Database) -> list[datetime]:
    """Slots in the queue that are not visible yet."""
    rows = execute(database, "SELECT vt FROM pgmq.q_mail WHERE vt > clock_timestamp() AND read_ct = 0")
    return [row["vt"] for row in rows]


def resume(client: Client, name: str = "job") -> None:
    client.run(lambda: job_control.resume(NAMESPACE, name))


def test_a_dead_letter_pauses_its_job_and_takes_back_what_waits(client: Client, database: Database) -> None:
    due(client, database, careful(), job("other"))
    ahead = len(waiting(database))
    assert ahead >= 4
    first, second, *_ = bury(client, 2)

    summary = run(client, careful(), job("other"))
    assert state(database)["paused"]
    assert not state(database, "other")["paused"]
    assert len(waiting(database)) == ahead // 2
    assert summary.taken_back == ahead // 2
    (dead,) = summary.paused
    assert (dead.name, dead.queue_name, dead.dead_letter_queue) == ("job", "mail", "mail_dlq")
    assert summary.as_dict()["paused"] == 1
    # The messages of both jobs are dead letters in turn: one of them is this job's.
    assert dead.letters == 1
    assert dead.slot in (first, second)
    assert str(dead) == f"the message of slot {dead.slot} became a dead letter in queue mail_dlq"
    assert run(client, careful(), job("other")).paused == []


def test_jobs_that_do_not_ask_for_it_go_on(client: Client, database: Database) -> None:
    due(client, database, job())
    bury(client, 3)
    assert run(client, job()).paused == []
    assert not state(database)["paused"]


def test_everybody_sees_why_it_is_paused(client: Client, database: Database) -> None:
    due(client, database, careful())
    first, *_ = bury(client, 3)
    run(client, careful())
    why = f"3 messages became dead letters in queue mail_dlq, that of slot {first} first"
    assert state(database)["paused_for"] == why
    shown = overview.job(client, NAMESPACE, "job")
    assert (shown["paused"], shown["paused_for"]) == (True, why)
    assert [(each["code"], each["severity"]) for each in shown["problems"]] == [
        ("paused_for_dead_letter", "warning")
    ]
    assert why in shown["problems"][0]["text"]
    (row,) = client.run(lambda: periodic.list_jobs(NAMESPACE))
    assert row["paused_for"] == why
    # A pause by hand does not hide the reason, and a resume does away with it.
    client.run(lambda: job_control.pause(NAMESPACE, "job"))
    assert state(database)["paused_for"] == why
    resume(client)
    assert state(database)["paused_for"] is None
    assert overview.job(client, NAMESPACE, "job")["problems"] == []


def test_after_a_resume_only_new_dead_letters_pause_it(client: Client, database: Database) -> None:
    due(client, database, careful())
    bury(client)
    run(client, careful())
    # It came while the job was paused, so it is from before the resume, too.
    bury(client)
    resume(client)
    assert run(client, careful()).paused == []
    assert len(waiting(database)) == 2
    last = bury(client)
    assert [(each.slot, each.letters) for each in run(client, careful()).paused] == [(*last, 1)]


def test_a_resume_by_hand_in_the_database_or_by_older_code_counts_too(
    client: Client, database: Database
) -> None:
    due(client, database, careful())
    bury(client)
    run(client, careful())
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET paused = false")
    assert state(database)["paused_for"] is None
    assert run(client, careful()).paused == []


def test_dead_letters_of_before_it_was_asked_for_do_not_count(client: Client, database: Database) -> None:
    due(client, database, job())
    bury(client)
    assert run(client, careful()).paused == []
    # It is only a policy: to change it takes no message back.
    assert len(waiting(database)) == 2
    assert run(client, careful()).paused == []
    bury(client)
    # A change of something else does not begin anew.
    changed = careful(message={"new": True})
    assert [each.letters for each in run(client, changed).paused] == [1]


def test_to_ask_for_it_no_longer_leaves_the_job_paused(client: Client, database: Database) -> None:
    due(client, database, careful())
    bury(client)
    run(client, careful())
    run(client, job())
    assert state(database)["paused"]
    assert state(database)["paused_for"]
    resume(client)
    bury(client)
    assert run(client, job()).paused == []


def test_a_dead_letter_that_was_requeued_before_the_tick_pauses_nothing(
    client: Client, database: Database
) -> None:
    due(client, database, careful())
    bury(client)
    client.run(lambda: consuming.requeue("mail", source="dead_letters"))
    assert run(client, careful()).paused == []


def test_a_guarded_dead_letter_queue_counts_too(client: Client, database: Database) -> None:
    client.run(lambda: queues.guard("mail_dlq"))
    due(client, database, careful())
    bury(client)
    assert len(run(client, careful()).paused) == 1


def test_what_is_no_slot_of_the_job_pauses_nothing(client: Client, database: Database) -> None:
    due(client, database, careful())
    at = "2026-01-01T00:00:00Z"
    for key in (f"shop/other/{at}", f"other/job/{at}", f"shop/job/now/{at}", "shop/job/2026", "x", "//"):
        execute(
            database,
            "SELECT pgmq.send('mail_dlq', '1', jsonb_build_object('dedup_key', %s::text))",
            [key],
        )
    for headers in (None, "[]", '"x"', '{"dedup_key": 5}', '{"dead_letter": 1}'):
        execute(database, "SELECT pgmq.send('mail_dlq', '1', %s::jsonb)", [headers])
    assert run(client, careful()).paused == []


def test_a_live_job_is_paused_too_unless_it_is_left_waiting(client: Client, database: Database) -> None:
    client.run(lambda: live_jobs.put(NAMESPACE, [careful("live")], by="ada"))
    run(client, job())
    go_back(database, hours=3)
    run(client, job())
    bury(client, 10)
    assert run(client, job(), live=False).paused == []
    assert [each.name for each in run(client, job()).paused] == ["live"]


def test_without_a_dead_letter_queue_there_is_nothing_to_see(client: Client, database: Database) -> None:
    due(client, database, careful())
    execute(database, "SELECT pgmq.drop_queue('mail_dlq')")
    summary = run(client, careful())
    assert (summary.paused, summary.unread, summary.failed) == ([], [], {})


def test_a_role_that_may_not_read_dead_letters_ticks_on_and_says_so(
    client: Client, database: Database
) -> None:
    due(client, database, careful())
    bury(client)
    execute(
        database,
        "CREATE ROLE blind LOGIN; GRANT USAGE ON SCHEMA pgmq, airflow_pgmq TO blind",
    )
    for schema in ("pgmq", "airflow_pgmq"):
        execute(database, f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO blind")
        execute(database, f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO blind")
    execute(database, "REVOKE ALL ON pgmq.q_mail_dlq FROM blind")
    summary = run(client_of(f"{database.dsn} user=blind"), careful(), careful("more"))
    assert (summary.paused, summary.unread, summary.failed) == ([], ["mail_dlq"], {})
    assert summary.sent == 2
    assert len(run(client, careful(), careful("more")).paused) == 1


def test_dead_letters_that_are_locked_hold_up_no_tick(client: Client, database: Database) -> None:
    due(client, database, careful())
    bury(client)
    with database.connect() as other:
        other.autocommit = False
        other.execute("LOCK pgmq.q_mail_dlq")
        summary = run(client, careful(), careful("more"))
    assert (summary.paused, summary.unread, summary.sent) == ([], ["mail_dlq"], 2)


def test_a_queue_that_does_not_give_back_stops_only_its_own_jobs(client: Client, database: Database) -> None:
    client.run(lambda: queues.create("post"))
    client.run(lambda: queues.create("post_dlq"))
    jobs = [careful(), careful("posted", queue_name="post")]
    due(client, database, *jobs)
    bury(client)
    execute(
        database,
        "INSERT INTO pgmq.q_post_dlq (vt, message, headers)"
        " SELECT vt, message, headers FROM pgmq.q_post ORDER BY msg_id LIMIT 1",
    )
    execute(
        database,
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE ON pgmq.q_post FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    )
    summary = run(client, *jobs)
    assert [each.name for each in summary.paused] == ["job"]
    assert list(summary.failed) == ["posted"]
    assert "queue 'post' blocks its pause" in summary.failed["posted"][0]
    execute(database, "DROP TRIGGER refuse ON pgmq.q_post")
    assert [each.name for each in run(client, *jobs).paused] == ["posted"]


class CountingConnection(psycopg.Connection[Any]):
    """A connection that counts its round trips."""

    trips = 0

    def wait(self, generator: Any, *args: Any, **options: Any) -> Any:
        type(self).trips += 1
        return super().wait(generator, *args, **options)


def trips_of(database: Database, *jobs: PeriodicJob) -> int:
    """The round trips of a tick that finds nothing to do, on a connection that knows the schema."""
    client = Client(lambda: CountingConnection.connect(database.dsn))
    run(client, *jobs)
    CountingConnection.trips = 0
    run(client, *jobs)
    return CountingConnection.trips


def test_only_jobs_that_ask_for_it_cost_a_round_trip(client: Client, database: Database) -> None:
    plain = trips_of(database, job(), job("other"))
    asked: Sequence[int] = [trips_of(database, careful(), job("other")) for _ in range(2)]
    assert plain < asked[0] == asked[1] <= plain + 3
    # A job that is paused has nothing to look for.
    client.run(lambda: job_control.pause(NAMESPACE, "job"))
    assert trips_of(database, careful(), job("other")) == plain
    resume(client)
    assert trips_of(database, job(), job("other")) == plain


def test_the_first_tick_of_newer_code_brings_the_migration(client: Client, database: Database) -> None:
    go_back_to_migration(database, 7)
    execute(
        database,
        "INSERT INTO airflow_pgmq.namespaces (namespace, owner, version, horizon, ticked_at,"
        " version_ticked_at, locked_at, code) SELECT 'shop', 'dag.task', 0, now(), now(), now(), now(), 7",
    )
    execute(
        database,
        "INSERT INTO airflow_pgmq.periodic_jobs (namespace, name, version, fingerprint, definition,"
        " queue_name, overlap_skip, watermark, next_slot, deployed_at)"
        " SELECT 'shop', 'job', 0, '', %s::jsonb, 'mail', false, now(), now(), now()",
        [job().definition_json],
    )
    fresh = client_of(database.dsn)
    due(fresh, database, careful())
    bury(fresh)
    assert len(run(fresh, careful()).paused) == 1


def test_what_older_code_writes_pauses_nothing_and_changes_nothing(
    client: Client, database: Database
) -> None:
    """It knows neither the columns nor the field of a definition."""
    due(client, database, job())
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET paused = true")
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET paused = false, definition = definition")
    row = state(database)
    assert (row["dead_letters_since"], row["paused_for"]) == (None, None)
