"""Serializing triggers whose parameters are dataclass fields."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from airflow_pgmq.core import payload

#: Metadata of a field that Airflow stores separately from the trigger's parameters.
NOT_STORED: Final = {"stored": False}


class Serializable:
    """Mixin for triggers: what Airflow stores of them."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and parameters, all of them JSON."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        stored = [field.name for field in fields if field.metadata.get("stored", True)]
        return path, {name: getattr(self, name) for name in stored}

    def make_plain(self) -> None:
        """Convert the conditions to plain JSON: Airflow stores them, and they are compared with JSON.

        :raises InvalidArgument: a condition contains a value with no obvious JSON form
        """
        for name in ("condition", "headers_condition"):
            setattr(self, name, payload.plain(getattr(self, name), what=name))
