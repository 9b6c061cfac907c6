"""Somebody with a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, FrameLocator, Locator, Page

    from tests.browser.site import Site

#: Sources of complaints of Airflow's own page, which are not about ours.
NOT_OURS = ("/api/v2/", "/ui/", "/static/assets/")
#: Airflow gives the frames of plugins both rights; the browser says so at each.
SANDBOX = "An iframe which has both allow-scripts and allow-same-origin"


class Visitor:
    """One tab; it collects the errors of its console."""

    def __init__(self, page: Page, site: Site) -> None:
        self.site = site
        self.complaints: list[str] = []
        #: Answers that a test provokes; the browser itself reports them.
        self.expected: tuple[str, ...] = ()
        self._look_at(page)

    def _look_at(self, page: Page) -> None:
        self.page = page
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        url = message.location.get("url", "")
        path = urlsplit(url).path
        if message.text.startswith(SANDBOX) or path.startswith(NOT_OURS):
            return
        ours = path.startswith("/pgmq/")
        if (ours or message.type == "error") and not any(text in url for text in self.expected):
            self.complaints.append(f"{message.text} ({url})")

    def open(self, path: str = "", **query: Any) -> FrameLocator:
        """Open a view of ours by the link that a worker would have made."""
        self.page.goto(f"{self.site.url}/pgmq/go/{path}" + (f"?{urlencode(query)}" if query else ""))
        return self.frame

    def follow(self, link: Locator) -> None:
        """Click a link of Airflow's own; returns the page that it opens, in 3.1 sometimes a new tab."""
        if link.get_attribute("target") != "_blank":
            link.click()
            return
        with self.page.expect_popup() as opened:
            link.click()
        self._look_at(opened.value)

    @property
    def frame(self) -> FrameLocator:
        """Our page inside Airflow's."""
        return self.page.frame_locator("iframe")

    def row(self, text: str) -> Locator:
        """A row of a table of ours, by the text of one of its cells."""
        return self.frame.get_by_role("row").filter(has_text=text)

    def module(self, path: str, use: str) -> Any:
        """Run a JavaScript function with one of our modules, in our page."""
        address = f"{self.site.url}/pgmq/static/{path}"
        return self.page.frames[-1].evaluate(f"async (address) => ({use})(await import(address))", address)

    def confirm(self, action: str) -> None:
        """Confirm the dialog, and wait until the action is done."""
        dialog = self.frame.get_by_role("dialog")
        dialog.get_by_role("button", name=action, exact=True).click()
        dialog.wait_for(state="detached")
