"""The part of cron expressions that means the same to every cron, and what must be said of it here.

This package reads more than others do (`H`, `15W`, ranges that wrap). An entry with such a sign never ran as
that where it comes from, so it is refused and not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_pgmq.core.importing.imported import Untranslatable
from airflow_pgmq.core.schedule.cron import NICKNAMES

_NUMBER = r"(?:[0-9]+|[a-z]{3})"
_TERM = re.compile(rf"(?:\*|(?P<low>{_NUMBER})(?:-(?P<high>{_NUMBER}))?)(?:/(?P<step>[0-9]+))?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: Positions of the day of the month and the weekday.
DAY, WEEKDAY = 2, 4
_FIELDS = ("minute", "hour", "day of month", "month", "weekday")
#: Those that every cron has.
_USUAL = {*NICKNAMES} - {"@quarterly"}


def nickname(word: str) -> str:
    """`@daily` and the like.

    :raises Untranslatable: another one, such as `@reboot`
    """
    if word in ("@reboot", "@restart"):
        raise Untranslatable(
            f"{word} is no time: let the program that starts send the message, for example by PgmqHook.send"
        )
    if word not in _USUAL:
        known = ", ".join(sorted(_USUAL))
        raise Untranslatable(f"{word} is not known: write five fields, or one of {known}")
    return word


def check(fields: Sequence[str], *, wraps: bool = False) -> None:
    """Refuse what other crons read in another way, or not at all.

    :param fields: minute, hour, day of the month, month and weekday
    :param wraps: ranges may go down, such as 22-2, and go on after the highest value, as they do here
    :raises Untranslatable: with the first of it
    """
    for position, text in enumerate(fields):
        for term in text.lower().split(","):
            _check_term(position, term, wraps)


def of_cron(fields: Sequence[str]) -> dict[str, str | None]:
    """A job's `cron` and `day_match` for fields that come from cron itself.

    There, a field for days that begins with `*` never widens the other one: `*/2` with a weekday means both.
    Here, only `*` alone does not count, so that the job must say it. And a `*` further on, as in `1,*/2`, has
    no such meaning there, so that it becomes a range.
    """
    words = list(fields)
    for position, everything in ((DAY, "1-31"), (WEEKDAY, "0-6")):
        if not words[position].startswith("*"):
            words[position] = words[position].replace("*", everything)
    day, weekday = words[DAY], words[WEEKDAY]
    is_both = "*" not in (day, weekday) and (day.startswith("*") or weekday.startswith("*"))
    return {"cron": " ".join(words), "day_match": "both" if is_both else None}


def _check_term(position: int, term: str, wraps: bool) -> None:
    name = _FIELDS[position]
    if "~" in term:
        raise Untranslatable(f"{term!r} is a random {name}: write a fixed one, and spread jobs by jitter=")
    match = _TERM.fullmatch(term)
    if match is None:
        raise Untranslatable(f"{term!r} cannot be read as {name}: write numbers, ranges (1-5) or steps (*/5)")
    low, high, step = match["low"], match["high"], match["step"]
    if step and low and not high:
        raise Untranslatable(
            f"{term!r}: a step after a single {name} means something else to each cron: write {low} "
            "alone, or a range with the step"
        )
    if not wraps and low and high and _value(position, low) > _value(position, high):
        raise Untranslatable(f"{term!r} is a range that goes down, which cron refuses: write two ranges")


def _value(position: int, text: str) -> int:
    if text.isdigit():
        return int(text[:9])
    # What no name is, is found when the whole expression is read.
    names = {3: _MONTHS, WEEKDAY: _WEEKDAYS}.get(position, ())
    return names.index(text) + (position == 3) if text in names else 0
