"""What the page says of one job: what became of its last slots, and what it could not find out."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.errors import JobNotFound
from airflow_pgmq.services import job_control, live_jobs, overview
from tests.fixtures.factories import client_of, execute, go_back, job, read, state, tick
from tests.fixtures.roles import drop_role

HOUR = timedelta(hours=1)


@pytest.fixture
def sent(client, database):
    """An hourly job whose slots of the last six hours were sent in time, and are still in the queue."""
    tick(job(), look_ahead=0).run(client)
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET deployed_at = now() - interval '30 days'")
    go_back(database, hours=6)
    tick(job(), look_ahead=0, grace=12).run(client)
    execute(database, "UPDATE airflow_pgmq.slots SET first_at = slot - interval '1 minute'")


def history(client, **more):
    return overview.details(client, "shop", "job", **more)["history"]["slots"]


def places(client):
    return [each["place"] for each in history(client) if each["state"] == "sent"]


def test_a_slot_is_where_its_message_is(client, database, sent):
    execute(database, "SELECT pgmq.create('mail_dlq')")
    before = places(client)
    messages = read(client, 4)
    client.run(lambda: _archive(messages[:1]))
    client.run(lambda: _dead(messages[1:2]))
    execute(database, "DELETE FROM pgmq.q_mail WHERE msg_id = %s", [messages[2].msg_id])

    assert set(before) == {"visible"}
    # Newest first.
    assert places(client)[::-1][:5] == ["archived", "dead", "gone", "in_flight", "visible"]
    assert overview.details(client, "shop", "job")["dead_letters"] == {"queue_name": "mail_dlq", "count": 1}


def _archive(messages):
    from airflow_pgmq.db.statements import reading

    return reading.archive("mail", [message.msg_id for message in messages])


def _dead(messages):
    from airflow_pgmq.db.statements import consuming

    return consuming.dead_letter("mail", "mail_dlq", messages, "no")


def test_how_long_a_slot_took_is_from_when_it_was_visible(client, database, sent):
    [message] = read(client, 1)
    client.run(lambda: _archive([message]))
    execute(
        database, "UPDATE pgmq.a_mail SET archived_at = (headers ->> 'slot')::timestamptz + interval '90 s'"
    )
    [found] = [each for each in history(client) if each["place"] == "archived"]

    assert (found["took"], found["late"], found["read_ct"]) == (90.0, 0.0, 1)
    assert found["acked_at"] == found["slot"] + timedelta(seconds=90)


def test_what_nobody_worked_on_was_not_acked(client, database, sent):
    """Archived by maintenance after its ttl, by a consumer that came too late, or by somebody's hand."""
    messages = read(client, 4)
    execute(database, "UPDATE pgmq.q_mail SET read_ct = 0, last_read_at = NULL WHERE msg_id <= 2")
    client.run(lambda: _archive(messages))
    for msg_id, expires in ((1, "archived_at"), (3, "last_read_at"), (4, "archived_at")):
        execute(
            database,
            f"UPDATE airflow_pgmq.slots AS s SET expires_at = a.{expires} FROM pgmq.a_mail AS a"
            " WHERE a.msg_id = s.msg_id AND s.msg_id = %s",
            [msg_id],
        )
    found = {each["msg_id"]: each for each in history(client) if each["state"] == "sent"}
    assert [found[n]["place"] for n in (1, 2, 3, 4)] == ["expired", "cancelled", "expired", "archived"]
    assert [found[n]["took"] is None for n in (1, 2, 3, 4)] == [True, True, True, False]


def test_work_is_counted_where_the_archive_knows_when_it_began(client, database, sent):
    [message] = read(client, 1)
    client.run(lambda: _archive([message]))
    execute(database, "ALTER TABLE pgmq.a_mail DROP COLUMN IF EXISTS last_read_at")
    [without] = [each for each in history(client) if each["place"] == "archived"]
    execute(database, "ALTER TABLE pgmq.a_mail ADD COLUMN last_read_at timestamptz")
    execute(database, "UPDATE pgmq.a_mail SET last_read_at = archived_at - interval '5 s'")
    [found] = [each for each in history(client) if each["place"] == "archived"]

    assert (without["worked"], found["worked"]) == (None, 5.0)


def test_a_slot_that_was_sent_late_is_visible_from_then_on(client, database, sent):
    execute(database, "UPDATE airflow_pgmq.slots SET first_at = slot + interval '10 minutes'")
    *_, found = (each for each in history(client) if each["state"] == "late")

    assert found["late"] == 600.0
    assert found["visible_at"] == found["slot"] + timedelta(minutes=10)


def test_another_message_of_the_same_id_is_not_the_slots(client, database, sent):
    """The queue was made again."""
    execute(database, 'UPDATE pgmq.q_mail SET headers = headers || \'{"dedup_key": "other"}\'')
    assert set(places(client)) == {"gone"}


def test_a_queue_that_does_not_exist_any_more_is_said_to(client, database, sent):
    execute(database, "SELECT pgmq.drop_queue('mail')")
    found = overview.details(client, "shop", "job")

    assert {each["place"] for each in found["history"]["slots"] if each["state"] == "sent"} == {"unknown"}
    assert {"part": "history", "text": "Queue mail does not exist any more."} in found["missing"]
    assert found["calendar"]["days"]


def test_an_archive_that_is_none_is_said_to_be(client, database, sent):
    execute(database, "ALTER TABLE pgmq.a_mail RENAME TO lost; CREATE VIEW pgmq.a_mail AS SELECT 1 AS msg_id")
    found = overview.details(client, "shop", "job")

    assert {each["place"] for each in found["history"]["slots"] if each["state"] == "sent"} == {"visible"}
    [missing] = found["missing"]
    assert (missing["part"], "a_mail" in missing["text"]) == ("history", True)


def test_slots_of_an_earlier_definition_stay_in_the_history(client, database, sent):
    before = {each["slot"] for each in history(client) if each["state"] == "sent"}
    tick(job(cron="30 3 * * *", version=2), look_ahead=0).run(client)
    assert before
    assert before <= {each["slot"] for each in history(client) if each["state"] == "sent"}


def test_at_most_a_thousand_slots_are_looked_at(client, database):
    tick(job(cron="* * * * *"), look_ahead=0).run(client)
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET deployed_at = now() - interval '30 days'")
    execute(
        database,
        "INSERT INTO airflow_pgmq.slots (namespace, name, slot, queue_name, incarnation, msg_id, visible_at,"
        " first_at, expires_at) SELECT 'shop', 'job', at, 'mail', 0, extract(epoch FROM at), at, at,"
        " at + interval '60 days' FROM generate_series(date_trunc('minute', now()) - interval '3 days',"
        " date_trunc('minute', now()), interval '1 minute') AS at",
    )
    found = history(client)

    assert len(found) == 1000
    assert found[0]["slot"] - found[-1]["slot"] == timedelta(minutes=999)


def test_overdue_slots_are_those_of_the_job_alone(client, database):
    waiting = [job(each, expect_within=timedelta(minutes=5)) for each in ("job", "other")]
    tick(*waiting, look_ahead=0).run(client)
    go_back(database, hours=3)
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET expected_until = 'epoch'")
    tick(*waiting, look_ahead=0, grace=12).run(client)
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET expected_until = 'epoch'")
    found = overview.details(client, "shop", "job")

    assert found["overdue"]
    assert {(each["name"], each["state"]) for each in found["overdue"]} == {("job", "waiting")}
    assert found["job"]["overdue"] == len(found["overdue"])
    assert "was expected by" in found["overdue"][0]["text"]


def test_a_job_that_expects_nothing_is_not_overdue(client, sent):
    found = overview.details(client, "shop", "job")
    assert (found["overdue"], found["job"]["overdue"]) == (None, None)


def test_slots_that_are_left_out_ahead_are_in_the_calendar(client, database):
    tick(job(), look_ahead=0).run(client)
    now = state(database)["now"]
    slot = now.replace(minute=0, second=0, microsecond=0) + 30 * HOUR
    client.run(lambda: job_control.skip("shop", "job", slot))
    found = overview.details(client, "shop", "job")["calendar"]

    [day] = [each for each in found["days"] if each["left_out"]]
    assert (day["day"], day["left_out"]) == (slot.date().isoformat(), {"skipped by hand": 1})


def test_a_missing_calendar_leaves_the_rest_of_the_page(client, database):
    from airflow_pgmq.jobs import Calendar

    client.run(lambda: live_jobs.put("shop", [job()], by="me"))
    with_calendar = job(exclude=[Calendar("gone")]).definition_json
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET definition = %s", [with_calendar])
    found = overview.details(client, "shop", "job")

    assert found["calendar"] is None
    assert found["job"]["problems"][0]["code"] == "missing_calendar"
    assert found["definition"]["exclude"] == [{"calendar": "gone"}]


def test_the_definition_is_as_documents_have_it_without_hidden_values(client):
    own = job(message={"password": "hunter2", "a": 1}, headers={"token": "t"}, params={"x": {"secret": 1}})
    tick(own).run(client)
    found = overview.details(client, "shop", "job", keys={"password", "token", "secret"})

    assert found["definition"] == {
        "name": "job",
        "schedule": "0 * * * *",
        "queue_name": "mail",
        "message": {"password": "***", "a": 1},
        "headers": {"token": "***"},
        "params": {"x": {"secret": "***"}},
        "catch_up_max_age": "30d",
    }
    assert found["versions"] is None


def test_a_live_job_has_its_versions(client):
    for message in (1, 2):
        client.run(
            lambda message=message: live_jobs.put("shop", [job(message=message)], by=f"user {message}")
        )
    found = overview.details(client, "shop", "job")["versions"]

    assert [(each["version"], each["changed_by"], each["definition"]["message"]) for each in found] == [
        (2, "user 2", 2),
        (1, "user 1", 1),
    ]
    assert found[0]["changed_at"] - datetime.now(timezone.utc) < HOUR


def test_of_a_deleted_live_job_there_are_its_versions(client):
    client.run(lambda: live_jobs.put("shop", [job()], by="me"))
    client.run(lambda: live_jobs.delete("shop", "job", by="you"))
    found = overview.details(client, "shop", "job")

    assert found["job"] is None
    assert [(each["version"], each["changed_by"], each["deleted"]) for each in found["versions"]] == [
        (2, "you", True),
        (1, "me", False),
    ]


def test_what_a_role_may_not_see_is_missing_and_the_rest_is_there(client, database):
    client.run(lambda: live_jobs.put("shop", [job()], by="me"))
    role = f"looker_{database.name}"
    execute(
        database,
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA pgmq, airflow_pgmq TO {role};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA pgmq, airflow_pgmq TO {role};"
        f"REVOKE SELECT ON airflow_pgmq.job_versions, pgmq.a_mail FROM {role}",
    )
    found = overview.details(client_of(database.dsn, user=role), "shop", "job")
    drop_role(database, role)

    assert [each["part"] for each in found["missing"]] == ["versions"]
    assert "job_versions" in found["missing"][0]["text"]
    assert found["versions"] == []
    assert found["calendar"]["days"]


def test_a_job_that_never_was_is_not_found(client):
    with pytest.raises(JobNotFound):
        overview.details(client, "shop", "none")


def test_a_job_that_newer_code_has_deployed_shows_what_was_sent(client, database, sent):
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET definition = definition - 'cron'")
    found = overview.details(client, "shop", "job")

    assert (found["definition"], found["calendar"]) == (None, None)
    assert {each["state"] for each in found["history"]["slots"]} == {"sent"}
    assert [each["code"] for each in found["job"]["problems"]][:1] == ["unreadable_job"]
