"""Messages. Everybody who is signed in sees that they are there; payloads and headers are for fewer."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from airflow_pgmq import overview, settings
from airflow_pgmq.overview import Search
from airflow_pgmq.ui import auth, database
from airflow_pgmq.ui.answers import Answer
from airflow_pgmq.ui.auth import GetUserDep

router = APIRouter(prefix="/api/{connection_id}", dependencies=auth.READ)

MsgId = Annotated[int | None, Query(ge=0, lt=2**63)]


@router.get("/queues/{queue_name}/messages")
async def list_messages(
    user: GetUserDep,
    connection_id: str,
    queue_name: str,
    where: Literal["queue", "archive"] = "queue",
    dedup_key: str | None = None,
    job: str | None = None,
    msg_id: MsgId = None,
    after: MsgId = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Answer:
    """Messages of a queue, oldest first, or of its archive, newest first."""
    peek = await database.off_the_loop(lambda: auth.may_peek(user, connection_id))
    search = Search(
        queue_name=queue_name,
        where=where,
        msg_id=msg_id,
        dedup_key=dedup_key or None,
        job=job or None,
        after=after,
        limit=limit,
        peek=peek,
    )
    keys = settings.redact_keys()
    return await database.read(
        connection_id, lambda client, conn: Answer(overview.messages(client, search, keys=keys, conn=conn))
    )


@router.get("/sent")
async def list_sent(
    user: GetUserDep,
    connection_id: str,
    dag_id: Annotated[str, Query(min_length=1)],
    run_id: str | None = None,
    task_id: str | None = None,
    map_index: int | None = None,
) -> Answer:
    """What a Dag, a run or a task has sent."""
    peek = await database.off_the_loop(lambda: auth.may_peek(user, connection_id))
    given = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    source = {name: value for name, value in given.items() if value not in (None, "")}
    keys = settings.redact_keys()
    return await database.read(
        connection_id,
        lambda client, conn: Answer(overview.sent(client, source, peek=peek, keys=keys, conn=conn)),
    )
