"""Numbers with their nouns, for people."""

from __future__ import annotations


def number_of(number: int, one: str, many: str | None = None) -> str:
    """`1 message`, `1,200 messages`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
