"""Crontabs → periodic jobs whose messages have the command."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from airflow_pgmq.core.importing import plain_cron
from airflow_pgmq.core.importing.imported import Imported, Intake, Untranslatable

_ENDS = re.compile(r"\r\n|\r|\n")
_SETTING = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([^\s="']+))[ \t]*=[ \t]*(.*)""", re.DOTALL)
_WORDS = re.compile(r"[ \t]+")
#: A backslash with what is behind it, or a percent sign.
_PERCENT = re.compile(r"\\.|%", re.DOTALL)


@dataclass
class _Reading:
    """Where the reader is: settings hold for the lines after them."""

    intake: Intake
    is_system: bool
    default_zone: str
    environment: dict[str, str] = field(default_factory=dict)
    zones: dict[str, str] = field(default_factory=dict)

    @property
    def zone(self) -> str:
        return self.zones.get("CRON_TZ") or self.zones.get("TZ") or self.default_zone


def read(text: str, *, queue_name: str, timezone: str = "UTC", system: bool = False) -> Imported:
    """The jobs of a crontab, as `crontab -l` prints it.

    A message is `{"command": …}`, with `stdin` for what comes after a percent sign, and with the variables
    that are set above it as `environment`. Who consumes it decides whether and how a command is run.

    :param timezone: the zone of the machine that the crontab comes from, until CRON_TZ or TZ is set
    :param system: it is /etc/crontab or a file of /etc/cron.d, with a column for the user
    """
    reading = _Reading(Intake(queue_name, timezone), system, timezone)
    for number, line in enumerate(_ENDS.split(text.lstrip("\ufeff")), 1):
        entry = line.strip(" \t")
        if not entry or entry.startswith("#"):
            continue
        source = f"line {number}"
        if match := _SETTING.fullmatch(entry):
            _set(reading, source, match[1] or match[2] or match[3] or "", _unquoted(match[4]))
            continue
        try:
            _take(reading, source, entry)
        except Untranslatable as exc:
            reading.intake.refuse(source, entry, str(exc))
    return reading.intake.imported()


def _set(reading: _Reading, source: str, name: str, value: str) -> None:
    note = reading.intake.note
    if name in ("MAILTO", "MAILFROM"):
        note(
            source,
            f"{name}={value} is left out: nobody sends mail; Airflow's callbacks tell of failed tasks",
        )
    elif name == "RANDOM_DELAY":
        note(source, f"RANDOM_DELAY={value} is left out: use jitter= to spread the jobs")
    elif name == "CRON_TZ":
        reading.zones[name] = value.lstrip(":")
    else:
        reading.environment[name] = value
        if name == "TZ":
            reading.zones[name] = value.lstrip(":")
            note(source, f"TZ={value} is taken for the schedule, too; some crons use it for the command only")


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _take(reading: _Reading, source: str, entry: str) -> None:
    schedule, rest = _schedule(entry)
    message: dict[str, Any] = {}
    if reading.is_system:
        message["user"], *after = _WORDS.split(rest, maxsplit=1)
        rest = "".join(after)
    command, stdin = _command(rest)
    if not command.strip():
        needed = "a user and a command" if reading.is_system else "a command"
        raise Untranslatable(f"there is no command: after the schedule, {needed} must follow")
    message = {"command": command, **message}
    if stdin is not None:
        message["stdin"] = stdin
    if reading.environment:
        message["environment"] = dict(reading.environment)
    reading.intake.take(source, entry, command, message, timezone=reading.zone, **schedule)


def _schedule(entry: str) -> tuple[dict[str, Any], str]:
    """The job's fields for it, and the rest of the line."""
    if entry.startswith("@"):
        word, *after = _WORDS.split(entry, maxsplit=1)
        return {"cron": plain_cron.nickname(word)}, "".join(after)
    *fields, rest = _WORDS.split(entry, maxsplit=5)
    if len(fields) < 5:
        raise Untranslatable(
            "this is no entry of a crontab, which has five fields or @daily, and then a command"
        )
    plain_cron.check(fields)
    return plain_cron.of_cron(fields), rest


def _command(text: str) -> tuple[str, str | None]:
    r"""The command, and what it reads: all after the first `%`, in which more of them are ends of lines.

    `\%` is a percent sign.
    """
    for match in _PERCENT.finditer(text):
        if match[0] == "%":
            stdin = re.sub(r"\\?%", lambda found: "%" if len(found[0]) == 2 else "\n", text[match.end() :])
            ended = stdin if not stdin or stdin.endswith("\n") else f"{stdin}\n"
            return _PERCENT.sub(_percent, text[: match.start()]), ended
    return _PERCENT.sub(_percent, text), None


def _percent(found: re.Match[str]) -> str:
    return "%" if found[0] == "\\%" else found[0]
