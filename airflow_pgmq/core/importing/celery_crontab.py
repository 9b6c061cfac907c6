"""Crontabs of Celery: all of their fields must match."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from airflow_pgmq.core.importing import plain_cron

#: In the order of a cron.
FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
#: Celery takes whole names.
_LONG_NAME = re.compile(r"\b(sun|mon|tue|wed|thu|fri|sat)[a-z]*\b", re.IGNORECASE)


def schedule(fields: Sequence[str]) -> dict[str, Any]:
    """The job's fields for it.

    :raises Untranslatable: Celery reads it in another way, or not at all
    """
    plain = [_LONG_NAME.sub(r"\1", "".join(each.split())) for each in fields]
    plain_cron.check(plain, wraps=True)
    both = "*" not in (plain[plain_cron.DAY], plain[plain_cron.WEEKDAY])
    return {"cron": " ".join(plain), "day_match": "both" if both else None}
