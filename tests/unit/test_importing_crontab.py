"""Crontabs become jobs with the same times and commands, or are refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_pgmq.core.importing import crontab
from airflow_pgmq.core.importing.imported import Imported
from airflow_pgmq.core.jobs import PeriodicJob
from tests.unit.crons import runs

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def read(text: str, **more: Any) -> Imported:
    return crontab.read(text, queue_name="q", **more)


def one(text: str, **more: Any) -> PeriodicJob:
    found = read(text, **more)
    assert found.refused == ()
    (job,) = found.jobs
    assert job.problems() == []
    return job


def refusal(text: str, **more: Any) -> str:
    found = read(text, **more)
    assert found.jobs == ()
    (refused,) = found.refused
    return refused.why


@pytest.mark.parametrize(
    ("line", "cron"),
    [
        ("*/5 * * * * x", "*/5 * * * *"),
        ("0\t6   * *\tmon-fri x", "0 6 * * mon-fri"),
        ("0 0 1,15 JAN-MAR,dec 7 x", "0 0 1,15 JAN-MAR,dec 7"),
        ("10-50/20 8-18/2 * * 5-7 x", "10-50/20 8-18/2 * * 5-7"),
        ("@daily x", "@daily"),
        ("@hourly x", "@hourly"),
    ],
)
def test_schedules(line: str, cron: str) -> None:
    assert one(line) == PeriodicJob(name="x", cron=cron, queue_name="q", message={"command": "x"})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@reboot x", "is no time"),
        ("@fortnightly x", "@fortnightly is not known"),
        ("@quarterly x", "@quarterly is not known"),
        ("0~30 * * * * x", "random minute"),
        ("H * * * * x", "'h' cannot be read as minute"),
        ("0 0 L * * x", "'l' cannot be read as day of month"),
        ("0 0 * * fri#2 x", "cannot be read as weekday"),
        ("5/15 * * * * x", "a step after a single minute"),
        ("0 22-2 * * * x", "goes down"),
        ("0 0 * * fri-mon x", "goes down"),
        ("60 * * * * x", "'60' is no minute"),
        ("0 0 * * 8 x", "is no weekday"),
        ("*/0 * * * * x", "cannot be read"),
        ("0 0 31 2 * x", "never matches a day"),
        ("0 0 * * *", "no entry of a crontab"),
        ("hello", "no entry of a crontab"),
        ("@daily", "no command"),
        ("0 0 * * * %in", "no command"),
    ],
)
def test_what_is_refused(line: str, why: str) -> None:
    assert why in refusal(line)


def test_a_refused_line_is_named() -> None:
    (refused,) = read("# a comment\n\n  @reboot start it").refused
    assert (refused.source, refused.text) == ("line 3", "@reboot start it")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b  c", {"command": "a b  c"}),
        (r"date +\%F", {"command": "date +%F"}),
        ("cat%one%two", {"command": "cat", "stdin": "one\ntwo\n"}),
        ("cat%one%", {"command": "cat", "stdin": "one\n"}),
        ("cat%", {"command": "cat", "stdin": ""}),
        (r"cat%5\% of it", {"command": "cat", "stdin": "5% of it\n"}),
        (r"a\\%b", {"command": r"a\\", "stdin": "b\n"}),
        (r"a \n b", {"command": r"a \n b"}),
        ("echo # no comment", {"command": "echo # no comment"}),
    ],
)
def test_commands(text: str, message: dict[str, str]) -> None:
    assert one(f"0 6 * * * {text}").message == message


def test_the_column_of_users() -> None:
    text = "17 * * * *\troot    cd / && run\n@daily www-data clean"
    assert [job.message for job in read(text, system=True).jobs] == [
        {"command": "cd / && run", "user": "root"},
        {"command": "clean", "user": "www-data"},
    ]
    assert "a user and a command" in refusal("0 6 * * * root", system=True)


def test_settings_hold_for_the_lines_after_them() -> None:
    found = read(
        "0 1 * * * a\nSHELL=/bin/sh\n0 2 * * * b\nCRON_TZ = Europe/Berlin\n'A B' = \" c \"\n"
        "0 3 * * * c\nCRON_TZ=\n0 4 * * * d",
        timezone="Asia/Tokyo",
    )
    shell, both = {"SHELL": "/bin/sh"}, {"SHELL": "/bin/sh", "A B": " c "}
    assert [(job.timezone, job.message.get("environment")) for job in found.jobs] == [
        ("Asia/Tokyo", None),
        ("Asia/Tokyo", shell),
        ("Europe/Berlin", both),
        ("Asia/Tokyo", both),
    ]


def test_settings_that_somebody_should_check() -> None:
    found = read("TZ=:Europe/Berlin\nMAILTO=a@b.c\n0 3 * * * c")
    assert [job.timezone for job in found.jobs] == ["Europe/Berlin"]
    tz, mail = found.notes
    assert tz.startswith("line 1: TZ=")
    assert mail.startswith("line 2: MAILTO=a@b.c is left out")


def test_a_zone_that_is_not_known() -> None:
    assert "unknown time zone 'Mars'" in refusal("CRON_TZ=Mars\n0 3 * * * c")


def test_names_say_what_the_command_is_and_are_unique() -> None:
    lines = ["a-2", "a", "a", "a", "/usr/bin/run --all >/dev/null", "äö", "__", "x" * 200]
    names = [job.name for job in read("\n".join(f"0 6 * * * {line}" for line in lines)).jobs]
    assert names == ["a-2", "a", "a-3", "a-4", "usr-bin-run-all-dev-null", "job", "job-2", "x" * 60]


def test_what_looks_like_a_template_stays_as_it_is() -> None:
    job = one("0 6 * * * docker ps --format '{{.Names}}'")
    assert job.message == {"command": "{{ params.text_1 }}"}
    assert job.params == {"text_1": "docker ps --format '{{.Names}}'"}
    assert job.name == "docker-ps-format-.Names"


def test_a_file_as_windows_writes_it() -> None:
    assert [job.message["command"] for job in read("\ufeff0 6 * * * a\r\n0 7 * * * b\r\n").jobs] == ["a", "b"]


def test_a_step_beyond_its_field_is_noted() -> None:
    (note,) = read("*/90 * * * * x").notes
    assert note.startswith("line 1: cron '*/90 * * * *'")


# The same times as cron itself.


def values(text: str, low: int, high: int) -> set[int]:
    """A field as cron reads it: numbers only."""
    found: set[int] = set()
    for term in text.split(","):
        base, _, step = term.partition("/")
        first, _, last = base.partition("-")
        begin, end = (low, high) if base == "*" else (int(first), int(last or first))
        found.update(range(begin, end + 1, int(step or 1)))
    return found


def by_cron(line: str, days: int) -> Iterator[datetime]:
    """Each minute at which cron would run it: a field for days that begins with * never widens the other."""
    texts = line.split()[:5]
    bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
    minute, hour, day, month, weekday = (
        values(text, *bound) for text, bound in zip(texts, bounds, strict=True)
    )
    is_star = texts[2].startswith("*") or texts[4].startswith("*")
    for count in range(days * 24 * 60):
        at = START + timedelta(minutes=count)
        on_date, on_weekday = at.day in day, bool({at.isoweekday(), at.isoweekday() % 7} & weekday)
        is_day = on_date and on_weekday if is_star else on_date or on_weekday
        if at.minute in minute and at.hour in hour and at.month in month and is_day:
            yield at


def by_job(job: PeriodicJob, days: int) -> Iterator[datetime]:
    for slot in job.slots.after(START - timedelta(seconds=1)):
        if slot >= START + timedelta(days=days):
            return
        yield slot


@st.composite
def fields(draw: Any, low: int, high: int) -> str:
    def term() -> str:
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, 9))
        return draw(
            st.sampled_from([f"{first}", f"{first}-{last}", f"{first}-{last}/{step}", "*", f"*/{step}"])
        )

    return ",".join(term() for _ in range(draw(st.integers(1, 2))))


@given(minute=fields(0, 59), hour=fields(0, 23), day=fields(1, 28), month=fields(1, 2), weekday=fields(0, 7))
@example(minute="0", hour="0", day="1,*/2", month="1", weekday="0,*")
@example(minute="0", hour="0", day="5,*", month="1", weekday="1,*/3")
@example(minute="0", hour="0", day="*/2", month="1", weekday="0,*")
@runs(60)
def test_slots_are_those_of_cron(minute: str, hour: str, day: str, month: str, weekday: str) -> None:
    line = f"{minute} {hour} {day} {month} {weekday} x"
    found = read(line)
    expected = list(by_cron(line, 20))
    if found.jobs:
        assert list(by_job(found.jobs[0], 20)) == expected
    else:
        assert "never matches a day" in found.refused[0].why
        assert expected == []


# Whatever is in the text.

LINES = st.one_of(
    st.text(max_size=40),
    st.text("*/,-0123456789 @%\\=~#'\"{}\tabHL", max_size=40),
    st.sampled_from(["CRON_TZ=Europe/Berlin", "MAILTO=x", "# no", "", "@daily a", "0 6 * * * {{ x }}%a"]),
)


@given(lines=st.lists(LINES, max_size=6), system=st.booleans())
@runs(300)
def test_each_line_is_a_job_a_refusal_or_no_entry(lines: list[str], system: bool) -> None:
    text = "\n".join(lines)
    found = read(text, system=system)
    names = [job.name for job in found.jobs]
    assert len(set(names)) == len(names)
    assert [job.problems() for job in found.jobs] == [[]] * len(names)
    entries = [
        line
        for line in text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if line.strip(" \t")
        and not line.strip(" \t").startswith("#")
        and not crontab._SETTING.fullmatch(line.strip(" \t"))
    ]
    assert len(found.jobs) + len(found.refused) == len(entries)
    assert all(refused.why for refused in found.refused)
