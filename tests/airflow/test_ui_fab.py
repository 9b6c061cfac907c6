"""The page with the FAB auth manager: every role is served, and sees and does what it may."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.fixtures.fab import ROLES
from tests.fixtures.ui import ACTING

pytestmark = [pytest.mark.xdist_group("fab_airflow"), pytest.mark.timeout(180), pytest.mark.slow]

WINDOW = {"Sec-Fetch-Dest": "document"}
#: The roles that may read and edit connections, and those to which Airflow shows plugins.
MORE = ("Admin", "Op")

each_role = pytest.mark.parametrize("role", ROLES)


@pytest.fixture
def msg_id(fab_airflow):
    return fab_airflow.hook().send("mail", {"body": "secret"}).msg_id


@each_role
def test_the_pages_address_works_for_everybody(as_role, role):
    """In Airflow's frame where there is one for the user, else by itself and no 404."""
    client = as_role(role)
    has_frame = client.get("/api/v2/plugins").status_code == 200
    answer = client.get("/pgmq/ui/queue/mail?tab=archive", headers=WINDOW)

    assert has_frame == (role in MORE)
    if has_frame:
        assert answer.status_code == 302
        assert answer.headers["location"] == "/plugin/pgmq/pgmq/ui/queue/mail?tab=archive"
    else:
        assert answer.status_code == 200
        assert "/pgmq/static/views/queue.js" in answer.text


@each_role
def test_links_lead_where_the_user_gets_to(as_role, role):
    answer = as_role(role).get("/pgmq/go/jobs?namespace=shop")
    frame = "/plugin/pgmq" if role in MORE else ""

    assert answer.status_code == 302
    assert answer.headers["location"] == f"{frame}/pgmq/ui/jobs?namespace=shop"


@pytest.mark.parametrize("path", ["/pgmq/go/queue/mail?msg_id=4", "/pgmq/ui/queue/mail?msg_id=4"])
def test_who_is_not_signed_in_comes_back_to_the_link_afterwards(as_role, path):
    answer = as_role(None).get(path, headers=WINDOW)
    assert answer.status_code == 302

    sign_in = as_role(None).get(answer.headers["location"])
    assert sign_in.status_code == 307
    address = urlsplit(sign_in.headers["location"])
    assert address.path == "/auth/login/"
    assert parse_qs(address.query) == {"next": [path]}


@each_role
def test_everybody_sees_queues_and_jobs(as_role, role):
    client = as_role(role)
    (connection,) = client.get("/pgmq/api/connections").json()["connections"]
    queues = client.get("/pgmq/api/pgmq_default/queues").json()["queues"]

    assert (connection["may_peek"], connection["may_write"]) == (role in MORE, role in MORE)
    assert [queue["queue_name"] for queue in queues] == ["mail"]
    assert client.get("/pgmq/api/pgmq_default/jobs").status_code == 200
    assert client.get("/pgmq/api/pgmq_default/dags/shop/sent").status_code == 200


@each_role
def test_messages_are_shown_to_who_may_read_the_connection(as_role, role, msg_id):
    answer = as_role(role).get(f"/pgmq/api/pgmq_default/queues/mail/messages?msg_id={msg_id}")
    (message,) = answer.json()["messages"]

    assert message["msg_id"] == msg_id
    assert ("secret" in answer.text) == (role in MORE)


@each_role
def test_who_may_edit_the_connection_may_act(as_role, role, msg_id, fab_airflow):
    path = "/pgmq/api/pgmq_default/queues/mail/delete"
    answer = as_role(role).post(path, json={"msg_ids": [msg_id]}, headers=ACTING)
    left = fab_airflow.ask_queues("SELECT FROM pgmq.q_mail WHERE msg_id = %s", msg_id)

    assert answer.status_code == (200 if role in MORE else 403)
    assert len(left) == (0 if role in MORE else 1)
