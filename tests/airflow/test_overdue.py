"""Who is told of a slot that did not happen: notifiers, monitors, command line, page and metrics."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseNotifier

from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.notifications import PgmqNotifier
from airflow_pgmq.operators import PgmqMaintenanceOperator, PgmqPeriodicOperator
from tests.fixtures.factories import execute, job, tick

HOUR = timedelta(hours=1)
JOB = job(expect_within=HOUR)
#: Of a task without a Dag.
OWNER = "adhoc_airflow.tick"


@pytest.fixture
def hook(pgmq_connection: str, database: Any) -> PgmqHook:
    """A job of whose message nobody knows anything for an hour and more."""
    hook = PgmqHook(pgmq_connection)
    for queue_name in ("mail", "alerts"):
        hook.create_queue(queue_name)
    tick(JOB, look_ahead=0, owner=OWNER).run(hook.client)
    execute(
        database,
        "UPDATE airflow_pgmq.periodic_jobs SET expected_until = now() - interval '3 h',"
        " watermark = date_trunc('hour', now()) - interval '2 h 1 s',"
        " next_slot = date_trunc('hour', now()) - interval '2 h'",
    )
    return hook


def slot() -> datetime:
    """The slot of the job that is overdue."""
    return datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - 2 * HOUR


def context() -> Any:
    ti = SimpleNamespace(dag_id="shop", task_id="tick", run_id="scheduled__1", map_index=-1)
    return {"dag_run": SimpleNamespace(run_type="scheduled"), "ti": ti, "dag": None}


def ticking(**fields: Any) -> PgmqPeriodicOperator:
    return PgmqPeriodicOperator(task_id="tick", jobs=[JOB], namespace="shop", **fields)


class Told(BaseNotifier):
    """Keeps what it was told."""

    template_fields = ("text",)

    def __init__(self, told: list[Any], text: str = "", *, fails: bool = False) -> None:
        super().__init__()
        self.told, self.text, self.fails = told, text, fails

    def notify(self, context: Any) -> None:
        if self.fails:
            raise ValueError("no answer")
        self.told.append((self.text, context["overdue"], context["ti"].task_id))


@pytest.mark.parametrize("several", [False, True])
def test_a_notifier_is_told_with_the_context_and_its_templates(hook: PgmqHook, several: bool) -> None:
    told: list[Any] = []
    notifier = Told(told, "{{ overdue.name }} of {{ overdue.slot }}")

    result = ticking(on_overdue=[notifier] if several else notifier).execute(context())

    # Its message was sent by this tick, after it looked.
    assert result["overdue"] == 1
    ((text, overdue, task_id),) = told
    assert (text, task_id) == (f"job of {slot()}", "tick")
    assert (overdue.slot, overdue.state, overdue.expected_at) == (slot(), "not_sent", slot() + HOUR)


def test_a_notifier_renders_its_templates_for_each_slot(hook: PgmqHook, database: Any) -> None:
    told: list[Any] = []
    both = [JOB, job("other", expect_within=HOUR)]
    tick(*both, owner=OWNER).run(hook.client)
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET watermark = 'epoch', next_slot = 'today'")
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET expected_until = next_slot - interval '1 d'")
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET next_slot = next_slot - interval '12 h'")
    execute(database, "TRUNCATE airflow_pgmq.slots")

    operator = PgmqPeriodicOperator(
        task_id="tick", jobs=both, namespace="shop", on_overdue=Told(told, "{{ overdue.name }}")
    )
    operator.execute(context())

    assert {text for text, *_ in told} == {"job", "other"}


def test_one_that_fails_does_not_keep_the_others_from_being_told(
    hook: PgmqHook, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []
    functions = [Told([], fails=True), lambda context: told.append(context["overdue"].state)]

    ticking(on_overdue=functions).execute(context())
    ticking(on_overdue=functions).execute(context())

    # The first tick has sent that slot, and another one that is overdue, too.
    assert told == ["not_sent", "waiting"]
    assert "Told was not told" in caplog.text


def test_a_message_can_tell(hook: PgmqHook) -> None:
    ticking(on_overdue=PgmqNotifier(queue_name="alerts", message={"slot": "{{ overdue }}"})).execute(
        context()
    )

    (message,) = hook.read("alerts")
    assert message.message["slot"].startswith(
        f"slot {slot():%Y-%m-%dT%H:%M:%SZ} of job shop/job was expected"
    )


def test_maintenance_tells_what_nobody_ticked(hook: PgmqHook) -> None:
    told: list[Any] = []
    operator = PgmqMaintenanceOperator(task_id="maintain", on_overdue=[Told(told)])

    assert operator.execute(context())["overdue"] == 1
    assert operator.execute(context())["overdue"] == 1
    assert ticking(on_overdue=Told(told)).execute(context())["overdue"] == 1
    assert [overdue.state for _, overdue, _ in told] == ["not_sent"]


@pytest.mark.parametrize("operator", [PgmqPeriodicOperator, PgmqMaintenanceOperator])
def test_what_cannot_be_called_is_refused(operator: Any) -> None:
    jobs = {"jobs": [JOB]} if operator is PgmqPeriodicOperator else {}
    with pytest.raises(InvalidArgument, match=r"on_overdue takes notifiers, .* not str"):
        operator(task_id="t", on_overdue=["slack"], **jobs)


def test_the_hook_lists_what_is_overdue(hook: PgmqHook) -> None:
    (found,) = hook.overdue()
    assert (found.namespace, found.name, found.slot, found.found_at) == ("shop", "job", slot(), None)
    assert hook.overdue("shop") == [found]
    assert hook.overdue("another") == []
    assert found.as_dict()["state"] == "not_sent"


def test_the_page_shows_it_at_the_job(hook: PgmqHook, guest: Any) -> None:
    (shown,) = guest.get("/pgmq/api/pgmq_default/jobs").json()["jobs"]
    told = {problem["code"]: problem["text"] for problem in shown["problems"]}
    assert told["overdue"].startswith("1 slot is overdue; the oldest: slot ")


# Monitors.


@pytest.fixture
def health(guest: Any) -> Any:
    def ask(**params: Any) -> Any:
        answer = guest.get("/pgmq/health", params=params)
        return answer.status_code, answer.json()

    return ask


def test_health_of_an_overdue_slot(hook: PgmqHook, health: Any) -> None:
    code, found = health()
    assert (code, found["healthy"], found["overdue_count"]) == (503, False, 1)
    (overdue,) = found["overdue"]
    assert (overdue["name"], overdue["state"]) == ("job", "not_sent")
    assert overdue["slot"] == f"{slot():%Y-%m-%dT%H:%M:%SZ}"


def test_health_of_ticks(hook: PgmqHook, health: Any, database: Any) -> None:
    tick(job(), owner=OWNER).run(hook.client)
    code, found = health(connection_id="pgmq_default")
    assert (code, found) == (
        200,
        {
            "connection_id": "pgmq_default",
            "healthy": True,
            "overdue_count": 0,
            "overdue": [],
            "silent": [],
        },
    )

    execute(database, "UPDATE airflow_pgmq.namespaces SET ticked_at = now() - interval '301 s'")
    code, found = health()
    assert (code, found["healthy"], found["overdue"]) == (503, False, [])
    assert [each["namespace"] for each in found["silent"]] == ["shop"]
    assert health(max_age=400)[0] == 200


def test_health_of_a_database_that_is_not_installed(
    pgmq_connection: str, health: Any, database: Any, boss: Any
) -> None:
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")
    code, found = health()
    assert (code, found["healthy"]) == (503, False)
    # Only who may read the connection is told more.
    assert "pgmq init" not in found["error"]
    assert "pgmq init" in boss.get("/pgmq/health").json()["error"]


def test_health_of_a_server_that_does_not_answer(
    pgmq_connection: str, monkeypatch: pytest.MonkeyPatch, health: Any, boss: Any
) -> None:
    stored = {"conn_type": "pgmq", "host": "/tmp/where-nobody-is", "login": "me", "password": "hunter2"}
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(stored))
    code, found = health()
    assert (code, found["healthy"]) == (503, False)
    assert "where-nobody-is" not in found["error"]
    told = boss.get("/pgmq/health").json()["error"]
    assert "where-nobody-is" in told
    assert "hunter2" not in told


def test_health_of_connections_that_are_none(guest: Any, pgmq_connection: str) -> None:
    for name in ("another", "a/b", "\x00"):
        assert guest.get("/pgmq/health", params={"connection_id": name}).status_code in (404, 422)
    answer = guest.get("/pgmq/health", params={"max_age": 0})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "max_age is a whole number of seconds from 1 to 86400.",
    )


def test_health_needs_a_token_and_takes_one(hook: PgmqHook, as_user: Any) -> None:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    nobody = as_user(None)
    assert nobody.get("/pgmq/health").status_code == 401
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="guest", role="viewer"))

    answer = nobody.get("/pgmq/health", headers={"Authorization": f"Bearer {token}"})

    assert answer.json()["overdue_count"] == 1
    assert nobody.get("/pgmq/health", headers={"Authorization": "Bearer x"}).status_code in (401, 403)
