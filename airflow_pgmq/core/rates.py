"""Counters that only grow, read about once a minute → what happened in each minute."""

from __future__ import annotations

from collections.abc import Sequence

#: Between samples further apart than this, nothing is said of the minutes between.
GAP = 3


def per_minute(ages: Sequence[int], counters: Sequence[int], minutes: int) -> list[float | None]:
    """One rate for each of the last minutes, oldest first; None where it is not known.

    :param ages: minutes since each sample, oldest first
    :param counters: the counter at each; one that fell was reset, so nothing is known of the time before
    :param minutes: how many to return
    """
    rates: list[float | None] = [None] * minutes
    for position in range(1, len(ages)):
        before, after = ages[position - 1], ages[position]
        grown = counters[position] - counters[position - 1]
        if 0 < before - after <= GAP and grown >= 0:
            for age in range(after, before):
                if 0 <= age < minutes:
                    rates[minutes - 1 - age] = round(grown / (before - after), 2)
    return rates


def total(rates: Sequence[float | None]) -> float | None:
    """The sum of the rates; None if fewer than half of them are known."""
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known and 2 * len(known) >= len(rates) else None
