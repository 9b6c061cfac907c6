"""The page's HTML: one shell for each view, without any data; scripts, styles and icons beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from airflow.plugins_manager import AirflowPlugin
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from airflow_pgmq.command_line import command

__all__ = ["attach", "router"]

#: The views that there are. A queue's name is one part of a path, and none that browsers take for a way up.
_VIEW = re.compile(r"jobs|sent|queue/(?!\.{1,2}$)[^/\\\x00-\x1f\x7f]{1,200}|")

_STATIC = Path(__file__).with_name("static")

# Airflow's own theme is asked from the page around the frame, so nothing is loaded from elsewhere.
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
<script src="{base}/static/theme.js"></script>
<script type="module" src="{base}/static/views/{view}.js"></script>
</head>
<body>
<div id="page"><noscript>{title}: this page needs JavaScript.</noscript></div>
</body>
</html>
"""


class _PageRoute(APIRoute):
    """A route for people: in the frame an answer is a page, and outside of it the way into the frame."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                if request.headers.get("sec-fetch-dest") == "document" and _has_frame():
                    return RedirectResponse(_framed(request, _path(request)), 302)
                return await handler(request)
            except HTTPException as exc:
                return _shell(request, "refused", str(exc.detail), exc.status_code)

        return handle


router = APIRouter(route_class=_PageRoute, include_in_schema=False)
_read = [Depends(requires_access_view(AccessView.WEBSITE))]


def attach(app: FastAPI) -> None:
    """Add pages, redirects and files to the app."""
    app.include_router(router)
    app.add_api_route("/go/{path:path}", go, include_in_schema=False)
    app.mount("/static", _Files(directory=_STATIC))


@router.get("/ui/", dependencies=_read)
def queues_page(request: Request) -> Response:
    """Every queue."""
    return _shell(request, "queues", "Queues")


@router.get("/ui/queue/{queue_name}", dependencies=_read)
def queue_page(request: Request, queue_name: str) -> Response:
    """One queue and its messages."""
    return _shell(request, "queue", queue_name)


@router.get("/ui/jobs", dependencies=_read)
def jobs_page(request: Request) -> Response:
    """The periodic jobs."""
    return _shell(request, "jobs", "Periodic jobs")


@router.get("/ui/sent", dependencies=_read)
def sent_page(request: Request) -> Response:
    """What a Dag, a run or a task has sent: the tab beside Airflow's own."""
    return _shell(request, "sent", "Messages sent")


def go(request: Request, path: str) -> Response:
    """Lead a link that knows no address of Airflow's, such as a worker's, into Airflow's own frame."""
    try:
        return RedirectResponse(_framed(request, path), 302)
    except HTTPException as exc:
        return _shell(request, "refused", str(exc.detail), exc.status_code)


class _Files(StaticFiles):
    """Asked for again after an upgrade, by their ETag, and never guessed to be fresh."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _shell(request: Request, view: str, title: str, status: int = 200) -> Response:
    base = escape(request.scope["root_path"], quote=True)
    page = _SHELL.format(base=base, view=view, title=escape(title), command=command("").rstrip())
    return HTMLResponse(page, status)


def _path(request: Request) -> str:
    # Not of its URL, which is quoted already.
    inside: str = request.scope["path"]
    return inside.removeprefix(request.scope["root_path"]).removeprefix("/ui/")


def _framed(request: Request, path: str) -> str:
    """The address of a view in Airflow's frame; of nothing else, wherever a link would lead to."""
    from airflow.api_fastapi.app import API_ROOT_PATH

    if not _VIEW.fullmatch(path):
        raise HTTPException(404, "There is no such view")
    root = request.scope["root_path"]
    frame = f"{(API_ROOT_PATH or '/').rstrip('/')}/plugin/pgmq" if _has_frame() else ""
    query = urlencode(parse_qsl(request.url.query, keep_blank_values=True), quote_via=quote)
    return f"{frame}{root}/ui/{quote(path)}{'?' if query else ''}{query}"


def _has_frame() -> bool:
    # Airflow 3.0 has no external views: there the page stands for itself.
    return hasattr(AirflowPlugin, "external_views")
