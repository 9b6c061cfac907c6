"""Response headers of the page, and its answer when something raised."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

from airflow_pgmq.ui.responses import ApiResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)

#: A message that contains HTML or scripts is harmless: nothing inline runs, nothing from elsewhere is loaded.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
ALWAYS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}
FAILED = "The page failed unexpectedly; the log of Airflow's API server says why."


class HeadersMiddleware:
    """Adds the headers to every response, errors and static files too; answers 500 when something raised."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                headers.update(ALWAYS)
                # What only signed-in users may see must not be cached; static files set their own header.
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            if begun:
                raise
            # The exception's text may quote anything, and Airflow's own handlers might show it.
            _log.exception("The PGMQ page failed at %s", scope["path"])
            await ApiResponse({"detail": FAILED}, None, 500)(scope, receive, send_with_headers)
