"""Values that not even a reader of messages should see, hidden by the JSON key that they stand under."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

DEFAULT_KEYS = "password,secret,token,authorization,api_key"
HIDDEN = "***"
#: Deeper than this, encoders and browsers give up.
DEPTH = 100


def parse_keys(text: str) -> frozenset[str]:
    """The option's text as keys to compare with, in lower case."""
    return frozenset(key.strip().lower() for key in text.split(",") if key.strip())


def redact(value: Any, keys: Collection[str], depth: int = DEPTH) -> tuple[Any, bool]:
    """A copy of JSON without what stands under these keys, in any object at any depth; whether any did."""
    if isinstance(value, (dict, list)) and not depth:
        return "…", False
    if isinstance(value, dict):
        hidden = {key for key in value if str(key).lower() in keys}
        parts = {key: redact(each, keys, depth - 1) for key, each in value.items() if key not in hidden}
        shown = {key: HIDDEN if key in hidden else parts[key][0] for key in value}
        return shown, bool(hidden) or any(found for _, found in parts.values())
    if isinstance(value, list):
        elements = [redact(each, keys, depth - 1) for each in value]
        return [each for each, _ in elements], any(found for _, found in elements)
    if isinstance(value, float) and not math.isfinite(value):
        # A number of hundreds of digits: browsers read no JSON that names infinity.
        return str(value), False
    return value, False
