"""jsonb's `@>` in Python, for conditions on messages that were read already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def contains(value: Any, wanted: Any) -> bool:
    """Whether Postgres would say `value @> wanted` of the two as jsonb."""
    # An array contains a scalar only at the top level: '["a"]' @> '"a"' holds, nested ones do not.
    if isinstance(value, list) and not isinstance(wanted, (list, Mapping)):
        return any(_is_same(element, wanted) for element in value)
    return _contains(value, wanted)


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(
            key in value and _contains(value[key], each) for key, each in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and all(
            any(_contains(element, each) for element in value) for each in wanted
        )
    return _is_same(value, wanted)


def _is_same(value: Any, wanted: Any) -> bool:
    """Equal scalars of one JSON type: Python takes true for 1, Postgres does not."""
    if isinstance(value, (list, Mapping)) or isinstance(value, bool) is not isinstance(wanted, bool):
        return False
    return bool(value == wanted)
