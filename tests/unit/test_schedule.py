"""Slots around the changes of clocks, against tables written by hand.

In 2026 the clocks change at (UTC)

=====================  =======================  =======================
Europe/Berlin          03-29 01:00  02:00→03:00  10-25 01:00  03:00→02:00
America/New_York       03-08 07:00  02:00→03:00  11-01 06:00  02:00→01:00
Australia/Lord_Howe    10-03 15:30  02:00→02:30  04-04 15:00  02:00→01:30
Africa/Cairo           04-23 22:00  00:00→01:00
=====================  =======================  =======================
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from airflow_pgmq.core.schedule import zones
from airflow_pgmq.core.schedule.cron_slots import CronSlots
from tests.unit.support import utc

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Table:
    """The slots of a cron after an instant; a line is a slot in UTC and its local time."""

    rule: str
    zone: str
    cron: str
    after: str
    lines: str

    @property
    def slots(self) -> list[datetime]:
        return [utc(line.split("|")[0].strip()) for line in self.lines.strip().splitlines()]

    @property
    def schedule(self) -> CronSlots:
        return CronSlots(self.cron, self.zone)


BERLIN_GAP = [
    Table(
        "a fixed time in the gap is sent at its end",
        "Europe/Berlin",
        "30 2 * * *",
        "2026-03-27 12:00",
        """
        2026-03-28 01:30 | 28 02:30 +1
        2026-03-29 01:00 | 29 03:00 +2, the first instant after the gap
        2026-03-30 00:30 | 30 02:30 +2
        2026-03-31 00:30 | 31 02:30 +2
        """,
    ),
    Table(
        "the first time of the gap is sent at its end",
        "Europe/Berlin",
        "0 2 * * *",
        "2026-03-27 12:00",
        """
        2026-03-28 01:00 | 28 02:00 +1
        2026-03-29 01:00 | 29 03:00 +2
        2026-03-30 00:00 | 30 02:00 +2
        """,
    ),
    Table(
        "the time at the end of the gap is as any other",
        "Europe/Berlin",
        "0 3 * * *",
        "2026-03-27 12:00",
        """
        2026-03-28 02:00 | 28 03:00 +1
        2026-03-29 01:00 | 29 03:00 +2
        2026-03-30 01:00 | 30 03:00 +2
        """,
    ),
    Table(
        "a slot of the gap and one at its end are one",
        "Europe/Berlin",
        "0 2,3 * * *",
        "2026-03-27 12:00",
        """
        2026-03-28 01:00 | 28 02:00 +1
        2026-03-28 02:00 | 28 03:00 +1
        2026-03-29 01:00 | 29 02:00 and 03:00
        2026-03-30 00:00 | 30 02:00 +2
        2026-03-30 01:00 | 30 03:00 +2
        """,
    ),
    Table(
        "all slots of the gap are one",
        "Europe/Berlin",
        "*/15 2 * * *",
        "2026-03-27 12:00",
        """
        2026-03-28 01:00 | 28 02:00 +1
        2026-03-28 01:15 | 28 02:15 +1
        2026-03-28 01:30 | 28 02:30 +1
        2026-03-28 01:45 | 28 02:45 +1
        2026-03-29 01:00 | 29 02:00, 02:15, 02:30 and 02:45
        2026-03-30 00:00 | 30 02:00 +2
        2026-03-30 00:15 | 30 02:15 +2
        2026-03-30 00:30 | 30 02:30 +2
        2026-03-30 00:45 | 30 02:45 +2
        """,
    ),
    Table(
        "fixed hours around the gap",
        "Europe/Berlin",
        "30 1-3 * * *",
        "2026-03-28 12:00",
        """
        2026-03-29 00:30 | 29 01:30 +1
        2026-03-29 01:00 | 29 02:30, which does not exist
        2026-03-29 01:30 | 29 03:30 +2
        2026-03-29 23:30 | 30 01:30 +2
        2026-03-30 00:30 | 30 02:30 +2
        2026-03-30 01:30 | 30 03:30 +2
        """,
    ),
    Table(
        "every quarter of an hour follows elapsed time through the gap",
        "Europe/Berlin",
        "*/15 * * * *",
        "2026-03-29 00:20",
        """
        2026-03-29 00:30 | 29 01:30 +1
        2026-03-29 00:45 | 29 01:45 +1
        2026-03-29 01:00 | 29 03:00 +2
        2026-03-29 01:15 | 29 03:15 +2
        2026-03-29 01:30 | 29 03:30 +2
        2026-03-29 01:45 | 29 03:45 +2
        2026-03-29 02:00 | 29 04:00 +2
        """,
    ),
    Table(
        "every hour follows elapsed time through the gap",
        "Europe/Berlin",
        "0 * * * *",
        "2026-03-28 22:30",
        """
        2026-03-28 23:00 | 29 00:00 +1
        2026-03-29 00:00 | 29 01:00 +1
        2026-03-29 01:00 | 29 03:00 +2
        2026-03-29 02:00 | 29 04:00 +2
        2026-03-29 03:00 | 29 05:00 +2
        """,
    ),
    Table(
        "every hour at half past: the half past two that does not exist is no slot",
        "Europe/Berlin",
        "30 * * * *",
        "2026-03-28 23:00",
        """
        2026-03-28 23:30 | 29 00:30 +1
        2026-03-29 00:30 | 29 01:30 +1
        2026-03-29 01:30 | 29 03:30 +2
        2026-03-29 02:30 | 29 04:30 +2
        """,
    ),
    Table(
        "every second hour has its hours on the wall",
        "Europe/Berlin",
        "0 */2 * * *",
        "2026-03-28 20:00",
        """
        2026-03-28 21:00 | 28 22:00 +1
        2026-03-28 23:00 | 29 00:00 +1
        2026-03-29 01:00 | 29 02:00, which does not exist
        2026-03-29 02:00 | 29 04:00 +2
        2026-03-29 04:00 | 29 06:00 +2
        2026-03-29 06:00 | 29 08:00 +2
        """,
    ),
    Table(
        "@daily is midnight on the wall",
        "Europe/Berlin",
        "@daily",
        "2026-03-27 12:00",
        """
        2026-03-27 23:00 | 28 00:00 +1
        2026-03-28 23:00 | 29 00:00 +1
        2026-03-29 22:00 | 30 00:00 +2
        2026-03-30 22:00 | 31 00:00 +2
        """,
    ),
    Table(
        "a weekly job falls into the gap",
        "Europe/Berlin",
        "30 2 * * sun",
        "2026-03-16 00:00",
        """
        2026-03-22 01:30 | 22 02:30 +1
        2026-03-29 01:00 | 29 02:30, which does not exist
        2026-04-05 00:30 | 05 02:30 +2
        """,
    ),
    Table(
        "a monthly job falls into the gap",
        "Europe/Berlin",
        "30 2 29 * *",
        "2026-01-01 00:00",
        """
        2026-01-29 01:30 | 29 02:30 +1
        2026-03-29 01:00 | 29 02:30, which does not exist
        2026-04-29 00:30 | 29 02:30 +2
        """,
    ),
    Table(
        "seconds come last: a fixed second in the gap",
        "Europe/Berlin",
        "0 2 * * * 30",
        "2026-03-27 12:00",
        """
        2026-03-28 01:00:30 | 28 02:00:30 +1
        2026-03-29 01:00:00 | 29 02:00:30, which does not exist
        2026-03-30 00:00:30 | 30 02:00:30 +2
        """,
    ),
    Table(
        "every twenty seconds follows elapsed time through the gap",
        "Europe/Berlin",
        "* * * * * */20",
        "2026-03-29 00:59:10",
        """
        2026-03-29 00:59:20 | 29 01:59:20 +1
        2026-03-29 00:59:40 | 29 01:59:40 +1
        2026-03-29 01:00:00 | 29 03:00:00 +2
        2026-03-29 01:00:20 | 29 03:00:20 +2
        2026-03-29 01:00:40 | 29 03:00:40 +2
        2026-03-29 01:01:00 | 29 03:01:00 +2
        """,
    ),
]

BERLIN_REPEATED_HOUR = [
    Table(
        "a fixed time of the repeated hour is sent once, at its first occurrence",
        "Europe/Berlin",
        "30 2 * * *",
        "2026-10-23 12:00",
        """
        2026-10-24 00:30 | 24 02:30 +2
        2026-10-25 00:30 | 25 02:30 +2
        2026-10-26 01:30 | 26 02:30 +1
        2026-10-27 01:30 | 27 02:30 +1
        """,
    ),
    Table(
        "the first time of the repeated hour is sent once",
        "Europe/Berlin",
        "0 2 * * *",
        "2026-10-23 12:00",
        """
        2026-10-24 00:00 | 24 02:00 +2
        2026-10-25 00:00 | 25 02:00 +2
        2026-10-26 01:00 | 26 02:00 +1
        """,
    ),
    Table(
        "the time after the repeated hour is as any other",
        "Europe/Berlin",
        "0 3 * * *",
        "2026-10-23 12:00",
        """
        2026-10-24 01:00 | 24 03:00 +2
        2026-10-25 02:00 | 25 03:00 +1
        2026-10-26 02:00 | 26 03:00 +1
        """,
    ),
    Table(
        "several times of the repeated hour are sent once each",
        "Europe/Berlin",
        "*/15 2 * * *",
        "2026-10-24 12:00",
        """
        2026-10-25 00:00 | 25 02:00 +2
        2026-10-25 00:15 | 25 02:15 +2
        2026-10-25 00:30 | 25 02:30 +2
        2026-10-25 00:45 | 25 02:45 +2
        2026-10-26 01:00 | 26 02:00 +1
        2026-10-26 01:15 | 26 02:15 +1
        """,
    ),
    Table(
        "fixed hours around the repeated hour",
        "Europe/Berlin",
        "30 1-3 * * *",
        "2026-10-24 12:00",
        """
        2026-10-24 23:30 | 25 01:30 +2
        2026-10-25 00:30 | 25 02:30 +2
        2026-10-25 02:30 | 25 03:30 +1
        2026-10-26 00:30 | 26 01:30 +1
        2026-10-26 01:30 | 26 02:30 +1
        2026-10-26 02:30 | 26 03:30 +1
        """,
    ),
    Table(
        "every quarter of an hour follows elapsed time through the repeated hour",
        "Europe/Berlin",
        "*/15 * * * *",
        "2026-10-24 23:50",
        """
        2026-10-25 00:00 | 25 02:00 +2
        2026-10-25 00:15 | 25 02:15 +2
        2026-10-25 00:30 | 25 02:30 +2
        2026-10-25 00:45 | 25 02:45 +2
        2026-10-25 01:00 | 25 02:00 +1
        2026-10-25 01:15 | 25 02:15 +1
        2026-10-25 01:30 | 25 02:30 +1
        2026-10-25 01:45 | 25 02:45 +1
        2026-10-25 02:00 | 25 03:00 +1
        2026-10-25 02:15 | 25 03:15 +1
        """,
    ),
    Table(
        "every hour follows elapsed time through the repeated hour",
        "Europe/Berlin",
        "0 * * * *",
        "2026-10-24 22:30",
        """
        2026-10-24 23:00 | 25 01:00 +2
        2026-10-25 00:00 | 25 02:00 +2
        2026-10-25 01:00 | 25 02:00 +1
        2026-10-25 02:00 | 25 03:00 +1
        2026-10-25 03:00 | 25 04:00 +1
        """,
    ),
    Table(
        "every hour at half past, through the repeated hour",
        "Europe/Berlin",
        "30 * * * *",
        "2026-10-24 23:00",
        """
        2026-10-24 23:30 | 25 01:30 +2
        2026-10-25 00:30 | 25 02:30 +2
        2026-10-25 01:30 | 25 02:30 +1
        2026-10-25 02:30 | 25 03:30 +1
        """,
    ),
    Table(
        "every second hour has its hours on the wall, each once",
        "Europe/Berlin",
        "0 */2 * * *",
        "2026-10-24 19:00",
        """
        2026-10-24 20:00 | 24 22:00 +2
        2026-10-24 22:00 | 25 00:00 +2
        2026-10-25 00:00 | 25 02:00 +2
        2026-10-25 03:00 | 25 04:00 +1
        2026-10-25 05:00 | 25 06:00 +1
        2026-10-25 07:00 | 25 08:00 +1
        """,
    ),
    Table(
        "@daily is midnight on the wall",
        "Europe/Berlin",
        "@daily",
        "2026-10-23 12:00",
        """
        2026-10-23 22:00 | 24 00:00 +2
        2026-10-24 22:00 | 25 00:00 +2
        2026-10-25 23:00 | 26 00:00 +1
        2026-10-26 23:00 | 27 00:00 +1
        """,
    ),
    Table(
        "a fixed second of the repeated hour is sent once",
        "Europe/Berlin",
        "0 2 * * * 30",
        "2026-10-23 12:00",
        """
        2026-10-24 00:00:30 | 24 02:00:30 +2
        2026-10-25 00:00:30 | 25 02:00:30 +2
        2026-10-26 01:00:30 | 26 02:00:30 +1
        """,
    ),
    Table(
        "a second of every hour follows elapsed time through the repeated hour",
        "Europe/Berlin",
        "0 * * * * 30",
        "2026-10-24 23:30",
        """
        2026-10-25 00:00:30 | 25 02:00:30 +2
        2026-10-25 01:00:30 | 25 02:00:30 +1
        2026-10-25 02:00:30 | 25 03:00:30 +1
        """,
    ),
    Table(
        "every twenty seconds at the start of the repetition",
        "Europe/Berlin",
        "* * * * * */20",
        "2026-10-25 00:59:30",
        """
        2026-10-25 00:59:40 | 25 02:59:40 +2
        2026-10-25 01:00:00 | 25 02:00:00 +1
        2026-10-25 01:00:20 | 25 02:00:20 +1
        2026-10-25 01:00:40 | 25 02:00:40 +1
        """,
    ),
    Table(
        "every twenty seconds at the end of the repetition",
        "Europe/Berlin",
        "* * * * * */20",
        "2026-10-25 01:59:30",
        """
        2026-10-25 01:59:40 | 25 02:59:40 +1
        2026-10-25 02:00:00 | 25 03:00:00 +1
        2026-10-25 02:00:20 | 25 03:00:20 +1
        """,
    ),
]

NEW_YORK = [
    Table(
        "a fixed time in the gap is sent at its end",
        "America/New_York",
        "30 2 * * *",
        "2026-03-06 12:00",
        """
        2026-03-07 07:30 | 07 02:30 -5
        2026-03-08 07:00 | 08 03:00 -4, the first instant after the gap
        2026-03-09 06:30 | 09 02:30 -4
        """,
    ),
    Table(
        "all slots of the gap are one",
        "America/New_York",
        "*/15 2 * * *",
        "2026-03-07 07:20",
        """
        2026-03-07 07:30 | 07 02:30 -5
        2026-03-07 07:45 | 07 02:45 -5
        2026-03-08 07:00 | 08 02:00, 02:15, 02:30 and 02:45
        2026-03-09 06:00 | 09 02:00 -4
        2026-03-09 06:15 | 09 02:15 -4
        """,
    ),
    Table(
        "every quarter of an hour follows elapsed time through the gap",
        "America/New_York",
        "*/15 * * * *",
        "2026-03-08 06:20",
        """
        2026-03-08 06:30 | 08 01:30 -5
        2026-03-08 06:45 | 08 01:45 -5
        2026-03-08 07:00 | 08 03:00 -4
        2026-03-08 07:15 | 08 03:15 -4
        2026-03-08 07:30 | 08 03:30 -4
        """,
    ),
    Table(
        "every hour follows elapsed time through the gap",
        "America/New_York",
        "0 * * * *",
        "2026-03-08 04:30",
        """
        2026-03-08 05:00 | 08 00:00 -5
        2026-03-08 06:00 | 08 01:00 -5
        2026-03-08 07:00 | 08 03:00 -4
        2026-03-08 08:00 | 08 04:00 -4
        """,
    ),
    Table(
        "every second hour has its hours on the wall, through the gap",
        "America/New_York",
        "0 */2 * * *",
        "2026-03-08 04:00",
        """
        2026-03-08 05:00 | 08 00:00 -5
        2026-03-08 07:00 | 08 02:00, which does not exist
        2026-03-08 08:00 | 08 04:00 -4
        2026-03-08 10:00 | 08 06:00 -4
        """,
    ),
    Table(
        "nine o'clock on working days",
        "America/New_York",
        "0 9 * * mon-fri",
        "2026-03-05 20:00",
        """
        2026-03-06 14:00 | 06 09:00 -5, a Friday
        2026-03-09 13:00 | 09 09:00 -4, a Monday
        2026-03-10 13:00 | 10 09:00 -4
        """,
    ),
    Table(
        "seconds come last: a fixed second in the gap",
        "America/New_York",
        "59 2 * * * 59",
        "2026-03-06 12:00",
        """
        2026-03-07 07:59:59 | 07 02:59:59 -5
        2026-03-08 07:00:00 | 08 02:59:59, which does not exist
        2026-03-09 06:59:59 | 09 02:59:59 -4
        """,
    ),
    Table(
        "@daily is midnight on the wall",
        "America/New_York",
        "@daily",
        "2026-03-06 12:00",
        """
        2026-03-07 05:00 | 07 00:00 -5
        2026-03-08 05:00 | 08 00:00 -5
        2026-03-09 04:00 | 09 00:00 -4
        """,
    ),
    Table(
        "a fixed time of the repeated hour is sent once, at its first occurrence",
        "America/New_York",
        "30 1 * * *",
        "2026-10-30 12:00",
        """
        2026-10-31 05:30 | 31 01:30 -4
        2026-11-01 05:30 | 01 01:30 -4
        2026-11-02 06:30 | 02 01:30 -5
        """,
    ),
    Table(
        "the time after the repeated hour is as any other",
        "America/New_York",
        "0 2 * * *",
        "2026-10-30 12:00",
        """
        2026-10-31 06:00 | 31 02:00 -4
        2026-11-01 07:00 | 01 02:00 -5
        2026-11-02 07:00 | 02 02:00 -5
        """,
    ),
    Table(
        "several times of the repeated hour are sent once each",
        "America/New_York",
        "*/20 1 * * *",
        "2026-10-31 12:00",
        """
        2026-11-01 05:00 | 01 01:00 -4
        2026-11-01 05:20 | 01 01:20 -4
        2026-11-01 05:40 | 01 01:40 -4
        2026-11-02 06:00 | 02 01:00 -5
        2026-11-02 06:20 | 02 01:20 -5
        """,
    ),
    Table(
        "every quarter of an hour follows elapsed time through the repeated hour",
        "America/New_York",
        "*/15 * * * *",
        "2026-11-01 04:50",
        """
        2026-11-01 05:00 | 01 01:00 -4
        2026-11-01 05:15 | 01 01:15 -4
        2026-11-01 05:30 | 01 01:30 -4
        2026-11-01 05:45 | 01 01:45 -4
        2026-11-01 06:00 | 01 01:00 -5
        2026-11-01 06:15 | 01 01:15 -5
        2026-11-01 06:30 | 01 01:30 -5
        2026-11-01 06:45 | 01 01:45 -5
        2026-11-01 07:00 | 01 02:00 -5
        """,
    ),
    Table(
        "every hour follows elapsed time through the repeated hour",
        "America/New_York",
        "0 * * * *",
        "2026-11-01 03:30",
        """
        2026-11-01 04:00 | 01 00:00 -4
        2026-11-01 05:00 | 01 01:00 -4
        2026-11-01 06:00 | 01 01:00 -5
        2026-11-01 07:00 | 01 02:00 -5
        2026-11-01 08:00 | 01 03:00 -5
        """,
    ),
    Table(
        "every second hour has its hours on the wall, each once",
        "America/New_York",
        "0 1-23/2 * * *",
        "2026-11-01 03:30",
        """
        2026-11-01 05:00 | 01 01:00 -4
        2026-11-01 08:00 | 01 03:00 -5
        2026-11-01 10:00 | 01 05:00 -5
        """,
    ),
    Table(
        "every second hour from midnight does not meet the repeated hour",
        "America/New_York",
        "0 */2 * * *",
        "2026-11-01 03:30",
        """
        2026-11-01 04:00 | 01 00:00 -4
        2026-11-01 07:00 | 01 02:00 -5
        2026-11-01 09:00 | 01 04:00 -5
        """,
    ),
    Table(
        "@daily is midnight on the wall",
        "America/New_York",
        "@daily",
        "2026-10-30 12:00",
        """
        2026-10-31 04:00 | 31 00:00 -4
        2026-11-01 04:00 | 01 00:00 -4
        2026-11-02 05:00 | 02 00:00 -5
        """,
    ),
]

OTHER_ZONES = [
    Table(
        "a gap of thirty minutes: a fixed time is sent at its end",
        "Australia/Lord_Howe",
        "15 2 * * *",
        "2026-10-02 12:00",
        """
        2026-10-02 15:45 | 03 02:15 +10:30
        2026-10-03 15:30 | 04 02:30 +11, the first instant after the gap
        2026-10-04 15:15 | 05 02:15 +11
        """,
    ),
    Table(
        "a gap of thirty minutes: every quarter of an hour follows elapsed time",
        "Australia/Lord_Howe",
        "*/15 * * * *",
        "2026-10-03 14:50",
        """
        2026-10-03 15:00 | 04 01:30 +10:30
        2026-10-03 15:15 | 04 01:45 +10:30
        2026-10-03 15:30 | 04 02:30 +11
        2026-10-03 15:45 | 04 02:45 +11
        2026-10-03 16:00 | 04 03:00 +11
        """,
    ),
    Table(
        "a gap of thirty minutes: every hour keeps to the full hour on the wall",
        "Australia/Lord_Howe",
        "0 * * * *",
        "2026-10-03 13:00",
        """
        2026-10-03 13:30 | 04 00:00 +10:30
        2026-10-03 14:30 | 04 01:00 +10:30
        2026-10-03 16:00 | 04 03:00 +11
        2026-10-03 17:00 | 04 04:00 +11
        """,
    ),
    Table(
        "a repetition of thirty minutes: a fixed time is sent once",
        "Australia/Lord_Howe",
        "45 1 * * *",
        "2026-04-03 12:00",
        """
        2026-04-03 14:45 | 04 01:45 +11
        2026-04-04 14:45 | 05 01:45 +11
        2026-04-05 15:15 | 06 01:45 +10:30
        """,
    ),
    Table(
        "a repetition of thirty minutes: every quarter of an hour follows elapsed time",
        "Australia/Lord_Howe",
        "*/15 * * * *",
        "2026-04-04 14:20",
        """
        2026-04-04 14:30 | 05 01:30 +11
        2026-04-04 14:45 | 05 01:45 +11
        2026-04-04 15:00 | 05 01:30 +10:30
        2026-04-04 15:15 | 05 01:45 +10:30
        2026-04-04 15:30 | 05 02:00 +10:30
        2026-04-04 15:45 | 05 02:15 +10:30
        """,
    ),
    Table(
        "a repetition of thirty minutes: every hour keeps to the full hour on the wall",
        "Australia/Lord_Howe",
        "0 * * * *",
        "2026-04-04 12:30",
        """
        2026-04-04 13:00 | 05 00:00 +11
        2026-04-04 14:00 | 05 01:00 +11
        2026-04-04 15:30 | 05 02:00 +10:30
        2026-04-04 16:30 | 05 03:00 +10:30
        """,
    ),
    Table(
        "a midnight that does not exist",
        "Africa/Cairo",
        "@daily",
        "2026-04-22 12:00",
        """
        2026-04-22 22:00 | 23 00:00 +2
        2026-04-23 22:00 | 24 01:00 +3, the first instant after the gap
        2026-04-24 21:00 | 25 00:00 +3
        """,
    ),
]

TABLES = [*BERLIN_GAP, *BERLIN_REPEATED_HOUR, *NEW_YORK, *OTHER_ZONES]

each_table = pytest.mark.parametrize(
    "table", TABLES, ids=lambda table: f"{table.zone}: {table.cron}: {table.rule}"
)


@each_table
def test_slots_are_those_of_the_table(table):
    slots = table.slots
    assert list(islice(table.schedule.after(utc(table.after)), len(slots))) == slots


@each_table
def test_each_slot_leads_to_the_next_in_a_new_process_too(table):
    """This is how ticks walk: from the last slot, or from a clock with microseconds, in a new process."""
    previous = utc(table.after)
    for slot in table.slots:
        for start in (previous, previous + MICROSECOND, slot - timedelta(seconds=0.5), slot - MICROSECOND):
            assert next(table.schedule.after(start)) == slot
        previous = slot


@each_table
def test_any_instant_leads_to_the_next_slot(table):
    """Instants from within both passes of a repeated hour (fold 0 and 1) are among them."""
    slots = table.slots
    start, end = utc(table.after), slots[-1]
    step = (end - start) / 97 + MICROSECOND
    for at in (start + step * number for number in range(97)):
        assert next(table.schedule.after(at)) == slots[bisect_right(slots, at)]


@each_table
def test_the_zone_in_which_an_instant_is_given_does_not_matter(table):
    local = utc(table.after).astimezone(ZoneInfo(table.zone))
    slots = table.slots
    assert list(islice(table.schedule.after(local), len(slots))) == slots


@each_table
def test_backwards_the_newest_slot_up_to_an_instant_is_first(table):
    previous = None
    for slot in table.slots:
        if previous is not None:
            assert next(table.schedule.before(slot)) == previous
        assert next(table.schedule.before(slot + MICROSECOND)) == slot
        previous = slot


@pytest.mark.parametrize(
    ("fold", "following"), [(0, ["2026-10-25 00:30", "2026-10-25 01:00"]), (1, ["2026-10-25 01:30"])]
)
def test_a_start_in_the_repeated_hour_knows_its_pass(fold, following):
    """The local time 02:20 exists twice: at 00:20 and at 01:20 UTC."""
    at = datetime(2026, 10, 25, 2, 20, fold=fold, tzinfo=ZoneInfo("Europe/Berlin"))
    slots = CronSlots("*/30 * * * *", "Europe/Berlin").after(at)
    assert list(islice(slots, len(following))) == [utc(text) for text in following]


@pytest.mark.parametrize("fold", [0, 1])
def test_a_fixed_time_that_passed_once_does_not_come_again_in_the_second_pass(fold):
    at = datetime(2026, 10, 25, 2, 40, fold=fold, tzinfo=ZoneInfo("Europe/Berlin"))
    assert next(CronSlots("30 2 * * *", "Europe/Berlin").after(at)) == utc("2026-10-26 01:30")


# A whole year.


def slots_of_2026(cron: str, zone: str, start: str = "2026-01-01 00:00") -> list[datetime]:
    slots = []
    for slot in CronSlots(cron, zone).after(utc(start) - MICROSECOND):
        if slot >= utc(start) + timedelta(days=365):
            return slots
        slots.append(slot)
    return slots


def test_shanghai_never_changes_its_clocks():
    """02:30 in Shanghai is 18:30 UTC of the day before, every day of the year."""
    first = utc("2025-12-31 18:30")
    expected = [first + timedelta(days=day) for day in range(365)]
    assert slots_of_2026("30 2 * * *", "Asia/Shanghai", "2025-12-31 16:00") == expected


def test_first_of_each_month_in_shanghai():
    assert slots_of_2026("0 9 1 * *", "Asia/Shanghai") == [
        utc(text)
        for text in (
            "2026-01-01 01:00",
            "2026-02-01 01:00",
            "2026-03-01 01:00",
            "2026-04-01 01:00",
            "2026-05-01 01:00",
            "2026-06-01 01:00",
            "2026-07-01 01:00",
            "2026-08-01 01:00",
            "2026-09-01 01:00",
            "2026-10-01 01:00",
            "2026-11-01 01:00",
            "2026-12-01 01:00",
        )
    ]


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"])
def test_an_hourly_job_has_a_slot_in_every_hour_of_the_year(zone):
    first = utc("2026-01-01 00:00")
    assert slots_of_2026("0 * * * *", zone) == [first + timedelta(hours=hour) for hour in range(8760)]


@pytest.mark.parametrize("cron", ["30 2 * * *", "30 1 * * *", "0 3 * * *", "@daily"])
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/New_York"])
def test_a_daily_job_has_one_slot_on_every_day_of_the_year(cron, zone):
    midnight = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)
    days = [slot.astimezone(ZoneInfo(zone)).date() for slot in slots_of_2026(cron, zone, str(midnight)[:16])]
    assert days == [datetime(2026, 1, 1).date() + timedelta(days=day) for day in range(365)]


# Wall-clock times given by people.


@pytest.mark.parametrize(
    ("wall", "zone", "expected"),
    [
        ("2026-03-29 01:59:59", "Europe/Berlin", "2026-03-29 00:59:59"),
        ("2026-03-29 02:00", "Europe/Berlin", "2026-03-29 01:00"),
        ("2026-03-29 02:30", "Europe/Berlin", "2026-03-29 01:00"),
        ("2026-03-29 02:59:59.900", "Europe/Berlin", "2026-03-29 01:00"),
        ("2026-03-29 03:00", "Europe/Berlin", "2026-03-29 01:00"),
        ("2026-10-25 02:30", "Europe/Berlin", "2026-10-25 00:30"),
        ("2026-10-25 03:00", "Europe/Berlin", "2026-10-25 02:00"),
        ("2026-10-04 02:15", "Australia/Lord_Howe", "2026-10-03 15:30"),
        ("2026-06-01 12:00", "Asia/Shanghai", "2026-06-01 04:00"),
    ],
)
def test_a_wall_clock_time_is_an_instant_by_the_rule_of_fixed_times(wall, zone, expected):
    assert zones.instant(datetime.fromisoformat(wall), ZoneInfo(zone)) == utc(expected)


@pytest.mark.parametrize(
    "zone",
    [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "America/Santiago",
        "Asia/Beirut",
        "America/Sao_Paulo",
        "Pacific/Apia",
        "Asia/Kolkata",
        "UTC",
    ],
)
def test_each_quarter_of_an_hour_of_some_years_is_the_instant_that_it_was(zone):
    """The offset of a day is kept, so it must hold for each of its times, next to changes of clocks, too."""
    tz = ZoneInfo(zone)
    changes = [datetime(2011, 12, 28), datetime(2018, 11, 3)]
    at = datetime(2023, 1, 1)
    changes += [
        day
        for day in (at + timedelta(days=n) for n in range(730))
        if day.replace(tzinfo=tz).utcoffset() != (day + timedelta(days=1)).replace(tzinfo=tz).utcoffset()
    ]
    for change in changes:
        for quarter in range(-96, 3 * 96):
            wall = change + timedelta(minutes=15 * quarter, seconds=7, microseconds=5)
            local = wall.replace(tzinfo=tz)
            exact = local.astimezone(timezone.utc)
            # A time that does not exist becomes the end of its gap, which other tests are about.
            if exact.astimezone(tz).replace(tzinfo=None) == wall:
                assert zones.instant(wall, tz) == exact, wall


class Unhashable(ZoneInfo):
    """As pendulum's zones are in Airflow 3.1."""

    __hash__ = None

    def __eq__(self, other):
        return self is other


@pytest.mark.parametrize("wall", ["2026-03-29 02:30", "2026-06-01 12:00", "2026-10-25 02:30"])
def test_a_zone_need_not_be_hashable(wall):
    at, zone = datetime.fromisoformat(wall), ZoneInfo("Europe/Berlin")
    other = Unhashable("Europe/Berlin")
    exact = zones.instant(at, zone)

    assert zones.instant(at, other) == exact
    for backward in (False, True):
        assert zones.edge(exact, other, backward=backward) == zones.edge(exact, zone, backward=backward)


def test_wall_clock_times_at_the_ends_of_the_calendar():
    assert zones.instant(datetime(9999, 12, 31, 23), ZoneInfo("UTC")) == datetime(
        9999, 12, 31, 23, tzinfo=timezone.utc
    )
    assert zones.instant(datetime(1, 1, 1), ZoneInfo("UTC")) == datetime(1, 1, 1, tzinfo=timezone.utc)


# Without changes of clocks.


@pytest.mark.parametrize("cron", ["* * * * * *", "0-59 * * * *", "0 0 * * *", "*/7 */5 */3 * *"])
def test_slots_go_on_from_any_slot(cron):
    start = utc("2026-02-27 23:58")
    slots = list(islice(CronSlots(cron, "UTC").after(start), 200))

    assert [next(CronSlots(cron, "UTC").after(slot)) for slot in slots[:-1]] == slots[1:]
    assert next(CronSlots(cron, "UTC").after(slots[0] - MICROSECOND)) == slots[0]
    assert list(islice(CronSlots(cron, "UTC").before(slots[-1] + MICROSECOND), 200)) == slots[::-1]


def test_slots_end_with_the_years_that_bounds_can_name():
    late = utc("2999-12-31 12:00")
    assert list(CronSlots("0 0 * * *", "America/New_York").after(late)) == []
    assert list(CronSlots("0 13 * * *", "UTC").after(late)) == [utc("2999-12-31 13:00")]
    assert list(CronSlots("0 13 * * *", "UTC").before(utc("1900-01-01 14:00"))) == [utc("1900-01-01 13:00")]


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "", "Europe/../Berlin", "/etc/passwd", "Europe", "\x00", "CEST-1"]
)
def test_an_unknown_zone_is_named(name):
    with pytest.raises(ValueError, match="unknown time zone") as caught:
        zones.time_zone(name)
    assert repr(name) in str(caught.value)
