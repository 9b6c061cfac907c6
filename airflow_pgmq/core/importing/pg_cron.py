"""Jobs of pg_cron → periodic jobs whose messages have the SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_pgmq.core.importing import plain_cron
from airflow_pgmq.core.importing.imported import Imported, Intake, Untranslatable
from airflow_pgmq.core.schedule.definitions import Every

_SECONDS = re.compile(r"\s*([0-9]{1,2})\s+seconds?\s*", re.IGNORECASE)
_LAST_DAY = "$"


def read(rows: Sequence[Mapping[str, Any]], *, queue_name: str, timezone: str | None = None) -> Imported:
    """The jobs of rows of `cron.job`, as `db.statements.importing` asks for them.

    A message is `{"sql": …, "database": …, "username": …}`.

    :param timezone: instead of the rows' `timezone`, which is pg_cron's setting; without both it is UTC
    """
    zone = timezone or next((row["timezone"] for row in rows if row.get("timezone")), "UTC")
    intake = Intake(queue_name, "UTC" if zone == "GMT" else zone)
    for number, row in enumerate(rows, 1):
        name = row.get("jobname") or f"job {row.get('jobid', number)}"
        text = f"{row.get('schedule')} {row.get('command')}"
        try:
            _take(intake, str(name), text, row)
        except Untranslatable as exc:
            intake.refuse(str(name), text, str(exc))
    return intake.imported()


def _take(intake: Intake, name: str, text: str, row: Mapping[str, Any]) -> None:
    if row.get("active") is False:
        raise Untranslatable(
            "it is not active in pg_cron: activate it there and import it again if it is needed"
        )
    schedule, command = row.get("schedule"), row.get("command")
    if not isinstance(schedule, str) or not isinstance(command, str) or not command.strip():
        raise Untranslatable("it needs a schedule and a command, as rows of cron.job have them")
    message = {"sql": command}
    message |= {each: row[each] for each in ("database", "username") if row.get(each) is not None}
    fields = _schedule(schedule)
    intake.take(name, text, name, message, **fields)
    if "schedule" in fields:
        intake.note(
            name,
            "its slots are counted from midnight; pg_cron counts from when it started, and from each run",
        )


def _schedule(text: str) -> dict[str, Any]:
    """The job's fields for it."""
    if match := _SECONDS.fullmatch(text):
        if not 1 <= int(match[1]) <= 59:
            raise Untranslatable(f"{text!r}: pg_cron knows 1 to 59 seconds only: write a cron instead")
        return {"schedule": Every(timedelta(seconds=int(match[1])))}
    words = text.split()
    if len(words) == 1 and words[0].startswith("@"):
        return {"cron": plain_cron.nickname(words[0])}
    if len(words) != 5:
        raise Untranslatable(f"{text!r} is neither five fields nor '30 seconds'")
    if is_last_day := words[plain_cron.DAY] == _LAST_DAY:
        words[plain_cron.DAY] = "1"
    plain_cron.check(words)
    if is_last_day:
        words[plain_cron.DAY] = "L"
    return plain_cron.of_cron(words)
