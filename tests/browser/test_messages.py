"""Looking at messages: their content, who sent them, and that scripts in them are never run."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from tests.browser import stock

expect = pytest.importorskip("playwright.sync_api", reason="`make browser` installs it").expect

HOSTILE = "order/<img src=x onerror='window.hurt = 1'>"


def open_hostile(visitor):
    """The message that `send_hostile` has sent, opened below its row."""
    frame = visitor.open("queue/orders", by="dedup_key", q=HOSTILE)
    frame.get_by_role("cell").get_by_role("button").click()
    return frame.locator(".message")


def test_a_message_of_html_and_script_does_nothing(visit):
    visitor = visit()
    message = open_hostile(visitor)
    expect(message).to_contain_text("<script>window.hurt = 1</script>")
    expect(message).to_contain_text("<svg onload='window.hurt = 1'>")
    for frame in visitor.page.frames:
        assert frame.evaluate("window.hurt") is None
    assert visitor.frame.locator("main script, main img[src], main b:not([data-field])").count() == 0


def test_secrets_are_hidden_and_large_numbers_keep_their_digits(visit):
    message = open_hostile(visit())
    expect(message.get_by_role("region", name="Message")).to_contain_text('"token": "***"')
    expect(message).not_to_contain_text("tok_live_secret")
    expect(message).to_contain_text("12345678901234567890")
    expect(message).to_contain_text("values hidden")


def test_a_viewer_sees_that_a_message_is_there_and_not_what_it_says(visit):
    admin = visit()
    open_hostile(admin)
    msg_id = admin.page.frames[-1].locator(".opener").first.inner_text().strip()
    visitor = visit("viewer")
    answers: list[str] = []
    visitor.page.on("response", lambda each: answers.append(each.text()) if "/messages" in each.url else None)
    frame = visitor.open("queue/orders", msg_id=msg_id)
    expect(frame.get_by_label("Search by").get_by_role("option")).to_have_text(["Message id"])
    message = frame.locator(".message")
    expect(message).to_contain_text("Only users who may read the connection in Airflow see the content")
    expect(message).not_to_contain_text("order/")
    assert answers
    assert not any("<script>" in each or "order/" in each for each in answers)


def test_the_run_that_sent_a_message_is_a_link_into_airflow(visit, site):
    visitor = visit()
    open_hostile(visitor).get_by_role("link", name="shop_orders.send_hostile").click()
    wanted = f"/dags/shop_orders/runs/{site.run_id('shop_orders')}/tasks/send_hostile"
    visitor.page.wait_for_url(lambda url: unquote(url).endswith(wanted))


@pytest.mark.parametrize(
    ("by", "text", "found"), [("Message id", "184", "order/1"), ("Dedup key", "order/2", "order/2")]
)
def test_messages_are_found(visit, by, text, found):
    visitor = visit()
    frame = visitor.open("queue/orders")
    expect(frame.locator(".opener").first).to_be_visible()
    frame.get_by_label("Search by").select_option(by)
    frame.get_by_label("Search messages").fill(text)
    frame.get_by_label("Search messages").press("Enter")
    expect(frame.locator(".opener")).to_have_count(1)
    expect(visitor.row(found).first).to_be_visible()


def test_a_search_goes_on_where_the_server_stopped_looking(visit):
    visitor = visit()
    frame = visitor.open("queue/events", by="dedup_key", q="event/30000")
    expect(visitor.row("event/30000").first).to_be_visible()
    frame = visitor.open("queue/events", by="dedup_key", q="event/120000")
    expect(frame.get_by_text("Searched 100,000 messages so far")).to_be_visible()
    frame.get_by_role("button", name="Look further").click()
    expect(visitor.row("event/120000").first).to_be_visible()


def test_a_large_message_is_opened_alone(visit):
    frame = visit().open("queue/billing")
    expect(frame.locator(".opener")).to_have_count(1)
    frame.get_by_role("link", name="large: open this message alone").click()
    expect(frame.get_by_role("region", name="Message", exact=True)).to_contain_text("x" * 40_000)


def test_headers_of_others_may_hold_anything(visit):
    visitor = visit()
    visitor.open("queue/orders")
    expect(visitor.frame.locator(".opener").first).to_be_visible()
    said = visitor.module(
        "parts/message.js",
        """({ messageDetail }) => {
            const number = JSON.rawJSON?.("12345678901234567890") ?? "12345678901234567890";
            const dead = { queue: number, msg_id: number, read_ct: number, enqueued_at: number };
            const source = { dag_id: "shop", run_id: number, task_id: [], map_index: number };
            const times = { enqueued_at: "soon", vt: "2026-99-99", slot: "never", expires_at: "infinity" };
            return messageDetail({ ...times, read_ct: 1, dead_letter: dead, source }).textContent;
        }""",
    )
    for text in ("soon", "2026-99-99", "never", "infinity", "shop", "message 12345678901234567890"):
        assert text in said


def test_messages_of_a_job_are_found(visit, site):
    frame = visit().open("queue/cache", by="job", q="cache_warm")
    expect(frame.locator(".opener").first).to_be_visible()


def test_a_link_to_a_message_that_was_archived_finds_it(visit, site):
    ((msg_id,),) = site.ask("SELECT min(msg_id) FROM pgmq.a_orders")
    frame = visit().open("queue/orders", msg_id=msg_id)
    expect(frame.get_by_role("link", name=re.compile("^Archive"))).to_have_attribute("aria-current", "page")
    expect(frame.locator(".message")).to_contain_text("Archived")


def test_the_archive_comes_page_by_page(visit):
    frame = visit().open("queue/orders", tab="archive")
    expect(frame.locator(".opener")).to_have_count(50)
    frame.get_by_role("button", name="Show more").click()
    expect(frame.locator(".opener")).to_have_count(100)


def test_dead_letters_say_why(visit):
    frame = visit().open("queue/orders", tab="dead_letters")
    expect(frame.get_by_text("KeyError: 'total' has no value").first).to_be_visible()
    frame.locator(".opener").first.click()
    expect(frame.locator(".message")).to_contain_text("Failed in")
    expect(frame.locator(".message")).to_contain_text(re.compile(f"Failed after{stock.TRIES} tries"))


def test_dead_letters_say_how_often_they_were_tried(visit):
    visitor = visit()
    frame = visitor.open("queue/orders", tab="dead_letters")
    expect(frame.get_by_role("columnheader", name="Tries")).to_be_visible()
    expect(frame.locator("td.col-tries").first).to_have_text(str(stock.TRIES))
    # As a message of its own queue nobody has read it.
    frame = visitor.open("queue/orders_dlq")
    expect(frame.locator("td.col-read_ct").first).to_have_text(f"0failed after {stock.TRIES} tries")
    frame = visit("viewer").open("queue/orders", tab="dead_letters")
    expect(frame.locator(".opener").first).to_be_visible()
    expect(frame.get_by_role("columnheader", name="Tries")).to_have_count(0)


def test_a_long_reason_is_cut_and_shown_whole_when_asked_for(visit):
    visitor = visit()
    frame = visitor.open("queue/orders", tab="dead_letters")
    cell = frame.locator("td.col-reason").last
    expect(cell).to_contain_text("ValueError: the order has lines")
    whole = cell.get_by_text(stock.LONG_REASON)
    expect(whole).not_to_be_visible()
    cell.get_by_text("Show all").click()
    expect(whole).to_be_visible()
    # A refresh leaves it open.
    frame.locator(".updated time").evaluate("(node) => { node.dataset.before = 'yes' }")
    frame.get_by_role("button", name="Refresh").click()
    expect(frame.locator(".updated time:not([data-before])")).to_be_visible()
    expect(whole).to_be_visible()
    cell.get_by_text("Show less").click()
    expect(whole).not_to_be_visible()
    # A short one is not cut.
    expect(frame.locator("td.col-reason").first.locator("details")).to_have_count(0)


def test_the_keyboard_is_enough(visit):
    visitor = visit()
    frame = visitor.open("queue/orders")
    opener = frame.locator(".opener").first
    opener.focus()
    opener.press("Enter")
    expect(opener).to_have_attribute("aria-expanded", "true")
    opener.press("Enter")
    expect(opener).to_have_attribute("aria-expanded", "false")
    frame.get_by_role("button", name="Purge…").press("Enter")
    expect(frame.get_by_label(re.compile("to confirm"))).to_be_visible()
    visitor.page.keyboard.press("Escape")
    expect(frame.get_by_role("dialog")).to_have_count(0)
