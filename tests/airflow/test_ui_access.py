"""Nobody gets anything from any route of the page without being signed in, or more than they may."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from starlette.routing import Mount

from airflow_pgmq.hooks import PgmqHook
from tests.fixtures.factories import execute
from tests.fixtures.ui import ACTING, act

SECRET = "what-nobody-else-may-see"

#: Files without data, and a redirect that contains only what was in the request.
PUBLIC = {"/static", "/go/{path:path}"}

#: What an action needs to be more than a bad request.
BODIES = {
    "requeue": {"msg_ids": [1]},
    "release": {"msg_ids": [1]},
    "delete": {"msg_ids": [1]},
    "purge": {"confirm": "mail"},
    "groups/resume": {"group": "a"},
    "{queue_name}/pause": {"reason": "why"},
    "skip": {"slot": "NEXT"},
    "preview": {"definition": {}},
    "{name}/put": {"definition": {"schedule": "0 * * * *", "queue_name": "mail"}, "expected_version": 1},
    "{name}/restore": {"version": 1, "expected_version": 1},
    "{name}/delete": {"expected_version": 1},
    "{calendar}/put": {"text": "2026-12-25", "expected_version": 1_000_000},
    "{calendar}/delete": {"expected_version": 1_000_000},
}


def routes() -> list[tuple[str, str]]:
    """Method and path of everything that the application serves: a new route cannot escape."""
    from airflow_pgmq.ui.app import app

    found = []
    for route in app.routes:
        if isinstance(route, Mount):
            found.append(("GET", route.path))
        else:
            found += [(method, route.path) for method in sorted(route.methods)]
    return found


def fill(path: str) -> str:
    values = {
        "connection_id": "pgmq_default",
        "queue_name": "mail",
        "namespace": "shop",
        # Only a live job is put and deleted.
        "name": "live" if path.endswith(("/put", "/restore", "{name}/delete")) else "job",
        "calendar": "off",
        "dag_id": "shop",
    }
    path = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], path)
    return f"/pgmq{path}"


def request(client: Any, method: str, path: str, **options: Any) -> Any:
    *_, owner, verb = path.split("/")
    body = BODIES.get(f"{owner}/{verb}", BODIES.get(verb, {})) if method == "POST" else None
    if body and body.get("slot") == "NEXT":
        hour = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
        body = {"slot": (hour + timedelta(hours=2)).isoformat()}
    headers = options.pop("headers", ACTING)
    return client.request(method, fill(path), json=body, headers=headers, follow_redirects=False)


GUARDED = [each for each in routes() if each[1] not in PUBLIC]
ACTIONS = [path for method, path in GUARDED if method == "POST"]
each_route = pytest.mark.parametrize(("method", "path"), GUARDED)
each_action = pytest.mark.parametrize("path", ACTIONS)


@pytest.fixture
def hook(pgmq_connection, database):
    """A queue with a secret in it, a job that sends one, and a calendar with one."""
    from tests.fixtures.factories import job, tick

    hook = PgmqHook(pgmq_connection)
    for queue_name in ("mail", "mail_dlq"):
        hook.create_queue(queue_name)
    hook.send("mail", {"body": SECRET}, headers={"note": SECRET})
    tick(job(message={"body": SECRET})).run(hook.client)
    hook.put_job("shop", job("live", message={"body": SECRET}))
    hook.put_calendar("off", {date(2026, 12, 24): SECRET})
    execute(database, "UPDATE airflow_pgmq.calendars SET changed_at = to_timestamp(1)")
    return hook


def test_only_what_holds_no_data_is_public():
    assert {path for _, path in routes()} - {path for _, path in GUARDED} == PUBLIC
    assert len(ACTIONS) == 17


@each_route
def test_who_is_not_signed_in_gets_nothing(as_user, hook, method, path):
    before = hook.metrics("mail").queue_length
    answer = request(as_user(None), method, path)

    assert answer.status_code == 401
    assert SECRET not in answer.text
    assert "mail" not in answer.text.replace(fill(path), "")
    assert hook.metrics("mail").queue_length == before


@each_route
def test_a_forged_token_is_refused(as_user, hook, method, path):
    client = as_user(None)
    client.cookies.set("_token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJib3NzIn0.")
    answer = request(client, method, path)

    assert answer.status_code in (401, 403)
    assert SECRET not in answer.text


@each_action
def test_who_may_only_look_cannot_act(guest, hook, path):
    before = hook.metrics("mail").queue_length, hook.list_jobs()
    answer = request(guest, "POST", path)

    assert answer.status_code == 403
    assert (hook.metrics("mail").queue_length, hook.list_jobs()) == before


@each_action
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Pgmq-Request": "1", "Sec-Fetch-Site": "cross-site"},
        {"X-Pgmq-Request": "1", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
    ids=["neither", "cross-site", "same-site", "no header"],
)
def test_other_sites_cannot_act_for_a_user(boss, hook, path, headers):
    before = hook.metrics("mail").queue_length
    answer = request(boss, "POST", path, headers=headers)

    assert answer.status_code == 403
    assert hook.metrics("mail").queue_length == before


@pytest.mark.parametrize("path", [path for method, path in GUARDED if method == "GET"])
def test_no_get_shows_payloads_to_who_may_only_look(guest, hook, path):
    answer = request(guest, "GET", path)

    assert answer.status_code == 200
    assert SECRET not in answer.text


def test_payloads_are_shown_to_who_may_read_the_connection(boss, hook):
    found = boss.get("/pgmq/api/pgmq_default/queues/mail/messages").json()["messages"]

    assert found[0]["message"] == {"body": SECRET}
    assert found[0]["headers"] == {"note": SECRET}


@each_route
def test_every_answer_forbids_inline_scripts_and_caches(boss, hook, method, path):
    answer = request(boss, method, path)
    policy = answer.headers["content-security-policy"]

    assert answer.status_code == 200
    assert "script-src 'self';" in policy
    assert "default-src 'none';" in policy
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_headers_are_on_errors_and_files_too(boss, hook):
    for path in ("static/theme.js", "static/none.js", "no/such/page", "api/pgmq_default/queues/none"):
        answer = boss.get(f"/pgmq/{path}")
        assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_a_get_of_an_action_does_nothing(boss, hook):
    assert boss.get("/pgmq/api/pgmq_default/queues/mail/purge").status_code == 405
    assert hook.metrics("mail").queue_length > 0


def test_connections_of_other_kinds_are_out_of_reach(boss, hook, monkeypatch):
    """Users of the page must not get access to every Postgres that Airflow knows."""
    import os

    elsewhere = os.environ["AIRFLOW_CONN_PGMQ_DEFAULT"].replace('"pgmq"', '"postgres"', 1)
    monkeypatch.setenv("AIRFLOW_CONN_BOOKS", elsewhere)

    assert boss.get("/pgmq/api/books/queues").status_code == 404
    assert act(boss, "books/queues/mail/purge", {"confirm": "mail"}).status_code == 404
    for query in ({}, {"connection_id": "books"}, {"connection_id": "none"}):
        listed = boss.get("/pgmq/api/connections", params=query).json()["connections"]
        assert [each["connection_id"] for each in listed] == ["pgmq_default"]


def test_what_a_user_may_do_is_said_with_the_connection(boss, guest):
    (mine,) = boss.get("/pgmq/api/connections").json()["connections"]
    (theirs,) = guest.get("/pgmq/api/connections").json()["connections"]

    assert (mine["may_peek"], mine["may_write"]) == (True, True)
    assert (theirs["may_peek"], theirs["may_write"]) == (False, False)


def test_a_connection_that_cannot_be_listed_is_described_to_who_names_it(boss, guest, monkeypatch):
    import os

    # Like a secrets backend, it answers to a name that is not in its list.
    monkeypatch.setenv("AIRFLOW_CONN_VAULT", os.environ["AIRFLOW_CONN_PGMQ_DEFAULT"])
    monkeypatch.setattr("airflow_pgmq.ui.connections._PREFIX", "NONE_")

    def named(client: Any) -> Any:
        answer = client.get("/pgmq/api/connections", params={"connection_id": "vault"}).json()
        return {each["connection_id"]: each["may_write"] for each in answer["connections"]}

    (listed,) = boss.get("/pgmq/api/connections").json()["connections"]
    assert listed["connection_id"] == "pgmq_default"
    assert named(boss) == {"pgmq_default": True, "vault": True}
    assert named(guest) == {"pgmq_default": False, "vault": False}


def test_a_connection_that_a_secrets_backend_denies_is_not_there(boss, hook, monkeypatch):
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    def deny(self, conn_id, *args, **kwargs):
        if conn_id == "vault":
            raise PermissionError("denied")
        return ask(self, conn_id, *args, **kwargs)

    ask = EnvironmentVariablesBackend.get_connection
    monkeypatch.setattr(EnvironmentVariablesBackend, "get_connection", deny)
    assert boss.get("/pgmq/api/vault/queues").status_code == 404
    (listed,) = boss.get("/pgmq/api/connections?connection_id=vault").json()["connections"]
    assert listed["connection_id"] == "pgmq_default"


@pytest.mark.parametrize("connection_id", ["../secret", "a/b", "..", "a b"])
def test_a_secrets_backend_is_not_asked_for_a_path(boss, hook, monkeypatch, connection_id):
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    asked = []
    ask = EnvironmentVariablesBackend.get_connection
    monkeypatch.setattr(
        EnvironmentVariablesBackend,
        "get_connection",
        lambda self, conn_id, *args, **kwargs: asked.append(conn_id) or ask(self, conn_id, *args, **kwargs),
    )
    boss.get("/pgmq/api/connections", params={"connection_id": connection_id})
    assert set(asked) == {"pgmq_default"}
