"""The page speaks the language that the user chose in Airflow."""

from __future__ import annotations

import re

import pytest

from tests.unit.test_languages import CATALOGUES, PLURALS, TRANSLATED

expect = pytest.importorskip("playwright.sync_api", reason="`make browser` installs it").expect

#: Airflow's own words in the languages that a test switches from.
MENU = {"en": ("User", "Select Language"), "zh-CN": ("用户", "选择语言")}


def choose(visitor, now, name):
    """Choose a language in Airflow's own menu."""
    button, item = MENU[now]
    visitor.page.get_by_role("button", name=button, exact=True).click()
    visitor.page.get_by_role("menuitem", name=item).click()
    dialog = visitor.page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill(name)
    visitor.page.get_by_role("option", name=name, exact=True).click()
    visitor.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_the_page_is_in_chinese_if_airflow_is(visit):
    visitor = visit(language="zh-CN")
    frame = visitor.open()
    expect(frame.get_by_role("columnheader").filter(has_text="死信")).to_be_visible()
    expect(frame.get_by_role("link", name="周期作业")).to_be_visible()
    expect(frame.locator(".summary")).to_contain_text(re.compile("^9 个队列 · ≈ 400,000 可见"))
    expect(frame.get_by_placeholder("搜索队列")).to_be_visible()
    expect(frame.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(frame.locator("html")).to_have_attribute("dir", "ltr")
    frame.get_by_role("link", name="周期作业").click()
    row = visitor.row("invoices")
    expect(row.locator("summary time")).to_have_attribute("title", re.compile(r"^\d{4}年\d+月\d+日 06:00:00"))
    expect(row.get_by_role("img", name=re.compile(r"最近 \d+ 个调度时刻：.*2 个已错过"))).to_be_visible()


def test_what_is_wrong_is_said_in_that_language_too(visit):
    visitor = visit(language="de")
    frame = visitor.open()
    expect(visitor.row("orders")).to_contain_text("Dead Letters warten in orders_dlq")
    unread = visitor.row("webhooks").locator(".flag")
    expect(unread).to_contain_text("in der letzten Stunde welche entfernt")
    expect(unread).to_have_attribute("title", "Den Konsumenten der Warteschlange starten oder reparieren.")
    visitor.row("orders").get_by_role("link", name="orders", exact=True).click()
    problem = frame.locator(".problem").filter(has_text="orders_dlq")
    expect(problem.locator(".fix")).to_contain_text("Ihre Gründe lesen, die Ursache beheben")


def test_the_page_follows_a_choice_in_airflows_menu_at_once(visit):
    visitor = visit(language="zh-CN")
    frame = visitor.open("queue/orders", tab="archive")
    expect(frame.get_by_role("navigation", name="消息").get_by_role("link", name="归档")).to_be_visible()
    choose(visitor, "zh-CN", "Deutsch")
    link = frame.get_by_role("navigation", name="Nachrichten").get_by_role("link", name="Archiv")
    # The view is still the same.
    expect(link).to_have_attribute("aria-current", "page")
    expect(frame.locator("html")).to_have_attribute("lang", "de")


def test_a_form_is_kept_until_it_is_closed(visit):
    visitor = visit()
    frame = visitor.open("calendars")
    frame.get_by_role("button", name="Add calendar…").click()
    frame.get_by_label("Name").fill("typed")
    choose(visitor, "en", "Français")
    expect(visitor.page.locator("html")).to_have_attribute("lang", "fr")
    expect(frame.get_by_label("Name")).to_have_value("typed")
    frame.get_by_role("button", name="Cancel").click()
    expect(frame.get_by_role("button", name="Ajouter un calendrier…")).to_be_visible()


@pytest.mark.parametrize("language", ["zh-TW", "pt"])
def test_a_language_without_a_catalogue_is_english(visit, language):
    visitor = visit(language=language)
    frame = visitor.open()
    expect(frame.get_by_role("link", name="Periodic jobs")).to_be_visible()
    # Not that of Airflow's own page: before 3.4 it can stay "en" after the first load.
    expect(frame.locator("html")).to_have_attribute("lang", "en")


def test_a_catalogue_that_cannot_be_had_is_english(visit):
    visitor = visit(language="de")
    visitor.expected = ("/languages/de.js",)
    visitor.page.route("**/languages/de.js", lambda route: route.fulfill(status=500))
    frame = visitor.open()
    expect(frame.get_by_role("link", name="Periodic jobs")).to_be_visible()
    expect(frame.locator("html")).to_have_attribute("lang", "en")


def test_what_a_catalogue_lacks_is_english(visit):
    visitor = visit(language="de")
    visitor.page.route(
        "**/languages/de.js",
        lambda route: route.fulfill(
            body='export default { "Queues": "Reihen" };', content_type="text/javascript"
        ),
    )
    frame = visitor.open()
    expect(frame.get_by_role("link", name="Reihen", exact=True)).to_be_visible()
    expect(frame.get_by_role("link", name="Periodic jobs")).to_be_visible()
    expect(frame.locator(".summary")).to_contain_text("9 queues")


def test_a_language_is_another_if_its_script_is(visit):
    visitor = visit()
    visitor.open()
    expect(visitor.frame.get_by_role("link", name="Periodic jobs")).to_be_visible()
    asked = [
        "de-AT",
        "zh",
        "zh-Hans-SG",
        "zh-HK",
        "es-MX",
        "fr",
        "ja-JP",
        "en-GB",
        "xx",
        "",
        "not a language",
    ]
    found = visitor.module("language.js", f"({{ best }}) => {asked}.map(best)")
    assert found == ["de", "zh-CN", "zh-CN", "en", "es", "fr", "ja", "en", "en", "en", "en"]


def test_the_plurals_are_those_of_the_browser(visit):
    visitor = visit()
    visitor.open()
    for name in CATALOGUES:
        rules = f"new Intl.PluralRules('{name}').resolvedOptions().pluralCategories"
        assert set(visitor.page.evaluate(rules)) == PLURALS[name]


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("language", TRANSLATED)
def test_a_page_in_another_language_does_not_scroll_sideways(visit, language, width):
    visitor = visit(width=width, language=language)
    for path in ("", "queue/orders", "queue/orders?tab=dead_letters", "jobs", "job/shop/stock_sync"):
        visitor.open(path)
        expect(visitor.frame.get_by_role("row").nth(1)).to_be_visible()
        wide = visitor.page.frames[-1].evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, path
