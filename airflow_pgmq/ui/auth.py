"""Who may do what, decided by Airflow's auth manager.

A signed-in user sees queues and jobs. A user who may read the Airflow connection also sees messages and the
database's error texts. A user who may edit the connection may use the actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, ConnectionDetails
from airflow.api_fastapi.core_api.security import (
    GetUserDep,
    requires_access_connection,
    requires_access_dag,
    requires_access_view,
)
from fastapi import Depends, Header, HTTPException, Request

from airflow_pgmq.core.visible import Shape
from airflow_pgmq.ui import connections

__all__ = [
    "OF_A_DAG",
    "PEEK",
    "READ",
    "WRITE",
    "GetUserDep",
    "Requester",
    "RequesterDep",
    "may_open_frame",
    "may_peek",
    "may_see",
    "may_write",
]


@dataclass(frozen=True, slots=True)
class Requester:
    """The user who makes the request, and the connection that it is about."""

    user: Any
    connection_id: str

    def may_peek(self) -> bool:
        """Whether the user may see payloads, headers and the database's error texts. Blocks."""
        return may_peek(self.user, self.connection_id)

    def sees(self, shape: Shape) -> Shape | None:
        """The fields that the user may see: those of the shape, or all (None). Blocks."""
        return None if self.may_peek() else shape


def _requester(user: GetUserDep, connection_id: str) -> Requester:
    return Requester(user, connection_id)


RequesterDep = Annotated[Requester, Depends(_requester)]


def refuse_other_sites(request: Request, x_pgmq_request: Annotated[str | None, Header()] = None) -> None:
    """Refuse posts of other origins: they can send the user's cookie, but not the header X-Pgmq-Request."""
    if request.headers.get("sec-fetch-site") not in (None, "same-origin") or x_pgmq_request != "1":
        raise HTTPException(403, "Refused: the request does not come from the PGMQ page.")


def refuse_invalid_ids(request: Request, user: GetUserDep) -> None:
    """Refuse an impossible connection id before Airflow asks its database or a secrets backend for it."""
    connection_id = request.path_params.get("connection_id")
    if connection_id is not None and not connections.is_id(connection_id):
        raise connections.missing(connection_id)


def refuse_invalid_dag_ids(request: Request, user: GetUserDep) -> None:
    """Refuse an impossible Dag id before Airflow asks its database for it."""
    dag_id = request.path_params["dag_id"]
    if len(dag_id) > 250 or "\x00" in dag_id:
        raise HTTPException(422, "A Dag's id is a text of up to 250 characters, without NUL.")


def hide_from_other_teams(request: Request, user: GetUserDep) -> None:
    """Answer users of other teams as if the connection did not exist."""
    connection_id = request.path_params.get("connection_id")
    if connection_id is not None and not may_see(user, connection_id):
        raise connections.missing(connection_id)


READ = [
    Depends(requires_access_view(AccessView.WEBSITE)),
    Depends(refuse_invalid_ids),
    Depends(hide_from_other_teams),
]
#: The path's parameter must be called `connection_id`.
PEEK = [
    Depends(refuse_invalid_ids),
    Depends(requires_access_connection("GET")),
    Depends(refuse_other_sites),
]
WRITE = [
    Depends(refuse_invalid_ids),
    Depends(requires_access_connection("PUT")),
    Depends(refuse_other_sites),
]
#: The path's parameter must be called `dag_id`: Airflow 3.1.0 looks for it only there, and otherwise checks
#: the permission for all Dags.
OF_A_DAG = [Depends(refuse_invalid_dag_ids), Depends(requires_access_dag("GET"))]


def may_open_frame(user: Any) -> bool:
    """Whether the user may see Airflow's plugins; others get a 404 for the frame of the page. May block."""
    return bool(get_auth_manager().is_authorized_view(access_view=AccessView.PLUGINS, user=user))


def may_see(user: Any, connection_id: str) -> bool:
    """Whether the connection belongs to no team, or to one of the user's teams."""
    if (team := connections.team(connection_id)) is None:
        return True
    from airflow.api_fastapi.auth.managers.models.resource_details import TeamDetails

    manager = get_auth_manager()
    return bool(manager.is_authorized_team(method="GET", details=TeamDetails(name=team), user=user))


def may_peek(user: Any, connection_id: str) -> bool:
    """Whether the user may see messages and headers."""
    return _may(user, connection_id, "GET")


def may_write(user: Any, connection_id: str) -> bool:
    """Whether the user may use the actions on queues and jobs."""
    return _may(user, connection_id, "PUT")


def _may(user: Any, connection_id: str, method: Any) -> bool:
    details: dict[str, Any] = {"conn_id": connection_id}
    if team := connections.team(connection_id):
        details["team_name"] = team
    return bool(
        get_auth_manager().is_authorized_connection(
            method=method, user=user, details=ConnectionDetails(**details)
        )
    )
