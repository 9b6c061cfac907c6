"""Parameters and body of a request, checked; what is wrong is answered in plain sentences."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from airflow_pgmq.core import json_types
from airflow_pgmq.core.pauses import MAX_REASON
from airflow_pgmq.ui.responses import ApiResponse

M = TypeVar("M", bound=BaseModel)

#: The most messages that one request changes.
MAX_IDS = 1000
#: The largest body: `MAX_IDS` ids need 20 KB.
MAX_BODY_BYTES = 64 * 1024
#: Ids may be negative: an archived message gets one when a newer message needs its id.
MAX_ID = 2**63 - 1
_WHOLE = re.compile(r"-?[0-9]{1,19}")

#: What each parameter must be. Pydantic's messages are for programmers, and they quote the input.
EXPECTED = {
    "query.range": "range is hour, day or week.",
    "query.source": "source is queue or archive.",
    "query.msg_id": "A message id is a whole number of up to 64 bits.",
    "query.after": "after is the id of a message, a whole number of up to 64 bits.",
    "query.limit": "limit is a whole number from 1 to 200.",
    "query.run_id": "run_id is a text of up to 250 characters, without NUL.",
    "query.task_id": "task_id is a text of up to 250 characters, without NUL.",
    "query.map_index": "map_index is a whole number from -1 to 2147483647.",
    "query.dedup_key": "A dedup key is a text of up to 255 characters, without NUL.",
    "query.job": "A job is looked for by its name, or namespace/name: up to 255 characters, without NUL.",
    "query.connection_id": "connection_id is a text of up to 250 characters, without NUL.",
    "query.max_age": "max_age is a whole number of seconds from 1 to 86400.",
    "body.msg_ids": f"msg_ids is a list of 1 to {MAX_IDS} ids: whole numbers of up to 64 bits.",
    "body.max_messages": f"max_messages is a whole number from 1 to {MAX_IDS}.",
    "body.source": "source is dead_letters or archive.",
    "body.slot": "slot is an ISO 8601 instant with a time zone, such as 2026-06-01T06:00:00Z.",
    "body.definition": "definition is a JSON object with the fields of a job.",
    "body.expected_version": "expected_version is the version that you looked at, 0 for what is new.",
    "body.text": "text has a line for each day, such as 2026-12-25 Christmas.",
    "body.version": "version is the number of the version to restore.",
    "body.reason": f"reason is a text of up to {MAX_REASON} characters, without NUL.",
    "body.group": "group is the name of a group: a text of 1 to 500 characters, without NUL.",
    "body.as_dead_letter": "as_dead_letter is true or false.",
    "body.confirm": "Type the queue's name to purge it.",
}


def without_nul(text: str) -> str:
    """Check that Postgres can store the text."""
    if "\x00" in text:
        raise ValueError("NUL")
    return text


def _whole_number(value: object) -> object:
    """Accept an integer, or its digits as text for ids that a browser cannot keep; not true, not 1.0."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value


Name = Annotated[str, Field(max_length=250), AfterValidator(without_nul)]
Text = Annotated[str, Field(max_length=255), AfterValidator(without_nul)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
Ids = Annotated[
    list[Annotated[WholeNumber, Field(ge=-MAX_ID, le=MAX_ID)]], Field(min_length=1, max_length=MAX_IDS)
]


class Body(BaseModel):
    """What a request may contain."""

    #: An unknown field is an error: with `msg_ids` misspelt, a requeue would take every message.
    model_config = ConfigDict(extra="forbid")


def body_of(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads the body. FastAPI's own would read it before the permission check."""

    async def read(request: Request) -> M:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, "The body must be JSON: Content-Type: application/json.")
        given = parse(await _read_body(request))
        if not isinstance(given, dict):
            raise HTTPException(400, "The body must be a JSON object.")
        try:
            return model.model_validate(given)
        except ValidationError as exc:
            raise HTTPException(422, _sentences("body", exc.errors())) from exc

    return read


async def _read_body(request: Request) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body may have at most {MAX_BODY_BYTES:,} bytes.")
    return bytes(found)


def parse(body: bytes) -> Any:
    """Strict JSON: no NaN, no number beyond a double, no duplicate keys, no lone surrogates."""
    try:
        found = json.loads(
            body.decode(),
            parse_constant=_reject_constant,
            parse_float=_finite,
            object_pairs_hook=json_types.once,
        )
        # A lone surrogate cannot be encoded.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise HTTPException(400, "The body is not valid JSON.") from exc
    return found


def _reject_constant(text: str) -> float:
    raise ValueError(text)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


async def validation_error(request: Request, exc: Exception) -> ApiResponse:
    """Answer with sentences instead of FastAPI's list of validation errors."""
    assert isinstance(exc, RequestValidationError)
    return ApiResponse({"detail": _sentences("", exc.errors())}, None, 422)


def _sentences(place: str, wrong: Iterable[Mapping[str, Any]]) -> str:
    found = []
    for each in wrong:
        where = [str(part) for part in each["loc"]]
        name = ".".join(([place] if place else []) + where[: 1 if place else 2])
        if each["type"] == "extra_forbidden":
            known = [known.partition(".")[2] for known in EXPECTED if known.startswith("body.")]
            found.append(f"The body may contain only {', '.join(known)}.")
        else:
            found.append(EXPECTED.get(name, f"{name} is not what is expected."))
    return " ".join(dict.fromkeys(found))
