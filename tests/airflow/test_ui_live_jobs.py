"""The page's API of live jobs: previews, changes with optimistic locking, and their rows of the audit log."""

from __future__ import annotations

import pytest

from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import Calendar
from tests.airflow.test_ui_api import audit_log  # noqa: F401
from tests.fixtures.factories import job, tick
from tests.fixtures.ui import act

LIVE = "pgmq_default/jobs/shop/live"
DEFINITION = {"schedule": "0 6 * * *", "queue_name": "mail", "timezone": "Europe/Berlin"}


@pytest.fixture
def hook(pgmq_connection):
    hook = PgmqHook(pgmq_connection)
    hook.create_queue("mail")
    return hook


def put(client, definition=DEFINITION, expected_version=0, path=LIVE):
    return act(client, f"{path}/put", {"definition": definition, "expected_version": expected_version})


def preview(client, **definition):
    return act(client, "pgmq_default/preview", {"definition": definition}).json()


def problems(found):
    return {each["field"]: each["text"] for each in found["problems"]}


def test_a_preview_has_the_next_slots_of_a_job_that_is_not_finished(boss, hook):
    found = preview(boss, schedule="0 6 * * *", timezone="Europe/Berlin", name="", message="x")

    assert len(found["next_slots"]) == 5
    assert (found["words"], found["timezone"]) == ("At 06:00", "Europe/Berlin")
    assert problems(found).keys() == {"name", "queue_name"}


def test_a_preview_says_what_is_wrong_at_its_field(boss, hook):
    found = preview(boss, name="a", schedule="0 25 * * *", queue_name="none", ttl="soon")

    assert found["next_slots"] == []
    assert problems(found).keys() == {"schedule", "queue_name", "ttl"}
    assert "SELECT pgmq.create('none')" in problems(found)["queue_name"]


def test_a_preview_runs_templates(boss, hook):
    found = preview(boss, name="a", schedule="0 6 * * *", queue_name="mail", message="{{ nothing }}")
    assert "nothing" in problems(found)["message"]


def test_a_preview_knows_calendars(boss, hook):
    own = {"name": "a", "schedule": "0 6 * * *", "queue_name": "mail", "exclude": [{"calendar": "off"}]}
    without = preview(boss, **own)
    hook.put_calendar("off", [])
    assert (problems(without).keys(), problems(preview(boss, **own))) == ({"exclude"}, {})


def test_a_preview_is_for_who_may_read_the_connection(guest, hook):
    answer = act(guest, "pgmq_default/preview", {"definition": {}})
    assert answer.status_code == 403


def test_a_job_is_made_changed_and_deleted(boss, hook, audit_log):  # noqa: F811
    made = put(boss)
    changed = put(boss, {**DEFINITION, "schedule": {"every": "5m"}}, 1)
    [stored] = hook.list_jobs("shop")
    deleted = act(boss, f"{LIVE}/delete", {"expected_version": 2})

    assert (made.json(), changed.json(), deleted.json()) == (
        {"version": 1},
        {"version": 2},
        {"taken_back": 0},
    )
    assert stored["live"]
    assert hook.list_jobs("shop") == []
    assert [(each.version, each.changed_by) for each in hook.job_versions("shop", "live")] == [
        (3, "boss"),
        (2, "boss"),
        (1, "boss"),
    ]
    [first, second, third] = audit_log()
    name = {"name": "live"}
    assert first == (
        "pgmq_put_job",
        "boss",
        {
            "connection": "pgmq_default",
            "job": "shop/live",
            "version": 1,
            "before": None,
            "after": name | DEFINITION,
        },
    )
    every = {**name, **DEFINITION, "schedule": {"every": "5m"}, "version": 2}
    assert (second[2]["before"], second[2]["after"]["schedule"]) == (
        {**name, **DEFINITION, "version": 1},
        {"every": "5m"},
    )
    assert (third[0], third[2]["before"], third[2]["after"]) == ("pgmq_delete_job", every, None)


def test_who_was_second_is_told(boss, hook):
    put(boss)
    again = put(boss, {**DEFINITION, "timezone": "UTC"})
    late = act(boss, f"{LIVE}/delete", {"expected_version": 7})

    for answer in (again, late):
        assert answer.status_code == 409
        assert "Job shop/live is at version 1" in answer.json()["detail"]
    assert hook.job_versions("shop", "live")[0].version == 1


def test_a_job_of_a_dag_is_changed_in_its_dag(boss, hook):
    tick(job("live")).run(hook.client)
    answer = put(boss)

    assert answer.status_code == 422
    assert "declared in the Dag of task 'dag.task'" in answer.json()["detail"]


def test_hidden_values_are_kept_and_never_told(boss, hook, audit_log):  # noqa: F811
    message = {"login": {"password": "hunter2"}, "a": 1}
    hook.put_job("shop", job("live", message=message, headers={"token": "t0ken"}))
    shown = boss.get(f"/pgmq/api/{LIVE}").json()["definition"]
    shown["message"]["a"] = 2
    answer = put(boss, shown, 1)
    [stored] = hook.list_jobs("shop")

    assert answer.status_code == 200
    assert stored["definition"]["message"] == {"login": {"password": "hunter2"}, "a": 2}
    assert stored["definition"]["headers"] == {"token": "t0ken"}
    [(_, _, noted)] = audit_log()
    assert noted["after"]["message"] == {"login": {"password": "***"}, "a": 2}
    assert not [secret for secret in ("hunter2", "t0ken") if secret in str(noted)]


def test_a_version_is_restored_with_what_is_hidden(boss, hook, audit_log):  # noqa: F811
    hook.put_job("shop", job("live", message={"password": "hunter2"}))
    hook.put_job("shop", job("live", message=2))
    answer = act(boss, f"{LIVE}/restore", {"version": 1, "expected_version": 2})
    none = act(boss, f"{LIVE}/restore", {"version": 9, "expected_version": 3})

    assert (answer.json(), none.status_code) == ({"version": 3}, 404)
    assert hook.list_jobs("shop")[0]["definition"]["message"] == {"password": "hunter2"}
    [(event, _, noted)] = audit_log()
    assert (event, noted["restored"], noted["after"]["message"]) == (
        "pgmq_restore_job",
        1,
        {"password": "***"},
    )


def test_a_deleted_job_is_restored(boss, hook):
    put(boss)
    act(boss, f"{LIVE}/delete", {"expected_version": 1})
    shown = boss.get(f"/pgmq/api/{LIVE}").json()
    answer = act(boss, f"{LIVE}/restore", {"version": 1, "expected_version": 0})

    assert (shown["job"], [each["deleted"] for each in shown["versions"]]) == (None, [True, False])
    assert answer.json() == {"version": 3}


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ({}, "queue_name is missing"),
        ({**DEFINITION, "name": "other"}, "keeps its name"),
        ({**DEFINITION, "queue_name": "none"}, "Queue 'none'"),
        ({**DEFINITION, "exclude": [{"calendar": "none"}]}, "There is no calendar 'none'"),
        ({**DEFINITION, "message": {"password": "***"}}, "write the value"),
        ({**DEFINITION, "message": "{{ nothing }}"}, "nothing"),
        ({**DEFINITION, "cron": "* * * * *"}, "not both"),
        ({**DEFINITION, "ttl": {"a": 1}}, "ttl"),
    ],
)
def test_mistakes_are_sentences_and_change_nothing(boss, hook, audit_log, definition, says):  # noqa: F811
    answer = put(boss, definition)

    assert answer.status_code in (404, 422)
    assert says in answer.json()["detail"]
    assert "periodic job(s)" not in answer.json()["detail"]
    assert hook.list_jobs("shop") == []
    assert audit_log() == []


def test_a_namespace_has_a_name_too(boss, hook):
    answer = put(boss, path="pgmq_default/jobs/a b/live")
    assert (answer.status_code, "Namespace name 'a b'" in answer.json()["detail"]) == (422, True)


def test_the_first_job_makes_the_schema(boss, database, pgmq_connection):
    hook = PgmqHook(pgmq_connection)
    hook.create_queue("mail")
    with database.connect() as connection:
        connection.execute("DROP SCHEMA airflow_pgmq CASCADE")
    assert put(boss).json() == {"version": 1}


def test_calendars_of_a_job_stay(boss, hook):
    hook.put_calendar("off", [])
    hook.put_job("shop", job("live", exclude=[Calendar("off")]))
    shown = boss.get(f"/pgmq/api/{LIVE}").json()["definition"]
    assert put(boss, {**shown, "timezone": "UTC"}, 1).json() == {"version": 1}
