"""What the buttons do to the database; users without the permission see no button."""

from __future__ import annotations

import pytest

from tests.browser import stock

expect = pytest.importorskip("playwright.sync_api", reason="`make browser` installs it").expect


@pytest.fixture(scope="module", autouse=True)
def own_queues(site):
    stock.fill_own(site.live.hook(), site.live.queues)
    yield
    stock.drop_own(site.live.hook())


def choose(visitor, *msg_ids):
    for msg_id in msg_ids:
        visitor.frame.get_by_label(f"Choose message {msg_id}", exact=True).check()


def test_messages_are_released(visit, site):
    first, second, *_ = site.ids("released")
    visitor = visit()
    frame = visitor.open("queue/released")
    choose(visitor, first, second)
    frame.get_by_role("button", name="Release").click()
    visitor.confirm("Release")
    expect(frame.get_by_text("2 messages released")).to_be_visible()
    visible = site.ask("SELECT msg_id FROM pgmq.q_released WHERE vt <= clock_timestamp() ORDER BY msg_id")
    assert [row[0] for row in visible] == [first, second]


def test_messages_are_deleted(visit, site):
    first, *rest = site.ids("removed")
    visitor = visit()
    frame = visitor.open("queue/removed")
    choose(visitor, first)
    frame.get_by_role("button", name="Delete").click()
    visitor.confirm("Delete")
    expect(frame.get_by_text("1 message deleted")).to_be_visible()
    expect(frame.get_by_role("button", name=str(first), exact=True)).to_have_count(0)
    assert site.ids("removed") == rest


def test_ids_that_browsers_round_are_exact(visit, site):
    site.live.execute_on_queues("SELECT pgmq.create('wide')")
    site.live.execute_on_queues("SELECT setval('pgmq.q_wide_msg_id_seq', 9007199254740992)")
    site.live.execute_on_queues("SELECT pgmq.send('wide', '{}') FROM generate_series(1, 2)")
    visitor = visit()
    frame = visitor.open("queue/wide")
    choose(visitor, 9007199254740993)
    frame.get_by_role("button", name="Delete").click()
    visitor.confirm("Delete")
    expect(frame.get_by_text("1 message deleted")).to_be_visible()
    assert site.ids("wide") == [9007199254740994]
    # Otherwise the page would refresh itself and notice that the queue is missing.
    visitor.page.close()
    site.live.execute_on_queues("SELECT pgmq.drop_queue('wide')")


def test_a_dialog_that_is_called_off_does_nothing(visit, site):
    before = site.ids("removed")
    visitor = visit()
    frame = visitor.open("queue/removed")
    choose(visitor, before[-1])
    frame.get_by_role("button", name="Delete").click()
    visitor.page.keyboard.press("Escape")
    expect(frame.get_by_role("dialog")).to_have_count(0)
    assert site.ids("removed") == before


@pytest.mark.parametrize("number", [1, 2])
def test_the_question_is_about_one_or_about_several(visit, site, number):
    visitor = visit()
    frame = visitor.open("queue/orders", tab="dead_letters")
    choose(visitor, *site.ids("orders_dlq")[:number])
    dialog = frame.get_by_role("dialog")
    one = number == 1
    for action, text in {
        "Requeue": "It goes back to the queue that it came" if one else "They go back to the queue that they",
        "Delete": "It is deleted, not archived" if one else "They are deleted, not archived",
    }.items():
        frame.get_by_role("button", name=action, exact=True).click()
        expect(dialog).to_contain_text(f"{action} {'1 message' if one else '2 messages'}?{text}")
        dialog.get_by_role("button", name="Cancel").click()
    visitor.open("queue/orders")
    choose(visitor, *site.ids("orders")[:number])
    frame.get_by_role("button", name="Release").click()
    expect(dialog).to_contain_text("can read it at once" if one else "can read them at once")


def test_a_dialog_keeps_the_keyboard_and_gives_it_back(visit):
    visitor = visit()
    frame = visitor.open("queue/orders")
    purge = frame.get_by_role("button", name="Purge…")
    dialog = frame.get_by_role("dialog")
    for leave in ("Escape", "Cancel"):
        purge.focus()
        purge.press("Enter")
        expect(dialog.get_by_role("textbox")).to_be_focused()
        for key in ("Tab", "Tab", "Tab", "Shift+Tab", "Shift+Tab", "Shift+Tab", "Shift+Tab"):
            visitor.page.keyboard.press(key)
            expect(dialog.locator(":focus")).to_have_count(1)
            assert visitor.page.evaluate("document.activeElement.tagName") == "IFRAME"
        if leave == "Escape":
            visitor.page.keyboard.press("Escape")
        else:
            dialog.get_by_role("button", name="Cancel").press("Enter")
        expect(dialog).to_have_count(0)
        expect(purge).to_be_focused()


def test_after_an_action_the_keyboard_is_where_it_was(visit):
    """Although the button has become another one."""
    visitor = visit()
    frame = visitor.open("jobs")
    for before, after in (("Pause", "Resume"), ("Resume", "Pause")):
        button = frame.get_by_role("button", name=f"{before}: stock_sync")
        button.focus()
        button.press("Enter")
        visitor.confirm(before)
        expect(frame.get_by_role("button", name=f"{after}: stock_sync")).to_be_focused()


def test_a_queue_is_paused_and_resumed(visit, site):
    visitor = visit()
    frame = visitor.open("queue/released")
    pause, resume = (frame.get_by_role("button", name=name) for name in ("Pause queue…", "Resume queue"))
    pause.focus()
    pause.press("Enter")
    frame.get_by_label("Reason").fill("a <b>bad</b> deploy")
    visitor.confirm("Pause")
    said = frame.get_by_text("a <b>bad</b> deploy.")
    expect(said).to_contain_text("Paused by")
    expect(resume).to_be_focused()
    assert site.live.hook().read("released") == []

    # Everybody sees it, and only those who may change it have the button.
    guest = visit("viewer").open("queue/released")
    expect(guest.get_by_text("a <b>bad</b> deploy.")).to_be_visible()
    expect(guest.get_by_role("button", name="Resume queue")).to_have_count(0)
    visitor.open()
    expect(visitor.row("released")).to_contain_text("a <b>bad</b> deploy")

    frame = visitor.open("queue/released")
    resume.click()
    visitor.confirm("Resume")
    expect(pause).to_be_visible()
    expect(said).to_have_count(0)
    assert site.live.hook().paused_queues() == []


def test_after_the_last_action_the_keyboard_is_at_the_page(visit, site):
    """The messages are gone, and with them their button."""
    visitor = visit()
    frame = visitor.open("queue/removed")
    choose(visitor, site.ids("removed")[-1])
    delete = frame.get_by_role("button", name="Delete")
    delete.focus()
    delete.press("Enter")
    visitor.confirm("Delete")
    expect(delete).to_be_disabled()
    expect(frame.locator("#main")).to_be_focused()


def test_a_queue_is_purged_once_its_name_is_typed(visit, site):
    visitor = visit()
    frame = visitor.open("queue/purged")
    frame.get_by_role("button", name="Purge…").click()
    purge = frame.get_by_role("dialog").get_by_role("button", name="Purge")
    expect(purge).to_be_disabled()
    frame.get_by_label("Type purged to confirm").fill("orders")
    expect(purge).to_be_disabled()
    frame.get_by_label("Type purged to confirm").fill("purged")
    visitor.confirm("Purge")
    expect(frame.get_by_text("5 messages deleted")).to_be_visible()
    expect(frame.get_by_role("heading", name="The queue is empty")).to_be_visible()
    assert site.ids("purged") == []


def test_what_runs_cannot_be_called_off(visit, site):
    site.live.execute_on_queues("SELECT pgmq.create('slow')")
    site.live.execute_on_queues("SELECT pgmq.send('slow', '{}')")
    visitor = visit()
    frame = visitor.open("queue/slow")
    held = []
    visitor.page.route("**/purge", lambda route: held.append(route))
    frame.get_by_role("button", name="Purge…").click()
    frame.get_by_label("Type slow to confirm").fill("slow")
    dialog = frame.get_by_role("dialog")
    with visitor.page.expect_request("**/purge"):
        dialog.get_by_role("button", name="Purge").click()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_disabled()
    visitor.page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    held[0].continue_()
    expect(frame.get_by_text("1 message deleted")).to_be_visible()
    expect(dialog).to_have_count(0)
    visitor.page.close()
    site.live.execute_on_queues("SELECT pgmq.drop_queue('slow')")


def test_dead_letters_of_a_dropped_queue_stay_and_are_counted(visit, site):
    for name in ("sharing", "sharing_dlq"):
        site.live.execute_on_queues(f"SELECT pgmq.create('{name}')")
    site.live.execute_on_queues(
        "SELECT pgmq.send('sharing_dlq', '{}', "
        "jsonb_build_object('dead_letter', jsonb_build_object('queue', name)))"
        " FROM unnest(ARRAY['sharing', 'former']) AS name"
    )
    visitor = visit()
    frame = visitor.open("queue/sharing", tab="dead_letters")
    frame.get_by_role("button", name="Requeue all").click()
    visitor.confirm("Requeue")
    expect(frame.get_by_text("1 message requeued; 1 not requeued: its queue does not exist")).to_be_visible()
    assert (len(site.ids("sharing")), len(site.ids("sharing_dlq"))) == (1, 1)
    visitor.page.close()
    for name in ("sharing", "sharing_dlq"):
        site.live.execute_on_queues(f"SELECT pgmq.drop_queue('{name}')")


def test_dead_letters_are_requeued(visit, site):
    before = len(site.ids("requeued"))
    first, *rest = site.ids("requeued_dlq")
    visitor = visit()
    frame = visitor.open("queue/requeued", tab="dead_letters")
    choose(visitor, first)
    frame.get_by_role("button", name="Requeue", exact=True).click()
    visitor.confirm("Requeue")
    expect(frame.get_by_text("1 message requeued")).to_be_visible()
    assert site.ids("requeued_dlq") == rest
    frame.get_by_role("button", name="Requeue all").click()
    visitor.confirm("Requeue")
    expect(frame.get_by_role("heading", name="No dead letters")).to_be_visible()
    assert site.ids("requeued_dlq") == []
    assert len(site.ids("requeued")) == before + 1 + len(rest)


def test_a_job_is_paused_and_resumed(visit, site):
    state = "SELECT paused FROM airflow_pgmq.periodic_jobs WHERE name = 'stock_sync'"
    visitor = visit()
    frame = visitor.open("jobs")
    frame.get_by_role("button", name="Pause: stock_sync").click()
    visitor.confirm("Pause")
    expect(visitor.row("stock_sync")).to_contain_text("paused")
    assert site.ask(state) == [(True,)]
    frame.get_by_role("button", name="Resume: stock_sync").click()
    visitor.confirm("Resume")
    expect(frame.get_by_role("button", name="Pause: stock_sync")).to_be_visible()
    assert site.ask(state) == [(False,)]


def test_a_job_is_run_now(visit, site):
    before = site.ids("reports")
    visitor = visit()
    frame = visitor.open("jobs")
    frame.get_by_role("button", name="Run now: monthly_report").click()
    visitor.confirm("Run now")
    expect(frame.get_by_text("monthly_report: sent")).to_be_visible()
    assert len(site.ids("reports")) == len(before) + 1


def test_what_was_done_is_in_the_audit_log(visit, site):
    visitor = visit()
    frame = visitor.open("jobs")
    frame.get_by_role("button", name="Run now: monthly_report").click()
    visitor.confirm("Run now")
    logged = site.live.ask(
        "SELECT owner FROM log WHERE event LIKE 'pgmq%%run_now%%' ORDER BY id DESC LIMIT 1"
    )
    assert logged == [("admin",)]


@pytest.mark.parametrize(
    "path", ["queue/released", "queue/orders?tab=dead_letters", "queue/orders?tab=archive", "jobs"]
)
def test_a_viewer_has_no_buttons_that_change_anything(visit, path):
    visitor = visit("viewer")
    frame = visitor.open(path)
    expect(frame.get_by_role("row").nth(1)).to_be_visible()
    for name in ("Purge", "Release", "Delete", "Requeue", "Pause", "Resume", "Run now"):
        assert frame.get_by_role("button", name=name).count() == 0
    assert frame.get_by_role("checkbox").count() == 0


def test_what_fails_is_said_in_the_dialog(visit, site):
    """The queue is dropped while somebody looks at it."""
    site.live.execute_on_queues("SELECT pgmq.create('vanishing')")
    site.live.execute_on_queues("SELECT pgmq.send('vanishing', '{}')")
    visitor = visit()
    visitor.expected = ("/queues/vanishing",)
    frame = visitor.open("queue/vanishing")
    choose(visitor, 1)
    site.live.execute_on_queues("SELECT pgmq.drop_queue('vanishing')")
    frame.get_by_role("button", name="Delete").click()
    dialog = frame.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("alert")).to_contain_text("vanishing")
    dialog.get_by_role("button", name="Cancel").click()


def test_a_paused_job_is_not_pausable(visit):
    visitor = visit()
    frame = visitor.open("jobs")
    expect(frame.get_by_role("button", name=f"Resume: {stock.PAUSED}")).to_be_visible()
    expect(frame.get_by_role("button", name=f"Pause: {stock.PAUSED}")).to_have_count(0)
