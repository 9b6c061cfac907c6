"""Counters that only grow, read about once a minute → what happened in each minute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

#: If two samples are further apart than this, the rates between them are unknown.
GAP = 3


def per_minute(ages: Sequence[int], counters: Sequence[int], minutes: int) -> list[float | None]:
    """One rate for each of the last minutes, oldest first; None if it is not known.

    :param ages: minutes since each sample, oldest first
    :param counters: the counter at each; one that decreased was reset, so the rate before is not known
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


def per_step(
    positions: Sequence[int], at: Sequence[datetime], counters: Sequence[int], steps: int
) -> list[float | None]:
    """One rate per minute for each step of time, from its last sample; None if it is not known.

    :param positions: the steps that have a sample, ascending
    :param at: when each was taken; the current step is not over, so its rate is over less time
    :param counters: the counter at each
    :param steps: how many to return
    """
    rates: list[float | None] = [None] * steps
    for number in range(1, len(positions)):
        before, after = positions[number - 1], positions[number]
        grown = counters[number] - counters[number - 1]
        minutes = (at[number] - at[number - 1]).total_seconds() / 60
        if after - before <= GAP and grown >= 0 and minutes > 0:
            rates[before + 1 : after + 1] = [round(grown / minutes, 2)] * (after - before)
    return rates


def known(rates: Sequence[float | None]) -> int:
    """How many of the rates are known."""
    return sum(rate is not None for rate in rates)


def total(rates: Sequence[float | None]) -> float | None:
    """The sum of the rates; None if fewer than half of them are known."""
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known and 2 * len(known) >= len(rates) else None
