"""A cron expression in words, by the library that Airflow's own pages use."""

from __future__ import annotations

import re
from functools import lru_cache

#: croniter knows these; the library does not.
_NICKNAMES = {
    "@yearly": "Every year",
    "@annually": "Every year",
    "@quarterly": "Every three months",
    "@monthly": "Every month",
    "@weekly": "Every week, on Sunday",
    "@daily": "Every day at 00:00",
    "@midnight": "Every day at 00:00",
    "@hourly": "Every hour",
}


@lru_cache(maxsize=2048)
def of_cron(cron: str, seconds: str = "last") -> str:
    """The expression in English; unchanged if the library cannot describe it, as with hashed fields."""
    if (nickname := _NICKNAMES.get(cron.strip().lower())) is not None:
        return nickname
    if _is_misread(cron.split(), seconds):
        return cron
    # A dependency of Airflow itself, and 40 ms to import.
    try:
        from cron_descriptor import Options, get_description
    except ImportError:
        return cron
    options = Options()
    options.use_24hour_time_format = True
    options.locale_code = "en_US"
    fields = cron.split()
    if seconds == "last":
        # The library has them first.
        fields = [*fields[5:6], *fields[:5]]
    try:
        words = get_description(" ".join(fields), options)
    except Exception:  # its errors have no common base, and the description is optional
        return cron
    return str(words) or cron


def _is_misread(fields: list[str], seconds: str) -> bool:
    """Whether the library would describe other times than ours; then no description is better."""
    days = fields[3:6:2] if seconds == "first" and len(fields) == 6 else fields[2:5:2]
    if any(re.search("#|^l[0-7]|[0-7]l", day.lower()) or day == "*/1" for day in days):
        return True
    if all(day not in ("*", "?") for day in days):
        return True
    # A step after a single value, or one that leaves a single value.
    return any(
        re.search("(^|,)[0-9]+/", field) or any(int(step) > 30 for step in re.findall("/([0-9]+)", field))
        for field in fields
    )
