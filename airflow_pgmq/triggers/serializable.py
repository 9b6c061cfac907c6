"""Triggers whose parameters are dataclass fields, each written once."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from airflow_pgmq.core import payload

#: Of a field that Airflow keeps apart from the trigger's parameters.
NOT_STORED: Final = {"stored": False}


class Serializable:
    """What Airflow stores of a trigger."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and parameters, all of them JSON."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        stored = [field.name for field in fields if field.metadata.get("stored", True)]
        return path, {name: getattr(self, name) for name in stored}

    def make_plain(self) -> None:
        """Put conditions into JSON: Airflow stores them, and in messages they are compared as JSON.

        :raises InvalidArgument: one holds what has no obvious way to be JSON
        """
        for name in ("condition", "headers_condition"):
            setattr(self, name, payload.plain(getattr(self, name), what=name))
