"""Live jobs, put, restored and deleted by users who may edit the connection; the audit log has it all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from pydantic import Field

from airflow_pgmq import settings
from airflow_pgmq.core import job_documents, job_form, jobs
from airflow_pgmq.core.job_problems import MAX_VERSION
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.live_jobs import JobVersion
from airflow_pgmq.core.stored_jobs import UNREADABLE, unreadable
from airflow_pgmq.errors import InvalidInput, InvalidJobs, JobNotFound
from airflow_pgmq.hooks import PgmqHook, rendering
from airflow_pgmq.services import overview
from airflow_pgmq.ui import audit, auth, database
from airflow_pgmq.ui.auth import Requester, RequesterDep
from airflow_pgmq.ui.requests import Body, WholeNumber, body_of
from airflow_pgmq.ui.responses import ApiResponse

router = APIRouter(prefix="/api/{connection_id}")

_Version = Annotated[WholeNumber, Field(ge=0, le=MAX_VERSION)]


class Draft(Body):
    """A job as documents have it, perhaps not finished."""

    definition: dict[str, Any]


class Definition(Body):
    """A job, and the version that it replaces."""

    definition: dict[str, Any]
    expected_version: _Version


class Expected(Body):
    """The version that was looked at."""

    expected_version: _Version


class Restoration(Body):
    """The version to restore, and the one that is there."""

    version: _Version
    expected_version: _Version


DraftDep = Annotated[Draft, Depends(body_of(Draft))]
DefinitionDep = Annotated[Definition, Depends(body_of(Definition))]
ExpectedDep = Annotated[Expected, Depends(body_of(Expected))]
RestorationDep = Annotated[Restoration, Depends(body_of(Restoration))]


@router.post("/preview", dependencies=auth.PEEK)
async def preview(requester: RequesterDep, body: DraftDep) -> ApiResponse:
    """What is wrong with a job, and its next slots; nothing is written."""
    may_write = await database.in_thread(lambda: auth.may_write(requester.user, requester.connection_id))

    def check(job: PeriodicJob) -> None:
        jobs.check([job], settings.max_message_bytes())
        if may_write:
            # Templates are run, which is for those who could put the job.
            rendering.check([job])

    return await database.read(
        requester,
        lambda client, conn: ApiResponse(
            overview.preview(client, body.definition, check=check, conn=conn), None
        ),
    )


@router.post("/jobs/{namespace}/{name}/put", dependencies=auth.WRITE)
async def put(requester: RequesterDep, namespace: str, name: str, body: DefinitionDep) -> ApiResponse:
    """Make a live job, or give it another definition."""
    if body.definition.get("name", name) != name:
        raise HTTPException(422, "A job keeps its name; make a new job to give it another one.")
    keys = settings.redact_keys()

    def work(hook: PgmqHook) -> dict[str, Any]:
        hook.client.ensure_schema()
        before = _document(_newest(hook, namespace, name))
        job = job_form.job(body.definition, name, before, keys)
        version = _put(requester, hook, namespace, job, body.expected_version)
        _note(requester, "put_job", namespace, name, before, job, version=version)
        return {"version": version}

    return await _changed(requester, work)


@router.post("/jobs/{namespace}/{name}/restore", dependencies=auth.WRITE)
async def restore(requester: RequesterDep, namespace: str, name: str, body: RestorationDep) -> ApiResponse:
    """Put a version of a live job again."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        versions = hook.job_versions(namespace, name)
        wanted = next((each for each in versions if each.version == body.version and each.definition), None)
        if wanted is None:
            raise HTTPException(404, f"Job {namespace}/{name} has no version {body.version} to restore.")
        before, job = _document(versions[0]), _job(wanted)
        version = _put(requester, hook, namespace, job, body.expected_version)
        details = {"version": version, "restored": body.version}
        _note(requester, "restore_job", namespace, name, before, job, **details)
        return {"version": version}

    return await _changed(requester, work)


@router.post("/jobs/{namespace}/{name}/delete", dependencies=auth.WRITE)
async def delete(requester: RequesterDep, namespace: str, name: str, body: ExpectedDep) -> ApiResponse:
    """Delete a live job; its versions stay."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        before = _document(_newest(hook, namespace, name))
        taken_back = hook.delete_job(
            namespace, name, expected_version=body.expected_version, changed_by=requester.user.get_name()
        )
        _note(requester, "delete_job", namespace, name, before, None, taken_back=taken_back)
        return {"taken_back": taken_back}

    return await _changed(requester, work)


async def _changed(requester: Requester, work: Any) -> ApiResponse:
    def told(hook: PgmqHook) -> dict[str, Any]:
        try:
            found: dict[str, Any] = work(hook)
            return found
        except InvalidJobs as exc:
            texts = [each["text"] or "" for each in job_form.problems(exc)]
            raise HTTPException(422, "\n".join(texts)) from exc

    return ApiResponse(await database.write(requester, told), None)


def _put(
    requester: Requester, hook: PgmqHook, namespace: str, job: PeriodicJob, expected_version: int
) -> int:
    by = requester.user.get_name()
    return hook.put_job(namespace, job, expected_version=expected_version, changed_by=by)


def _newest(hook: PgmqHook, namespace: str, name: str) -> JobVersion | None:
    try:
        return hook.job_versions(namespace, name)[0]
    except JobNotFound:
        return None


def _job(version: JobVersion) -> PeriodicJob:
    try:
        job = version.job
    except UNREADABLE as exc:
        text = f"This version of airflow_pgmq cannot read version {version.version}: {unreadable(exc)}."
        raise HTTPException(422, text) from exc
    assert job is not None  # that version has a definition
    return job


def _document(version: JobVersion | None) -> dict[str, Any] | None:
    """A version in JSON types; None: there is no job, or this code cannot read it."""
    try:
        job = version.job if version else None
        return job_documents.as_mapping(job) if job else None
    except (*UNREADABLE, InvalidInput):
        return None


def _note(
    requester: Requester,
    event: str,
    namespace: str,
    name: str,
    before: Mapping[str, Any] | None,
    job: PeriodicJob | None,
    **details: Any,
) -> None:
    keys = settings.redact_keys()
    after = None if job is None else job_form.hidden(job_documents.as_mapping(job), keys)
    was = None if before is None else job_form.hidden(before, keys)
    audit.note(requester, event, job=f"{namespace}/{name}", **details, before=was, after=after)
