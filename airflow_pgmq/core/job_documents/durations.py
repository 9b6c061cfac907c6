"""Durations as people write them: `90m`, `2h30m`, ISO 8601's `PT90M`, or a number of seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction

#: A part of a duration, by its letter in short texts; from the longest on.
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_NUMBER = r"([0-9]{1,9}(?:[.,][0-9]{1,6})?)"
_SHORT = re.compile(" ?".join(f"(?:{_NUMBER}{letter})?" for letter in _SECONDS))
_ISO = re.compile(
    rf"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=[0-9])(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
_MICROSECOND = timedelta(microseconds=1)


def parse(text: str) -> timedelta:
    """The duration of a text.

    :raises ValueError: it is none, or one of years or months, which have no length of their own
    """
    found = _SHORT.fullmatch(text) or _ISO.fullmatch(text)
    numbers = found.groups() if found else ()
    if not any(numbers):
        raise ValueError(f"{text!r} is not a duration")
    seconds = sum(
        Fraction(number.replace(",", ".")) * unit
        for number, unit in zip(numbers, _SECONDS.values(), strict=True)
        if number
    )
    return timedelta(microseconds=round(seconds * 1_000_000))


def parts(value: timedelta) -> dict[str, int]:
    """Days, hours, minutes, seconds and microseconds, without those that are zero; negative in days only."""
    # Not its own operators: those of a subclass, such as pendulum's, differ.
    rest = timedelta.__floordiv__(value, _MICROSECOND)
    found: dict[str, int] = {}
    units = {"days": 86_400_000_000, "hours": 3_600_000_000, "minutes": 60_000_000, "seconds": 1_000_000}
    for name, unit in {**units, "microseconds": 1}.items():
        found[name], rest = divmod(rest, unit)
    return {name: number for name, number in found.items() if number}


def short(value: timedelta) -> str:
    """`1d2h30m`, `1.5s`; `parse` reads it."""
    found = parts(value)
    fraction = f".{micros:06}".rstrip("0") if (micros := found.pop("microseconds", 0)) else ""
    if fraction:
        found["seconds"] = found.get("seconds", 0)
    return "".join(
        f"{number}{fraction if name == 'seconds' else ''}{name[0]}" for name, number in found.items()
    ) or ("0s")
