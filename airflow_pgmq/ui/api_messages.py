"""Messages. Every signed-in user sees the list; payloads and headers need more rights (see `auth`)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query

from airflow_pgmq import settings
from airflow_pgmq.core import visible
from airflow_pgmq.services import overview
from airflow_pgmq.services.overview import Search
from airflow_pgmq.ui import auth, database
from airflow_pgmq.ui.auth import RequesterDep
from airflow_pgmq.ui.requests import MAX_ID, Name, Text
from airflow_pgmq.ui.responses import ApiResponse

router = APIRouter(prefix="/api/{connection_id}", dependencies=auth.READ)

MsgId = Annotated[int | None, Query(ge=-MAX_ID, le=MAX_ID)]


@router.get("/queues/{queue_name}/messages")
async def list_messages(
    requester: RequesterDep,
    queue_name: str,
    source: Literal["queue", "archive"] = "queue",
    dedup_key: Text | None = None,
    job: Text | None = None,
    msg_id: MsgId = None,
    after: MsgId = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ApiResponse:
    """Messages of a queue, oldest first, or of its archive, newest first."""
    peek = await database.in_thread(requester.may_peek)
    if (dedup_key or job) and not peek:
        # Whether a search finds something would tell the user if a guessed key is right.
        raise HTTPException(
            403, "Only users who may read the connection in Airflow can search by key or job."
        )
    search = Search(
        queue_name=queue_name,
        source=source,
        msg_id=msg_id,
        dedup_key=dedup_key or None,
        job=job or None,
        after=after,
        limit=limit,
        peek=peek,
    )
    keys = settings.redact_keys()
    return await database.read(
        requester,
        lambda client, conn: ApiResponse(
            overview.messages(client, search, keys=keys, conn=conn), None if peek else visible.MESSAGES
        ),
    )


@router.get("/dags/{dag_id}/sent", dependencies=auth.OF_A_DAG)
async def list_sent(
    requester: RequesterDep,
    dag_id: str,
    run_id: Name | None = None,
    task_id: Name | None = None,
    map_index: Annotated[int | None, Query(ge=-1, lt=2**31)] = None,
) -> ApiResponse:
    """What a Dag, a run or a task has sent."""
    peek = await database.in_thread(requester.may_peek)
    given = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    source = {name: value for name, value in given.items() if value not in (None, "")}
    keys = settings.redact_keys()
    return await database.read(
        requester,
        lambda client, conn: ApiResponse(
            overview.sent(client, source, peek=peek, keys=keys, conn=conn),
            None if peek else visible.MESSAGES,
        ),
    )
