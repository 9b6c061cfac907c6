"""Every view, for a user who may do everything and for one who may only look."""

from __future__ import annotations

import re

import pytest

from tests.browser import stock
from tests.browser.site import BROKEN, UNLISTED

expect = pytest.importorskip("playwright.sync_api", reason="`make browser` installs it").expect

each_user = pytest.mark.parametrize("user", ["admin", "viewer"])


@each_user
def test_the_page_is_in_airflows_navigation(visit, site, user):
    visitor = visit(user)
    visitor.page.goto(site.url)
    visitor.page.get_by_role("button", name="Browse").click()
    visitor.page.get_by_role("menuitem", name="PGMQ").click()
    expect(visitor.row("orders").first).to_be_visible()
    expect(visitor.page).to_have_url(re.compile("/plugin/pgmq"))
    visitor.frame.get_by_role("link", name="Periodic jobs").click()
    expect(visitor.row("invoices").first).to_be_visible()


def test_airflows_address_names_the_view_so_a_reload_finds_it_again(visit):
    visitor = visit()
    frame = visitor.open("queue/orders")
    expect(frame.get_by_role("heading", name="orders")).to_be_visible()
    frame.get_by_role("link", name="Periodic jobs").click()
    expect(visitor.page).to_have_url(re.compile(r"/plugin/pgmq/pgmq/ui/jobs\?connection_id=pgmq_default$"))
    visitor.page.reload()
    expect(visitor.row("invoices").first).to_be_visible()
    frame.get_by_role("link", name="Queues").click()
    expect(visitor.row("webhooks").first).to_be_visible()
    visitor.page.go_back()
    expect(visitor.row("invoices").first).to_be_visible()


def test_the_page_follows_airflows_theme_at_once(visit):
    visitor = visit(theme="light")
    root = visitor.open().locator("html")
    expect(root).not_to_have_class(re.compile(r"\bdark\b"))
    # The event that Airflow gets when the theme is changed in another tab.
    visitor.page.evaluate("dispatchEvent(new StorageEvent('storage', { key: 'theme', newValue: 'dark' }))")
    expect(root).to_have_class(re.compile(r"\bdark\b"))


ONE = {
    **dict.fromkeys(("visible", "length", "dead_letters", "archived", "jobs"), 1),
    **dict.fromkeys(("in_flight", "delayed", "oldest_age"), 0),
    "queue_name": "one",
    "is_dead_letter_queue": False,
    "arrivals": [1, 0],
    "completions": [0, None],
    "problems": [],
}


@each_user
def test_queues_say_how_full_they_are(visit, user):
    visitor = visit(user)
    visitor.open()
    row = visitor.row("emails").get_by_role("cell")
    expect(row.nth(2)).to_have_text("6")
    expect(visitor.row("events").get_by_role("cell").nth(1)).to_have_text("≈ 400,000")
    expect(visitor.row("orders").get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("Last hour: .* arrived, .* completed")
    )


def test_problems_are_seen_at_a_glance(visit):
    visitor = visit()
    visitor.open()
    expect(visitor.row("webhooks")).to_contain_text("nobody has removed any in the last hour")
    expect(visitor.row("orders")).to_contain_text("dead letters wait in orders_dlq")
    expect(visitor.frame.locator(".summary")).to_contain_text(
        re.compile("9 queues · ≈ 400,000 visible · 6 in ")
    )


def test_commands_in_texts_are_shown_as_code(visit):
    visitor = visit()
    text = "Inserts are not announced: run `airflow pgmq init one`."
    problem = {"severity": "warning", "code": "any", "text": text}
    answer = {"at": None, "problems": [problem], "queues": [ONE | {"problems": [problem]}]}
    visitor.page.route("**/api/pgmq_default/queues", lambda route: route.fulfill(json=answer))
    frame = visitor.open()
    expect(frame.locator(".problem code")).to_have_text("airflow pgmq init one")
    expect(visitor.row("one").locator("code")).to_have_text("airflow pgmq init one")
    expect(frame.locator("main")).not_to_contain_text("`")
    assert visitor.module("dom.js", "({ plain }) => plain('run `a` or `b`, not `')") == "run a or b, not `"


def test_one_is_not_called_many(visit):
    visitor = visit()
    answer = {"at": None, "problems": [], "queues": [ONE]}
    visitor.page.route("**/api/pgmq_default/queues", lambda route: route.fulfill(json=answer))
    frame = visitor.open()
    summary = frame.locator(".summary")
    expect(summary).to_have_text("1 queue · 1 visible · 0 in flight · 1 dead letter")
    slots = '[{ slot: "2026-01-01T00:00:00Z", state: "sent" }]'
    said = visitor.module("parts/slots.js", f"({{ describe }}) => describe({slots})")
    assert said == "Last slot: 1 sent"


def test_queues_are_sorted_and_searched_and_the_address_remembers(visit):
    visitor = visit()
    frame = visitor.open()
    head = frame.get_by_role("columnheader", name="Visible")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(frame.get_by_role("row").nth(1)).to_contain_text("events")
    frame.get_by_label("Search queues").fill("web")
    expect(frame.get_by_role("row")).to_have_count(2)
    inside = visitor.page.frames[-1].url
    assert "sort=visible" in inside
    assert "q=web" in inside


def test_dead_letter_queues_are_shown_when_asked_for(visit):
    visitor = visit()
    frame = visitor.open()
    expect(visitor.row("orders").first).to_be_visible()
    expect(frame.get_by_role("link", name="orders_dlq", exact=True)).to_have_count(0)
    frame.get_by_label("Dead letter queues").check()
    expect(frame.get_by_role("link", name="orders_dlq", exact=True)).to_be_visible()


@each_user
@pytest.mark.parametrize("span", ["hour", "day", "week"])
def test_a_queue_shows_its_history(visit, user, span):
    visitor = visit(user)
    frame = visitor.open("queue/orders", range=span)
    chart = frame.get_by_role("img", name=re.compile("^Per minute, .*Arrived between"))
    expect(chart.locator("canvas")).to_be_visible()
    frame.get_by_text("As a table").last.click()
    expect(
        frame.get_by_role("region", name="Per minute as a table").get_by_role("row").nth(5)
    ).to_be_visible()


HIGHEST = [0, 0.3, 1, 4, 5, 7, 9, 12, 45, 90, 460, 5_000, 90_000, 120_000, 400_000, 1_500_000, 4e9]


def test_axes_have_a_few_round_numbers_of_one_kind(visit):
    visitor = visit()
    visitor.open("queue/orders")
    expect(visitor.frame.locator(".chart canvas").first).to_be_visible()
    axes = visitor.module(
        "parts/chart.js",
        """async ({ Chart }) => {
            const point = (n, minute) => ({ n, at: new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString() });
            return Promise.all(HIGHEST.map(async (highest) => {
                const series = [{ field: "n", label: "N", colour: "--fg" }];
                const chart = new Chart({ title: "T", series });
                document.getElementById("main").append(chart.element);
                chart.show([point(0, 0), point(highest, 1), point(null, 2)]);
                await new Promise((drawn) => setTimeout(drawn));
                return chart.plot.axes[1]._values;
            }));
        }""".replace("HIGHEST", str(HIGHEST)),
    )
    for highest, labels in zip(HIGHEST, axes, strict=True):
        *_, top = numbers = [number(label) for label in labels]
        assert 2 <= len(numbers) <= 5
        assert numbers == [position * top / (len(numbers) - 1) for position in range(len(numbers))]
        assert max(1, highest) <= top <= max(1, 2 * highest)
        assert len({label[-1] for label in labels if label != "0"} & set("KMB")) <= 1
        assert all(label[-1] == labels[-1][-1] or not labels[-1][-1].isalpha() for label in labels[1:])


def number(label):
    digits = label.rstrip("KMB").replace(",", "")
    return float(digits) * {"K": 1e3, "M": 1e6, "B": 1e9}.get(label[-1], 1)


def test_an_empty_queue_says_what_to_do_next(visit):
    frame = visit().open(f"queue/{stock.EMPTY}")
    expect(frame.get_by_role("heading", name="The queue is empty")).to_be_visible()
    expect(frame.get_by_text("PgmqSendOperator")).to_be_visible()


@each_user
def test_periodic_jobs(visit, site, user):
    stock.fall_behind(site.live.queues)
    visitor = visit(user)
    frame = visitor.open("jobs")
    row = visitor.row("invoices")
    expect(row).to_contain_text("At 06:00, Monday through Friday")
    expect(row).to_contain_text("Europe/Berlin")
    expect(row.get_by_role("img", name=re.compile("sent, 2 late, 2 missed, 1 duplicate"))).to_be_visible()
    row.locator("summary").click()
    expect(row.get_by_role("listitem")).to_have_count(4)
    expect(visitor.row(stock.PAUSED)).to_contain_text("paused")
    expect(frame.get_by_text(f"has not ticked namespace {stock.STOPPED}")).to_be_visible()
    expect(visitor.row(f"{stock.BEHIND}_check")).to_contain_text("overdue by 20 min")


def test_a_jobs_dag_is_a_link_into_airflow(visit):
    visitor = visit()
    visitor.open("jobs").get_by_role("link", name="Dag shop_jobs").click()
    expect(visitor.page).to_have_url(re.compile("/dags/shop_jobs$"))
    expect(visitor.page.get_by_role("heading", name="shop_jobs")).to_be_visible()


def test_a_task_has_a_tab_with_what_it_sent(visit, site):
    visitor = visit()
    path = f"dags/shop_orders/runs/{site.run_id('shop_orders')}/tasks/send_order"
    visitor.page.goto(f"{site.url}/{path}")
    visitor.page.get_by_role("link", name="PGMQ").click()
    expect(visitor.frame.get_by_text("This task sent 1 message")).to_be_visible()
    visitor.frame.get_by_role("link", name="orders", exact=True).click()
    expect(visitor.page).to_have_url(re.compile("/plugin/pgmq/pgmq/ui/queue/orders"))


def test_a_dag_that_sent_nothing_has_a_friendly_tab(visit, site):
    visitor = visit("viewer")
    visitor.open("sent", dag_id="other")
    expect(visitor.frame.get_by_role("heading", name="No messages here")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "lands"), [("PGMQ queue", "orders"), ("PGMQ messages sent", "Messages sent")]
)
def test_a_tasks_details_have_links_to_the_page(visit, site, name, lands):
    visitor = visit()
    path = f"dags/shop_orders/runs/{site.run_id('shop_orders')}/tasks/send_order/details"
    visitor.page.goto(f"{site.url}/{path}")
    visitor.follow(visitor.page.get_by_role("link", name=name))
    expect(visitor.frame.get_by_role("heading", name=lands)).to_be_visible()


@each_user
def test_a_connection_that_fails_is_named_with_the_reason(visit, user):
    visitor = visit(user)
    # The browser reports our answer 502.
    visitor.expected = (f"/api/{BROKEN}/",)
    frame = visitor.open(connection_id=BROKEN)
    alert = frame.get_by_role("alert")
    expect(alert).to_contain_text(f"Connection {BROKEN} failed")
    # Libpq's message contains host, port and user.
    told = (
        "Connection refused"
        if user == "admin"
        else "Users who may see the connection in Airflow are told more"
    )
    expect(alert).to_contain_text(told)
    frame.get_by_label("Connection").select_option("pgmq_default")
    expect(visitor.row("orders").first).to_be_visible()


@pytest.mark.parametrize(
    ("path", "title"),
    [("queue/nowhere", "Not found"), ("queue/orders?msg_id=first", "Invalid request")],
)
def test_what_is_not_the_connections_fault_is_not_called_so(visit, path, title):
    visitor = visit()
    visitor.expected = ("/api/pgmq_default/queues/",)
    alert = visitor.open(path, connection_id="pgmq_default").get_by_role("alert")
    expect(alert.get_by_role("heading")).to_have_text(title)
    expect(alert.get_by_role("link")).to_have_count(0)


def test_a_connection_that_no_list_has_is_opened_by_its_address(visit):
    visitor = visit()
    frame = visitor.open(connection_id=UNLISTED)
    expect(visitor.row("orders").first).to_be_visible()
    expect(frame.get_by_label("Connection")).to_have_value(UNLISTED)
    frame.get_by_role("link", name="orders", exact=True).click()
    expect(frame.get_by_role("button", name="Purge…")).to_be_visible()


def test_a_connection_that_does_not_exist_is_named(visit):
    visitor = visit()
    visitor.expected = ("/api/nothing/",)
    frame = visitor.open(connection_id="nothing")
    expect(frame.get_by_role("heading", name="There is no connection nothing")).to_be_visible()


def test_what_is_unknown_is_not_called_none(visit):
    visitor = visit()
    visitor.open()
    expect(visitor.row("orders").first).to_be_visible()
    said = visitor.module(
        "parts/queue.js",
        """({ COLUMNS }) => {
            const cell = COLUMNS.find(({ id }) => id === "dead_letters").cell;
            const huge = { queue_name: "orders", dead_letters: 400000, dead_letters_estimated: true };
            const unknown = { queue_name: "orders", dead_letters: null };
            return [cell(unknown).textContent, cell(huge).textContent];
        }""",
    )
    assert said == ["?", "≈ 400,000"]
    slots = visitor.module("parts/slots.js", "({ slotStrip }) => slotStrip(null).textContent")
    assert slots == "not shown (more than 500 jobs)"


@pytest.mark.parametrize(
    "path", ["", "queue/orders", "queue/orders?tab=dead_letters", "jobs", "sent?dag_id=shop_orders"]
)
def test_a_narrow_page_does_not_scroll_sideways(visit, path):
    visitor = visit(width=400)
    visitor.open(path)
    expect(visitor.frame.get_by_role("row").nth(1)).to_be_visible()
    wide = visitor.page.frames[-1].evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0


def test_the_page_refreshes_itself_except_in_a_hidden_tab(visit):
    visitor = visit()
    page = visitor.page
    page.clock.install()
    visitor.open()
    expect(visitor.row("orders").first).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/queues") else None)

    def look(hidden: bool) -> None:
        page.frames[-1].evaluate(
            """(hidden) => {
                Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
                document.dispatchEvent(new Event("visibilitychange"));
            }""",
            hidden,
        )

    with page.expect_response("**/queues"):
        page.clock.fast_forward(10_000)
    look(hidden=True)
    asked.clear()
    page.clock.fast_forward(60_000)
    page.frames[-1].evaluate("document.title")
    assert asked == []
    with page.expect_response("**/queues"):
        look(hidden=False)


def test_a_connection_that_is_added_later_is_found(visit):
    visitor = visit()
    none = {"json": {"connections": []}}
    visitor.page.route("**/pgmq/api/connections*", lambda route: route.fulfill(**none))
    frame = visitor.open()
    expect(frame.get_by_role("heading", name="No connection to a queue yet")).to_be_visible()
    visitor.page.unroute("**/pgmq/api/connections*")
    frame.get_by_role("button", name="Refresh").click()
    expect(visitor.row("orders").first).to_be_visible()


def test_a_failure_that_is_over_goes(visit):
    visitor = visit()
    visitor.expected = ("/pgmq/api/connections",)
    visitor.page.route("**/pgmq/api/connections*", lambda route: route.fulfill(status=500))
    frame = visitor.open()
    expect(frame.get_by_role("alert")).to_be_visible()
    visitor.page.unroute("**/pgmq/api/connections*")
    visitor.page.route("**/pgmq/api/connections*", lambda route: route.fulfill(json={"connections": []}))
    frame.get_by_role("button", name="Try again").click()
    expect(frame.get_by_role("heading", name="No connection to a queue yet")).to_be_visible()
    expect(frame.get_by_role("alert")).to_have_count(0)


def test_a_refresh_leaves_the_keyboard_where_it_is(visit, site):
    visitor = visit()
    frame = visitor.open("queue/orders")
    frame.get_by_role("checkbox").first.check()
    delete = frame.get_by_role("button", name="Delete")
    delete.focus()
    refresh = frame.get_by_role("button", name="Refresh")
    refreshed = frame.locator(".updated time")
    refreshed.evaluate("(node) => { node.dataset.before = 'yes' }")
    refresh.evaluate("(node) => node.click()")
    expect(frame.locator(".updated time:not([data-before])")).to_be_visible()
    expect(delete).to_be_focused()


def test_a_tab_that_does_not_exist_is_the_first(visit):
    visitor = visit()
    visitor.open("queue/orders", tab="bogus")
    expect(visitor.frame.get_by_role("checkbox").first).to_be_visible()
