"""Texts for people: numbers with their nouns, and sentences that the page can say in other languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Value: TypeAlias = str | int


def number_of(number: int, one: str, many: str | None = None) -> str:
    """`1 message`, `1,200 messages`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


class Sentence(str):
    """An English text that remembers of what it was made; made by `sentence`."""

    template: str
    values: Mapping[str, Value]


def sentence(template: str, *, one: str | None = None, **values: Value) -> Sentence:
    """A template with its values: a literal, which the catalogues of the page have in their languages.

    :param one: the template where `count` is 1
    """
    shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in values.items()}
    made = Sentence((one if one is not None and values["count"] == 1 else template).format(**shown))
    made.template, made.values = template, values
    return made
