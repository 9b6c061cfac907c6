"""The page's HTML, one shell without data for each view, and the static files: scripts, styles, icons."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from airflow_pgmq.command_line import command
from airflow_pgmq.ui.auth import may_open_frame

__all__ = ["attach", "router"]

#: A name is one segment of a path, but not "." or "..", which browsers resolve.
_NAME = r"(?!\.{1,2}(?:/|$))[^/\\\x00-\x1f\x7f]{1,200}"
#: All views.
_VIEW = re.compile(rf"jobs|calendars|sent|queue/{_NAME}|job/{_NAME}/{_NAME}|")

_STATIC = Path(__file__).with_name("static")

# Airflow's theme is read from the page around the frame (theme.js), so nothing is loaded from elsewhere.
_SHELL = """<!doctype html>
<html lang="en" data-command="{command}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · PGMQ</title>
<link rel="icon" href="{base}/static/icons/pgmq.svg">
<link rel="stylesheet" href="{base}/static/vendor/uplot/uPlot.min.css">
<link rel="stylesheet" href="{base}/static/css/page.css">
<link rel="stylesheet" href="{base}/static/css/tables.css">
<link rel="stylesheet" href="{base}/static/css/parts.css">
<link rel="stylesheet" href="{base}/static/css/job.css">
<script src="{base}/static/theme.js"></script>
<script type="module" src="{base}/static/views/{view}.js"></script>
</head>
<body>
<div id="page"><noscript>{title}: this page needs JavaScript.</noscript></div>
</body>
</html>
"""


class _PageRoute(APIRoute):
    """A route that answers with HTML: a refusal is a page; signed-out users go to Airflow's sign-in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                view = _view(request)
                try:
                    return await handler(request)
                except HTTPException as exc:
                    if _is_signed_out(exc) and _fills_the_window(request):
                        return RedirectResponse(_sign_in(request, view), 302)
                    raise
            except HTTPException as exc:
                return _shell(request, "refused", str(exc.detail), exc.status_code)

        return handle


router = APIRouter(route_class=_PageRoute, include_in_schema=False)
_read = [Depends(requires_access_view(AccessView.WEBSITE))]


def attach(app: FastAPI) -> None:
    """Add pages, redirects and files to the app."""
    app.include_router(router)
    app.mount("/static", _Files(directory=_STATIC))


@router.get("/ui/", dependencies=_read)
def queues_page(request: Request, user: GetUserDep) -> Response:
    """Every queue."""
    return _page(request, user, "queues", "Queues")


@router.get("/ui/queue/{queue_name}", dependencies=_read)
def queue_page(request: Request, user: GetUserDep, queue_name: str) -> Response:
    """One queue and its messages."""
    return _page(request, user, "queue", queue_name)


@router.get("/ui/jobs", dependencies=_read)
def jobs_page(request: Request, user: GetUserDep) -> Response:
    """The periodic jobs."""
    return _page(request, user, "jobs", "Periodic jobs")


@router.get("/ui/job/{namespace}/{name}", dependencies=_read)
def job_page(request: Request, user: GetUserDep, namespace: str, name: str) -> Response:
    """One periodic job."""
    return _page(request, user, "job", f"{namespace}/{name}")


@router.get("/ui/calendars", dependencies=_read)
def calendars_page(request: Request, user: GetUserDep) -> Response:
    """The days off that jobs leave out."""
    return _page(request, user, "calendars", "Calendars")


@router.get("/ui/sent", dependencies=_read)
def sent_page(request: Request, user: GetUserDep) -> Response:
    """The tab of a Dag, run or task in Airflow: the messages that it has sent."""
    return _page(request, user, "sent", "Messages sent")


@router.get("/go/{path:path}")
def go(request: Request, user: GetUserDep, path: str) -> Response:
    """Redirect to a view. Links that do not know Airflow's URL lead here, such as those of a worker."""
    view = _view(request)
    return RedirectResponse(_in_frame(request, view) if may_open_frame(user) else _alone(request, view), 302)


class _Files(StaticFiles):
    """Static files that a browser must revalidate by ETag, so that an upgrade takes effect at once."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _page(request: Request, user: Any, view: str, title: str) -> Response:
    if _fills_the_window(request) and may_open_frame(user):
        return RedirectResponse(_in_frame(request, _view(request)), 302)
    return _shell(request, view, title)


def _shell(request: Request, view: str, title: str, status: int = 200) -> Response:
    base = escape(request.scope["root_path"], quote=True)
    page = _SHELL.format(base=base, view=view, title=escape(title), command=command("").rstrip())
    return HTMLResponse(page, status)


def _fills_the_window(request: Request) -> bool:
    # Browsers send this header only to localhost and over HTTPS. A link of ours to /go/ is never in a frame.
    dest = request.headers.get("sec-fetch-dest")
    return dest == "document" or (dest is None and _inside(request).startswith("/go/"))


def _is_signed_out(exc: HTTPException) -> bool:
    # Airflow's own pages redirect to the sign-in for these two.
    return exc.status_code == 401 or (exc.status_code == 403 and exc.detail == "Invalid JWT token")


def _inside(request: Request) -> str:
    # Not from the request's URL: that is percent-encoded.
    path: str = request.scope["path"]
    return path.removeprefix(request.scope["root_path"])


def _view(request: Request) -> str:
    """The requested view with its query; 404 for any other target, so that a link cannot lead elsewhere."""
    path = _inside(request)[len("/ui/") :]
    if not _VIEW.fullmatch(path):
        raise HTTPException(404, "There is no such view")
    query = urlencode(parse_qsl(request.url.query, keep_blank_values=True), quote_via=quote)
    return f"{quote(path)}{'?' if query else ''}{query}"


def _alone(request: Request, view: str) -> str:
    return f"{request.scope['root_path']}/ui/{view}"


def _in_frame(request: Request, view: str) -> str:
    return f"{_airflow()}/plugin/pgmq{_alone(request, view)}"


def _sign_in(request: Request, view: str) -> str:
    back = f"{request.scope['root_path']}{_inside(request)[: len('/ui/')]}{view}"
    return f"{_airflow()}/api/v2/auth/login?{urlencode({'next': back})}"


def _airflow() -> str:
    from airflow.api_fastapi.app import API_ROOT_PATH

    return (API_ROOT_PATH or "/").rstrip("/")
