"""A link to the page leads through the sign-in to the page, whatever auth manager and role."""

from __future__ import annotations

import re

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="`make browser` installs it").expect


@pytest.fixture
def stranger(chromium):
    """A visitor who is not signed in; at the end no script of ours may have failed."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    stacks = []
    page.on("pageerror", lambda error: stacks.append(error.stack))
    yield page
    context.close()
    # FAB's own form has a script that fails.
    assert [stack for stack in stacks if "/pgmq/" in stack] == []


def follow_a_link(page, port):
    page.goto(f"http://127.0.0.1:{port}/pgmq/go/queue/mail?tab=archive&connection_id=pgmq_default")


def sign_in_to_fab(page, role):
    page.get_by_label("Username").fill(role)
    page.get_by_label("Password").fill(role)
    page.get_by_role("button", name="Sign In").click()


@pytest.mark.parametrize("role", ["Viewer", "User"])
def test_who_has_no_frame_sees_the_page_by_itself(fab_airflow, stranger, role):
    page = stranger
    follow_a_link(page, fab_airflow.api_port)
    sign_in_to_fab(page, role)
    expect(page.get_by_role("heading", name="mail")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/pgmq/ui/queue/mail\?tab=archive&connection_id=pgmq_default$"))
    expect(page.get_by_role("link", name="Archive")).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Periodic jobs").click()
    expect(page.get_by_role("heading", name="No periodic jobs yet")).to_be_visible()
    page.get_by_role("link", name="Airflow", exact=True).click()
    expect(page.get_by_text("Welcome")).to_be_visible()


def test_who_has_a_frame_lands_in_it(fab_airflow, stranger):
    page = stranger
    follow_a_link(page, fab_airflow.api_port)
    sign_in_to_fab(page, "Op")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="mail")).to_be_visible()
    expect(frame.get_by_role("link", name="Archive")).to_have_attribute("aria-current", "page")
    expect(frame.get_by_role("link", name="Airflow", exact=True)).to_have_count(0)


def test_a_session_that_ends_leads_to_the_sign_in_and_back(fab_airflow, stranger):
    page = stranger
    follow_a_link(page, fab_airflow.api_port)
    sign_in_to_fab(page, "Viewer")
    expect(page.get_by_role("heading", name="mail")).to_be_visible()
    page.context.clear_cookies()
    page.get_by_role("button", name="Refresh").click()
    sign_in_to_fab(page, "Viewer")
    expect(page.get_by_role("heading", name="mail")).to_be_visible()


def test_the_simple_sign_in_leads_there_too(site, stranger):
    page = stranger
    page.goto(f"{site.url}/pgmq/go/queue/orders?tab=archive")
    page.get_by_label("Username").fill("viewer")
    page.get_by_label("Password").fill("viewer")
    page.get_by_role("button", name="Sign in").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="orders")).to_be_visible()
    expect(frame.get_by_role("link", name="Archive")).to_have_attribute("aria-current", "page")
