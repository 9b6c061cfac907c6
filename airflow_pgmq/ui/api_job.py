"""One periodic job."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from airflow_pgmq import settings
from airflow_pgmq.core import visible
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.services import overview
from airflow_pgmq.ui import auth, database
from airflow_pgmq.ui.api_jobs import name_dags
from airflow_pgmq.ui.auth import RequesterDep
from airflow_pgmq.ui.responses import ApiResponse

router = APIRouter(prefix="/api/{connection_id}", dependencies=auth.READ)


@router.get("/jobs/{namespace}/{name}")
async def show_job(requester: RequesterDep, namespace: str, name: str) -> ApiResponse:
    """A job with its next days and its last slots; of a deleted live job, its versions."""
    keys = settings.redact_keys()

    def work(client: Client, conn: Connection) -> dict[str, Any]:
        return overview.details(client, namespace, name, keys=keys, conn=conn)

    found = await database.read(requester, work)
    if found["job"] is not None:
        await name_dags([found["job"]])
    return await database.in_thread(lambda: ApiResponse(found, requester.sees(visible.JOB_DETAILS)))
