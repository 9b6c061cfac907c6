"""Connections and queues."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter

from airflow_pgmq.core import visible
from airflow_pgmq.services import overview
from airflow_pgmq.ui import auth, connections, database
from airflow_pgmq.ui.auth import GetUserDep, RequesterDep
from airflow_pgmq.ui.requests import Name
from airflow_pgmq.ui.responses import ApiResponse

router = APIRouter(prefix="/api", dependencies=auth.READ)


@router.get("/connections")
async def list_connections(user: GetUserDep, connection_id: Name | None = None) -> ApiResponse:
    """Every connection that can be listed, the one named, and what this user may do with each."""
    return await database.in_thread(
        lambda: ApiResponse({"connections": _connections(user, connection_id)}, None)
    )


def _connections(user: Any, asked_for: str | None) -> list[dict[str, Any]]:
    found = []
    for each in connections.known(asked_for):
        connection_id = each["connection_id"]
        if auth.may_see(user, connection_id):
            may_peek = auth.may_peek(user, connection_id)
            may = {"may_peek": may_peek, "may_write": auth.may_write(user, connection_id)}
            # The description is only for users who may read the connection in Airflow.
            shape = None if may_peek else visible.CONNECTION
            found.append({**each, **may} if shape is None else visible.public({**each, **may}, shape))
    return found


@router.get("/{connection_id}/queues")
async def list_queues(requester: RequesterDep) -> ApiResponse:
    """All queues."""
    return await database.read(
        requester,
        lambda client, conn: ApiResponse(overview.queues(client, conn), requester.sees(visible.QUEUES)),
    )


@router.get("/{connection_id}/queues/{queue_name}")
async def show_queue(
    requester: RequesterDep, queue_name: str, range: Literal["hour", "day", "week"] = "hour"
) -> ApiResponse:
    """One queue with its history."""
    return await database.read(
        requester,
        lambda client, conn: ApiResponse(
            overview.queue(client, queue_name, range, conn), requester.sees(visible.QUEUE)
        ),
    )
