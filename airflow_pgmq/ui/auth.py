"""Who may do what: Airflow's own permissions, asked of its auth manager.

Signed in: see queues and jobs. May read the Airflow connection: see messages. May edit it: act.
"""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, ConnectionDetails
from airflow.api_fastapi.core_api.security import (
    GetUserDep,
    requires_access_connection,
    requires_access_view,
)
from airflow.models import Connection
from fastapi import Depends, Header, HTTPException, Request

__all__ = ["READ", "WRITE", "GetUserDep", "may_peek", "may_write"]


def refuse_other_sites(request: Request, x_pgmq_request: Annotated[str | None, Header()] = None) -> None:
    """A page of another origin can make a browser post with the user's cookie, but not with this header."""
    if request.headers.get("sec-fetch-site") not in (None, "same-origin") or x_pgmq_request != "1":
        raise HTTPException(403, "Refused: the request does not come from the PGMQ page.")


READ = [Depends(requires_access_view(AccessView.WEBSITE))]
#: The path's parameter must be called `connection_id`.
WRITE = [Depends(requires_access_connection("PUT")), Depends(refuse_other_sites)]


def may_peek(user: Any, connection_id: str) -> bool:
    """Whether the user may see messages and headers."""
    return _may(user, connection_id, "GET")


def may_write(user: Any, connection_id: str) -> bool:
    """Whether the user may act on queues and jobs."""
    return _may(user, connection_id, "PUT")


def _may(user: Any, connection_id: str, method: Any) -> bool:
    details: dict[str, Any] = {"conn_id": connection_id}
    if hasattr(Connection, "get_team_name"):  # since 3.2
        details["team_name"] = Connection.get_team_name(connection_id)
    return bool(
        get_auth_manager().is_authorized_connection(
            method=method, user=user, details=ConnectionDetails(**details)
        )
    )
