"""JSON that holds times: ISO 8601 in UTC."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from starlette.responses import Response


class Answer(Response):
    """Not FastAPI's own: its encoder walks 200 queues with their rates in 50 ms, on the event loop."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=_encode).encode(
            errors="replace"
        )


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return str(value)
