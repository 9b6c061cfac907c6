"""What a request asks: its parameters and its body, or a plain sentence about what is wrong with them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from airflow_pgmq.core import json_types
from airflow_pgmq.ui.answers import Answer

M = TypeVar("M", bound=BaseModel)

#: Messages that one request changes.
AT_MOST = 1000
#: Bytes of a body: so many ids need 20 KB.
LARGEST = 64 * 1024
#: Below zero are those of archived messages that made way for others.
LAST_ID = 2**63 - 1
_WHOLE = re.compile(r"-?[0-9]{1,19}")

#: What is expected of each parameter: pydantic's words are for programmers, and quote what was given.
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
    "body.msg_ids": f"msg_ids is a list of 1 to {AT_MOST} ids: whole numbers of up to 64 bits.",
    "body.max_messages": f"max_messages is a whole number from 1 to {AT_MOST}.",
    "body.source": "source is dead_letters or archive.",
    "body.confirm": "Type the queue's name to purge it.",
}


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("NUL")
    return text


def _whole(value: object) -> object:
    """Ids that a browser cannot keep as numbers come as texts; true and 1.0 are no ids."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if type(value) is not int:
        raise ValueError("no whole number")
    return value


Name = Annotated[str, Field(max_length=250), AfterValidator(_without_nul)]
Text = Annotated[str, Field(max_length=255), AfterValidator(_without_nul)]
Whole = Annotated[int, BeforeValidator(_whole)]
Ids = Annotated[
    list[Annotated[Whole, Field(ge=-LAST_ID, le=LAST_ID)]], Field(min_length=1, max_length=AT_MOST)
]


def body_of(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads the body; FastAPI's own would do it before it knows who asks."""

    async def read(request: Request) -> M:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, "The body must be JSON: Content-Type: application/json.")
        given = parse(await _bytes(request))
        if not isinstance(given, dict):
            raise HTTPException(400, "The body must be a JSON object.")
        try:
            return model.model_validate(given)
        except ValidationError as exc:
            raise HTTPException(422, _sentences("body", exc.errors())) from exc

    return read


async def _bytes(request: Request) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > LARGEST:
            raise HTTPException(413, f"The body may have {LARGEST:,} bytes.")
    return bytes(found)


def parse(body: bytes) -> Any:
    """JSON as the standard has it: no NaN, nothing beyond a double, no key twice, no half of a character."""
    try:
        found = json.loads(
            body.decode(), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=json_types.once
        )
        # A lone half of a surrogate pair cannot be encoded.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise HTTPException(400, "The body is no JSON that can be read here.") from exc
    return found


def _refuse(text: str) -> float:
    raise ValueError(text)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


async def refuse(request: Request, exc: Exception) -> Answer:
    """FastAPI's list of what is wrong with the parameters, as sentences."""
    assert isinstance(exc, RequestValidationError)
    return Answer({"detail": _sentences("", exc.errors())}, None, 422)


def _sentences(place: str, wrong: Iterable[Mapping[str, Any]]) -> str:
    found = []
    for each in wrong:
        where = [str(part) for part in each["loc"]]
        name = ".".join(([place] if place else []) + where[: 1 if place else 2])
        if each["type"] == "extra_forbidden":
            known = [known.partition(".")[2] for known in EXPECTED if known.startswith("body.")]
            found.append(f"The body may hold nothing but {', '.join(known)}.")
        else:
            found.append(EXPECTED.get(name, f"{name} is not what is expected."))
    return " ".join(dict.fromkeys(found))
