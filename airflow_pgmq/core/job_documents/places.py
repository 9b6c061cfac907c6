"""Where something is in a document, for texts that say what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")

#: Problems that are told: nobody reads more, and a hostile text could have a million.
MOST_PROBLEMS = 200


class Wrong(Exception):
    """A part of a document cannot be read; empty if that was told already."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)
        super().__init__(*texts)


class Fields(dict[str, Any]):
    """A mapping of a document that knows the line of each field."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class Items(list[Any]):
    """A list of a document that knows the line of each item."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[int, int] = {}


@dataclass(frozen=True)
class Place:
    """A value in a document."""

    #: `exclude[0].start`; empty for a whole job.
    path: str = ""
    line: int | None = None
    #: The name of the file, if it is known.
    source: str = ""

    def at(self, around: Any, key: str | int) -> Place:
        """The place of a part; values that were not in a text know no lines."""
        line = getattr(around, "lines", {}).get(key, self.line)
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if self.path else str(key)
        return Place(self.path + step, line, self.source)

    def text(self, wrong: str) -> str:
        """What is wrong, with where it is: `jobs.yaml:7: jitter: …`."""
        where = self.source
        if self.line is not None:
            where = f"{self.source}:{self.line}" if self.source else f"line {self.line}"
        return ": ".join(filter(None, (where, self.path, wrong)))

    def wrong(self, text: str) -> Wrong:
        """The error, to be raised."""
        return Wrong([self.text(text)])


def gathered(parts: Iterable[Callable[[], T]]) -> list[T]:
    """What all the parts give; raises Wrong with all that is wrong with any of them."""
    found: list[T] = []
    wrong: list[Wrong] = []
    for part in parts:
        try:
            found.append(part())
        except Wrong as exc:
            wrong.append(exc)
            if len(wrong) == MOST_PROBLEMS:
                break
    if wrong:
        raise Wrong([text for each in wrong for text in each.texts])
    return found


def mapping(value: Any, place: Place, known: Iterable[str], what: str) -> Mapping[str, Any]:
    """A mapping of known fields.

    :raises Wrong: with every field that is not known, and the one that was probably meant
    """
    if not isinstance(value, Mapping):
        raise place.wrong(f"{what} is a mapping, not {kind_of(value)}")
    names = list(known)
    if unknown := [key for key in value if key not in names]:
        told = unknown[:MOST_PROBLEMS]
        raise Wrong([place.at(value, key).text(_unknown(key, names, what)) for key in told])
    return value


def kind_of(value: Any) -> str:
    """A value as its reader calls it, with its text if that is short."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()}, which is true or false and no text"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, (int, float)):
        return f"the number {_number(value)}"
    return repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:80]}…"


def one_of(words: Sequence[str]) -> str:
    """`a, b or c`."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def probably(word: object, known: Sequence[str]) -> str:
    """`; did you mean …?`, or nothing."""
    found = get_close_matches(str(word)[:100].lower(), known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _unknown(key: object, known: Sequence[str], what: str) -> str:
    return f"{what} has no such field{probably(key, known) or f': it has {one_of(known)}'}"


def _number(value: float) -> str:
    try:
        return repr(value)[:40]
    except ValueError:  # an integer with more digits than Python writes
        return "that it has, which is too long"
