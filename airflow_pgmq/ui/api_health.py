"""Health, for monitors outside of Airflow: a dead Airflow cannot tell of itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from fastapi import APIRouter, Depends, HTTPException
from pydantic import Field

from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services import health
from airflow_pgmq.ui import auth, connections, database
from airflow_pgmq.ui.auth import Requester
from airflow_pgmq.ui.requests import Name
from airflow_pgmq.ui.responses import ApiResponse

router = APIRouter(dependencies=[Depends(requires_access_view(AccessView.WEBSITE))])

MaxAge = Annotated[int, Field(ge=1, le=86_400)]


@router.get("/health")
async def show_health(
    user: GetUserDep, connection_id: Name = PgmqHook.default_conn_name, max_age: MaxAge = 300
) -> ApiResponse:
    """200 if all slots happen in time and each namespace is ticked, 503 otherwise."""
    await database.in_thread(lambda: _refuse_hidden(user, connection_id))
    requester = Requester(user, connection_id)
    try:
        found = await database.read(
            requester,
            lambda client, conn: client.run(lambda: health.examine(timedelta(seconds=max_age)), conn),
        )
    except HTTPException as exc:
        # Errors of the database, with as much as the user may know.
        if exc.status_code < 500:
            raise
        return ApiResponse({"connection_id": connection_id, "healthy": False, "error": exc.detail}, None, 503)
    # Names and times, which every signed-in user may see.
    answer = {"connection_id": connection_id, **found.as_dict()}
    return ApiResponse(answer, None, 200 if found.is_good else 503)


def _refuse_hidden(user: object, connection_id: str) -> None:
    """Answer as for a connection that does not exist, as the other routes do."""
    if not connections.is_id(connection_id) or not auth.may_see(user, connection_id):
        raise connections.missing(connection_id)
