"""Draws months with the slots of jobs, for the docs; `python -m tests.unit.calendar_picture` writes it."""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta, timezone
from itertools import takewhile
from zoneinfo import ZoneInfo

from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.jobs import Blackout, Every, Holidays
from tests.unit.support import ROOT

FILE = ROOT / "docs" / "img" / "schedules.svg"
BERLIN = ZoneInfo("Europe/Berlin")
MONTHS = [(2026, 12), (2027, 1), (2027, 2)]
DAYS_OFF = Holidays("DE")
CELL, GAP, TOP = 22, 34, 30

#: With each picture: what is drawn as left out is in the first schedule, and not in the second one.
ROWS = [
    (
        'schedule="0 9 1 * *", exclude=[Holidays("DE")], business_day="next"',
        {"schedule": "0 9 1 * *"},
        {"exclude": [DAYS_OFF], "business_day": "next"},
    ),
    (
        'schedule="0 9 * * mon-fri", exclude=[Holidays("DE"), Blackout(…24 Dec…, …9 Jan…)]',
        {"schedule": "0 9 * * mon-fri"},
        {"exclude": [DAYS_OFF, Blackout(datetime(2026, 12, 24), datetime(2027, 1, 9))]},
    ),
    (
        "schedule=Every(timedelta(weeks=2), anchor=datetime(2026, 1, 8, 14))",
        {"schedule": Every(timedelta(weeks=2), anchor=datetime(2026, 1, 8, 14))},
        {},
    ),
]


def drawn() -> str:
    """The picture, as SVG."""
    width = len(MONTHS) * (7 * CELL + GAP) + GAP
    height = len(ROWS) * (7 * CELL + TOP) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for row, (title, schedule, rest) in enumerate(ROWS):
        y = row * (7 * CELL + TOP) + 24
        parts.append(
            f'<text x="{GAP}" y="{y}" font-family="monospace" font-size="10">{_escaped(title)}</text>'
        )
        sent, planned = _days(**schedule, **rest), _days(**schedule)
        for column, month in enumerate(MONTHS):
            parts += _month(GAP + column * (7 * CELL + GAP), y + 10, month, sent, planned)
    parts += [
        *_dot(GAP + 8, height - 22, "#0b6bcb"),
        f'<text x="{GAP + 22}" y="{height - 18}">a slot</text>',
        *_ring(GAP + 88, height - 22),
        f'<text x="{GAP + 102}" y="{height - 18}">left out, or moved from here</text>',
        f'<rect x="{GAP + 270}" y="{height - 30}" width="16" height="16" fill="#e6e8eb"/>',
        f'<text x="{GAP + 292}" y="{height - 18}">a weekend or a public holiday</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _days(**fields: object) -> set[date]:
    job = PeriodicJob(name="job", queue_name="q", timezone="Europe/Berlin", **fields)  # type: ignore[arg-type]
    start, end = datetime(2026, 12, 1, tzinfo=BERLIN), datetime(2027, 3, 1, tzinfo=BERLIN)
    after = start.astimezone(timezone.utc) - timedelta(seconds=1)
    return {
        slot.astimezone(BERLIN).date() for slot in takewhile(lambda slot: slot < end, job.slots.after(after))
    }


def _month(x: int, y: int, month: tuple[int, int], sent: set[date], planned: set[date]) -> list[str]:
    first = date(*month, 1)
    parts = [f'<text x="{x}" y="{y + 12}" font-weight="bold">{first:%B %Y}</text>']
    _, last = calendar.monthrange(*month)
    for number in range(1, last + 1):
        day = date(*month, number)
        left = x + day.weekday() * CELL
        top = y + 18 + (number - 1 + first.weekday()) // 7 * CELL
        if day.weekday() >= 5 or _is_holiday(day):
            parts.append(f'<rect x="{left}" y="{top}" width="{CELL}" height="{CELL}" fill="#e6e8eb"/>')
        color = "#1c2024"
        if day in sent:
            parts += _dot(left + CELL // 2, top + CELL // 2, "#0b6bcb")
            color = "#ffffff"
        elif day in planned:
            parts += _ring(left + CELL // 2, top + CELL // 2)
        parts.append(
            f'<text x="{left + CELL // 2}" y="{top + 15}" text-anchor="middle" fill="{color}">{number}</text>'
        )
    return parts


def _is_holiday(day: date) -> bool:
    job = PeriodicJob(name="job", queue_name="q", schedule="0 12 * * *", exclude=[DAYS_OFF])
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc)
    return next(job.slots.after(noon - timedelta(hours=1))) != noon


def _dot(x: int, y: int, color: str) -> list[str]:
    return [f'<circle cx="{x}" cy="{y}" r="9" fill="{color}"/>']


def _ring(x: int, y: int) -> list[str]:
    return [f'<circle cx="{x}" cy="{y}" r="9" fill="none" stroke="#b3401b" stroke-dasharray="3 2"/>']


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


if __name__ == "__main__":
    FILE.write_text(drawn(), encoding="utf-8")
