"""A cron expression in words, by the library that Airflow's own pages use."""

from __future__ import annotations

from functools import lru_cache

#: croniter knows these, and the library does not.
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
    """The expression in English; as it is where there are no words for it, as for hashed fields."""
    if (nickname := _NICKNAMES.get(cron.strip().lower())) is not None:
        return nickname
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
    except Exception:  # its errors share no base, and words are only a convenience
        return cron
    return str(words) or cron
