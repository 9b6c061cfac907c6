"""Airflow's teams: what one has is neither shown nor named to another."""

from __future__ import annotations

import inspect
import json
import os

import pytest
from airflow.models import Connection

from airflow_pgmq.hooks import PgmqHook

pytestmark = pytest.mark.skipif(
    "team_name" not in inspect.signature(Connection.get_connection_from_secrets).parameters,
    reason="this Airflow has no teams",
)


@pytest.fixture
def sign_in(airflow_app, pgmq_connection, monkeypatch):
    """A client of a user of team `red` or `blue`; the connection `blue_queues` belongs to team `blue`."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models.team import Team
    from airflow.utils.session import create_session
    from fastapi.testclient import TestClient
    from sqlalchemy import delete

    PgmqHook().create_queue("mail")
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    database = json.loads(os.environ["AIRFLOW_CONN_PGMQ_DEFAULT"])
    with create_session() as session:
        session.add_all([Team(name="red"), Team(name="blue")])
        session.flush()
        session.add(Connection(conn_id="blue_queues", description="secret", team_name="blue", **database))

    def sign_in(team, role="op"):
        client = TestClient(airflow_app, base_url="http://testserver", raise_server_exceptions=False)
        user = SimpleAuthManagerUser(username=team, role=role, teams=[team])
        client.cookies.set("_token", get_auth_manager().generate_jwt(user))
        return client

    yield sign_in
    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == "blue_queues"))
        session.execute(delete(Team))


def listed(client, **params):
    found = client.get("/pgmq/api/connections", params=params).json()["connections"]
    return {each["connection_id"]: each["may_write"] for each in found}


def test_its_own_team_may_use_it(sign_in):
    client = sign_in("blue")
    assert listed(client) == {"pgmq_default": True, "blue_queues": True}
    (queue,) = client.get("/pgmq/api/blue_queues/queues").json()["queues"]
    assert queue["queue_name"] == "mail"


def test_another_team_does_not_hear_of_it(sign_in):
    client = sign_in("red")
    assert "blue_queues" not in listed(client)
    assert "blue_queues" not in listed(client, connection_id="blue_queues")
    hidden, missing = (client.get(f"/pgmq/api/{name}/queues") for name in ("blue_queues", "nothing"))
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json()["detail"] == missing.json()["detail"].replace("nothing", "blue_queues")
    health = {"connection_id": "blue_queues"}
    assert client.get("/pgmq/health", params=health).status_code == 404
    assert sign_in("blue").get("/pgmq/health", params=health).json()["healthy"] is True


def test_another_team_cannot_act_on_it(sign_in):
    headers = {"X-Pgmq-Request": "1", "Sec-Fetch-Site": "same-origin"}
    answer = sign_in("red").post(
        "/pgmq/api/blue_queues/queues/mail/purge", json={"confirm": "mail"}, headers=headers
    )
    assert answer.status_code == 403
