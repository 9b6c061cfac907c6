"""The page's HTML, its files, and the ways into Airflow's frame."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_pgmq.command_line import command

FRAME = {"Sec-Fetch-Dest": "iframe"}
WINDOW = {"Sec-Fetch-Dest": "document"}


@pytest.fixture
def nobody(as_user):
    return as_user(None)


@pytest.mark.parametrize("path", ["", "queue/mail", "jobs", "job/shop/job", "sent?dag_id=shop"])
def test_a_view_is_a_page_without_data_that_loads_its_script(guest, path):
    answer = guest.get(f"/pgmq/ui/{path}", headers=FRAME)
    assert answer.headers["content-type"].startswith("text/html")
    scripts = re.findall(r'src="(/pgmq/static/[^"]+)"', answer.text)
    assert len(scripts) == 2
    assert [guest.get(script).status_code for script in scripts] == [200, 200]
    assert "<script>" not in answer.text


def test_everything_that_the_page_names_is_there(guest):
    page = guest.get("/pgmq/ui/", headers=FRAME).text
    named = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert {path: guest.get(path).status_code for path in named} == dict.fromkeys(named, 200)


def test_the_page_knows_the_command_that_makes_queues(guest):
    assert (
        f'data-command="{command("init").removesuffix(" init")}"'
        in guest.get("/pgmq/ui/", headers=FRAME).text
    )


def test_a_queues_name_is_escaped(guest):
    answer = guest.get("/pgmq/ui/queue/%3Cscript%3Ealert(1)%3C%2Fscript%3E", headers=FRAME)
    assert "<script>alert" not in answer.text


def test_who_is_not_signed_in_gets_a_page_that_leads_to_the_sign_in(nobody):
    answer = nobody.get("/pgmq/ui/queue/mail", headers=FRAME)
    assert answer.status_code == 401
    assert "/views/refused.js" in answer.text
    assert "mail" not in answer.text


@pytest.mark.parametrize("way", ["go", "ui"])
@pytest.mark.parametrize("token", [None, "forged"])
def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(nobody, way, token):
    if token:
        nobody.cookies.set("_token", token)
    path = f"/pgmq/{way}/queue/mail?tab=archive&msg_id=4"
    answer = nobody.get(path, headers=WINDOW, follow_redirects=False)
    assert answer.status_code == 302
    sign_in = urlsplit(answer.headers["location"])
    assert sign_in.path == "/api/v2/auth/login"
    assert parse_qs(sign_in.query) == {"next": [path]}


def test_a_link_to_a_server_without_https_leads_to_the_sign_in_too(nobody):
    """There browsers do not say what a page is for."""
    answer = nobody.get("/pgmq/go/jobs", follow_redirects=False)
    assert answer.headers["location"] == "/api/v2/auth/login?next=%2Fpgmq%2Fgo%2Fjobs"


def test_a_page_opened_by_itself_goes_into_airflows_frame(guest):
    answer = guest.get("/pgmq/ui/queue/mail?tab=archive", headers=WINDOW, follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["location"] == "/plugin/pgmq/pgmq/ui/queue/mail?tab=archive"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("queue/mail?msg_id=4", "/plugin/pgmq/pgmq/ui/queue/mail?msg_id=4"),
        ("jobs", "/plugin/pgmq/pgmq/ui/jobs"),
        ("calendars", "/plugin/pgmq/pgmq/ui/calendars"),
        ("", "/plugin/pgmq/pgmq/ui/"),
        ("job/shop/mail.eu?x=1", "/plugin/pgmq/pgmq/ui/job/shop/mail.eu?x=1"),
        ("queue/a%20b%25", "/plugin/pgmq/pgmq/ui/queue/a%20b%25"),
        (
            "sent?dag_id=a%26b&run_id=x%0d%0aSet-Cookie:y",
            "/plugin/pgmq/pgmq/ui/sent?dag_id=a%26b&run_id=x%0D%0ASet-Cookie%3Ay",
        ),
    ],
)
def test_links_lead_into_airflows_frame_and_nowhere_else(guest, path, location):
    answer = guest.get(f"/pgmq/go/{path}", follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["location"] == location


@pytest.mark.parametrize(
    "path",
    [
        "/evil.example",
        "//evil.example",
        "https:%2F%2Fevil.example",
        "javascript:alert(1)",
        "..%2F..%2Fevil",
        "%2e%2e/%2e%2e/evil",
        "..%5C..%5Cevil",
        "%5C%5Cevil.example",
        "queue/%2e%2e",
        "queue/%2e",
        "queue/..%2Fjobs",
        "queue/a%2Fb",
        "queue/%5Cevil",
        "queue/",
        "queue/a%0d%0aSet-Cookie:%20a=b",
        "queue/%00",
        "queue/%E2%80%AE" + "x" * 300,
        "jobs/",
        "job/shop",
        "job/shop/",
        "job/%2e%2e/jobs",
        "job/shop/%2e%2e",
        "job/shop/job/more",
        "jobs%0a",
        "nothing",
    ],
)
def test_links_to_anything_else_lead_nowhere(guest, nobody, path):
    for client in (guest, nobody):
        for way in ("go", "ui"):
            answer = client.get(f"/pgmq/{way}/{path}", headers=WINDOW, follow_redirects=False)
            assert answer.status_code == 404 or "location" not in answer.headers, way
            assert "set-cookie" not in answer.headers


def test_files_are_asked_for_again_and_answered_shortly(guest):
    first = guest.get("/pgmq/static/theme.js")
    assert first.headers["cache-control"] == "no-cache"
    again = guest.get("/pgmq/static/theme.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


def test_the_menu_entry_and_the_tabs_are_known_to_airflow(boss):
    plugins = boss.get("/api/v2/plugins").json()["plugins"]
    [ours] = [plugin for plugin in plugins if plugin["name"] == "pgmq"]
    places = {view["destination"]: view["href"] for view in ours["external_views"]}
    assert places.keys() == {"nav", "dag", "dag_run", "task_instance"}
    for view in ours["external_views"]:
        assert boss.get(f"/{view['icon']}").status_code == 200
        assert boss.get(f"/{view['href']}", headers=FRAME).status_code == 200
