"""Periodic jobs, and the Dags that own them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from fastapi import APIRouter
from sqlalchemy import select

from airflow_pgmq.core import visible
from airflow_pgmq.services import overview
from airflow_pgmq.ui import auth, database
from airflow_pgmq.ui.auth import RequesterDep
from airflow_pgmq.ui.responses import ApiResponse

router = APIRouter(prefix="/api/{connection_id}", dependencies=auth.READ)


@router.get("/jobs")
async def list_jobs(requester: RequesterDep) -> ApiResponse:
    """All periodic jobs and the namespaces that they tick in."""
    found = await database.read(requester, lambda client, conn: overview.jobs(client, conn=conn))
    await name_dags([*found["namespaces"], *found["jobs"]])
    return await database.in_thread(lambda: ApiResponse(found, requester.sees(visible.JOBS)))


async def name_dags(owned: Iterable[dict[str, Any]]) -> None:
    """Correct `dag_id` and `task_id` where either may contain dots: choose the Dag that Airflow knows."""
    dotted = [each for each in owned if each["owner"].count(".") > 1]
    if not dotted:
        return
    known = await database.in_thread(lambda: _known({dag for each in dotted for dag in _dags(each)}))
    for each in dotted:
        if dag_id := next((dag for dag in _dags(each) if dag in known), None):
            each |= {"dag_id": dag_id, "task_id": each["owner"][len(dag_id) + 1 :]}


def _dags(owned: dict[str, Any]) -> list[str]:
    parts = owned["owner"].split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _known(dag_ids: set[str]) -> set[str]:
    with create_session() as session:
        return set(session.scalars(select(DagModel.dag_id).where(DagModel.dag_id.in_(dag_ids))))
