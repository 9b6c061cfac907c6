"""Connections and queues."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter

from airflow_pgmq import overview
from airflow_pgmq.ui import auth, connections, database
from airflow_pgmq.ui.answers import Answer
from airflow_pgmq.ui.auth import GetUserDep

router = APIRouter(prefix="/api", dependencies=auth.READ)


@router.get("/connections")
async def list_connections(user: GetUserDep, connection_id: str | None = None) -> Answer:
    """Every connection that can be listed and the one named, and what this user may do with each."""

    def find() -> list[dict[str, Any]]:
        return [
            {
                **each,
                "may_peek": auth.may_peek(user, each["connection_id"]),
                "may_write": auth.may_write(user, each["connection_id"]),
            }
            for each in connections.known(connection_id)
            if auth.may_see(user, each["connection_id"])
        ]

    return await database.off_the_loop(lambda: Answer({"connections": find()}))


@router.get("/{connection_id}/queues")
async def list_queues(connection_id: str) -> Answer:
    """All queues."""
    return await database.read(connection_id, lambda client, conn: Answer(overview.queues(client, conn)))


@router.get("/{connection_id}/queues/{queue_name}")
async def show_queue(
    connection_id: str, queue_name: str, range: Literal["hour", "day", "week"] = "hour"
) -> Answer:
    """One queue with its history."""
    return await database.read(
        connection_id, lambda client, conn: Answer(overview.queue(client, queue_name, range, conn))
    )
