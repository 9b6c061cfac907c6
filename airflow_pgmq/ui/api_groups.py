"""Groups of a queue that is read in order; users who may edit the connection let a stopped one go on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, Field, StrictBool

from airflow_pgmq import settings
from airflow_pgmq.core import visible
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services import overview
from airflow_pgmq.ui import audit, auth, database
from airflow_pgmq.ui.auth import RequesterDep
from airflow_pgmq.ui.requests import Body, body_of, without_nul
from airflow_pgmq.ui.responses import ApiResponse

router = APIRouter(prefix="/api/{connection_id}/queues/{queue_name}/groups")


class Stopped(Body):
    """A group, and whether the message that stopped it becomes a dead letter."""

    group: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(without_nul)]
    as_dead_letter: StrictBool = False


StoppedDep = Annotated[Stopped, Depends(body_of(Stopped))]


@router.get("", dependencies=auth.READ)
async def show_groups(requester: RequesterDep, queue_name: str) -> ApiResponse:
    """The groups, and what holds them back."""
    keys = settings.redact_keys()
    return await database.read(
        requester,
        lambda client, conn: ApiResponse(
            overview.groups(client, queue_name, conn, keys=keys), requester.sees(visible.GROUPS)
        ),
    )


@router.post("/resume", dependencies=auth.WRITE)
async def resume_group(requester: RequesterDep, queue_name: str, body: StoppedDep) -> ApiResponse:
    """Let a stopped group go on."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        changed = hook.resume_group(queue_name, body.group, as_dead_letter=body.as_dead_letter)
        if changed:
            audit.note(
                requester,
                "resume_group",
                queue=queue_name,
                group=body.group,
                as_dead_letter=body.as_dead_letter,
            )
        return {"changed": changed}

    return ApiResponse(await database.write(requester, work), None)
