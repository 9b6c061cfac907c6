"""Triggers whose parameters are dataclass fields, each written once."""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow_pgmq.core import payload


class Serializable:
    """What Airflow stores of a trigger."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and parameters, all of them JSON."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {field.name: getattr(self, field.name) for field in fields}

    def make_plain(self) -> None:
        """Put conditions into JSON: Airflow stores them, and in messages they are compared as JSON.

        :raises InvalidMessage: one holds what has no obvious way to be JSON
        """
        for name in ("condition", "headers_condition"):
            setattr(self, name, payload.plain(getattr(self, name), what=name))
