"""Instants that are written as texts."""

from __future__ import annotations

import re
from datetime import datetime

__all__ = ["of_header", "parse"]

_FRACTION = re.compile(r"(?<=:\d\d)[.,](\d+)")


def parse(text: str) -> datetime:
    """The instant of an ISO 8601 text, on each Python the same.

    Python 3.10 reads neither the Z nor fractions of other than three or six digits, and producers write both:
    Go, for example, leaves out zeros at the end, and has nanoseconds, which are cut off.

    :raises ValueError: the text is not an instant
    """
    return datetime.fromisoformat(_FRACTION.sub(_six_digits, text.strip()).replace("Z", "+00:00"))


def of_header(value: object) -> datetime | None:
    """The instant in a header that other clients may write; None if it is not one, or has no time zone."""
    try:
        at = parse(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo else None


def _six_digits(found: re.Match[str]) -> str:
    return f".{found[1][:6]:0<6}"
