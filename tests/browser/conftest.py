"""A real Airflow with a shop's queues, and a real browser that opens it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest

from airflow_pgmq.db.local import LocalPostgres
from tests.browser import stock
from tests.browser.site import Site, secrets_backend, settings
from tests.browser.visitor import Visitor
from tests.fixtures.live import METADATA, LiveAirflow, live_environment
from tests.fixtures.postgres import SETTINGS, Database, prepare_template
from tests.fixtures.services import free_ports, running_services

if TYPE_CHECKING:
    from playwright.sync_api import Browser, StorageState

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One Airflow for all tests here."""
    home, logs = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("site_logs")
    [api_port] = free_ports(1)
    with (
        LocalPostgres(settings=SETTINGS) as own,
        LocalPostgres(settings=SETTINGS) as other,
        running_services(home, logs) as services,
    ):
        prepare_template(other.dsn())
        queues = Database(other, "postgres")
        with psycopg.connect(own.dsn(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {METADATA}")
        environment = live_environment(home, own.uri(METADATA), queues, api_port) | settings(home)
        environment |= secrets_backend(home, environment["AIRFLOW_CONN_PGMQ_DEFAULT"])
        live = LiveAirflow(services, environment, api_port, Database(own, METADATA), queues)
        stock.fill(live.hook(), queues)
        site = Site(live)
        site.up()
        site.wait_for_runs()
        stock.age(live.hook(), queues)
        yield site


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's browser."""
    if CHROMIUM is None:
        # In CI no test may be skipped.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "Chromium is missing; on Debian: apt-get install chromium"
        )
    from playwright.sync_api import expect, sync_playwright

    # The browser is slow on a machine that is busy with other tests.
    expect.set_options(timeout=20_000)

    # As root Chromium starts only without its sandbox; it opens only our own Airflow.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sessions(site: Site, chromium: Browser) -> Callable[[str], StorageState]:
    """Sign in by Airflow's own form, once for each person."""
    states: dict[str, StorageState] = {}

    def state(user: str) -> StorageState:
        if user not in states:
            context = chromium.new_context()
            page = context.new_page()
            page.goto(site.url)
            page.get_by_label("Username").fill(user)
            page.get_by_label("Password").fill(user)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_text("Welcome").wait_for()
            states[user] = context.storage_state()
            context.close()
        return states[user]

    return state


@pytest.fixture
def visit(
    site: Site, chromium: Browser, sessions: Callable[[str], StorageState]
) -> Iterator[Callable[..., Visitor]]:
    """A visitor of the page; at the end the browser's console must have no errors."""
    visitors: list[Visitor] = []

    def open_as(
        user: str = "admin", *, width: int = 1280, theme: str = "light", language: str = "en"
    ) -> Visitor:
        context = chromium.new_context(
            storage_state=sessions(user),
            viewport={"width": width, "height": 900},
            timezone_id="Europe/Berlin",
            locale="en-GB",
            reduced_motion="reduce",
        )
        # An empty page, as a new tab is at first, may not store anything.
        context.add_init_script(f"if (origin !== 'null') localStorage.setItem('theme', '{theme}')")
        # Once, because a test may choose another one in Airflow.
        choice = f"sessionStorage.chosen ??= localStorage.i18nextLng = '{language}'"
        context.add_init_script(f"if (origin !== 'null') {choice}")
        visitor = Visitor(context.new_page(), site)
        visitors.append(visitor)
        return visitor

    yield open_as
    for visitor in visitors:
        visitor.page.context.close()
    complaints = [text for visitor in visitors for text in visitor.complaints]
    assert complaints == []
