"""What a benchmark finds: figures, and what charts and tables show of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    required: str
    measured: str
    #: The part of what is allowed that was measured; more than 1 is missed. None: nothing is required.
    used: float | None

    @property
    def met(self) -> bool | None:
        """Whether it is as required; None if nothing is."""
        return None if self.used is None else self.used <= 1

    @property
    def verdict(self) -> str:
        """The verdict in a word or two."""
        if self.used is None:
            return "–"
        part = "" if self.used in (0, inf) else f", {max(self.used, 0.01):.0%} of it"
        return ("met" if self.met else "MISSED") + part


@dataclass(frozen=True)
class Bars:
    """A chart with a bar for each way."""

    name: str
    title: str
    unit: str
    values: Mapping[str, float]
    #: The bars of this project.
    ours: Sequence[str] = ()
    #: What bars are required not to exceed, or to reach.
    limits: Mapping[str, float] = field(default_factory=dict)
    #: Whether the axis is logarithmic.
    is_log: bool = False


@dataclass(frozen=True)
class Curves:
    """A chart of how something grows: for each way, its value at each size."""

    name: str
    title: str
    grows: str
    unit: str
    sizes: Sequence[float]
    values: Mapping[str, Sequence[float]]
    ours: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """A table of its own, and what must be known to read it."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


Finding: TypeAlias = Figure | Bars | Curves | Table


def as_used(holds: bool) -> float:
    """For what either holds or does not."""
    return 0.0 if holds else inf
