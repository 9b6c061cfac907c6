"""Periodic jobs of every kind that have no problems, for tests with hypothesis."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from airflow_pgmq.jobs import At, Blackout, Calendar, Cron, Every, Holidays, PeriodicJob, RRule

#: What readers of YAML take for something else than a text, and what is hard to quote.
TRAPS = [
    *("yes", "No", "on", "OFF", "y", "true", "null", "Null", "~", "", " ", "=", "<<", "*", "* * * * *", "&a"),
    *("1", "-1", "010", "08", "0o17", "0x1f", "0b11", "1_000", "1e3", "1.0e+3", ".5", "1.", ".inf", ".NaN"),
    *("NaN", "Infinity", "1:30", "09:30", "190:20:30.15", "2026-01-01", "2026-01-01 10:00:00+02:00"),
    *("a: b", "a #b", "#", "- a", "-", "?", "@daily", "`", "%", "!!str", "{a", "[a", "|", ">", "---", "..."),
    *("'", '"', "\\", "😀", "里程", "e\u0301"),
    *("it's", 'say "it\'s"', "\n", "a\n", "a\n\n", "\na", "  a\nb", "a \nb", "a\n b\n", "\ta", "a\r\nb"),
    *("\x01", "\x1b[0m", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\ufffe"),
]

texts = st.sampled_from(TRAPS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
# A template must be one that can be read, which is not what this is about.
plain_texts = texts.filter(lambda text: "{{" not in text and "{%" not in text and "{#" not in text)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just(10**400)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | plain_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(plain_texts.map(lambda text: f"x{text}"), json_values, max_size=3)

naive = st.datetimes(datetime(1970, 1, 2), datetime(2999, 12, 30))
zones = st.builds(
    lambda seconds: timezone(timedelta(seconds=seconds)),
    st.sampled_from([0, 3600, -12600]) | st.integers(-86_399, 86_399),
)
instants = naive | st.builds(lambda at, zone: at.replace(tzinfo=zone), naive, zones)
whole = instants.map(lambda at: at.replace(microsecond=0))
durations = st.timedeltas(timedelta(microseconds=1), timedelta(days=3660))

crons = st.sampled_from(["* * * * *", "*/5 9-17 * * mon-fri", "@daily", "H 3 * * *", "0 0 1 1 *"])
orders = st.sampled_from([None, "first", "last"])
day_matches = st.sampled_from([None, "either", "both"])
rules = st.sampled_from(["FREQ=MONTHLY;BYDAY=-1FR", "DTSTART:20260101T090000\nRRULE:FREQ=DAILY;COUNT=3"])
schedules = (
    crons
    | st.builds(Cron, crons, orders, day_matches)
    | st.builds(Cron, st.just("0 0 6 * * 1-5"), st.just("first"))
    | st.builds(Every, st.integers(1, 3660 * 86_400).map(lambda n: timedelta(seconds=n)))
    | st.builds(Every, st.integers(1, 3660).map(lambda n: timedelta(days=n)), whole)
    | st.lists(whole, min_size=1, max_size=3).map(lambda instants: At(*instants))
    | rules.map(RRule)
)
windows = st.tuples(whole, st.timedeltas(timedelta(microseconds=1), timedelta(days=400))).map(
    lambda pair: Blackout(pair[0], pair[0] + pair[1])
)
excluded = (
    st.dates(date(1970, 1, 1), date(2999, 12, 31))
    | st.just("weekends")
    | st.builds(Calendar, plain_texts.filter(bool))
    | st.sampled_from([Holidays("DE"), Holidays("DE", "BY"), Holidays("NO"), Holidays("US", "CA")])
    | windows
)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True) | st.sampled_from(
    ["yes", "no", "1e3", "0x1f", "010", "2026-01-01", "null", "1"]
)


@st.composite
def _bounds(draw: st.DrawFn) -> dict[str, datetime]:
    if draw(st.booleans()):
        return {draw(st.sampled_from(["start", "end"])): draw(instants)}
    first, second = draw(naive), draw(naive)
    return {"start": min(first, second), "end": max(first, second)} if abs(first - second).days > 1 else {}


optional: dict[str, st.SearchStrategy[Any]] = {
    "message": json_values,
    "timezone": st.sampled_from(["Europe/Berlin", "America/New_York", "UTC"]),
    "headers": objects | st.none(),
    "version": st.integers(-(2**31) + 1, 2**31 - 1),
    "ttl": durations | st.none(),
    "expect_within": durations | st.none(),
    "pause_on_dead_letter": st.booleans(),
    "catch_up": st.sampled_from(["all", "last", "none"]),
    "catch_up_max_age": durations,
    "catch_up_limit": st.integers(1, 10**9),
    "overlap": st.sampled_from(["allow", "skip", "queue_one"]),
    "jitter": st.timedeltas(timedelta(0), timedelta(days=1)),
    "group": plain_texts | st.none(),
    "exclude": st.lists(excluded, max_size=4),
    "business_day": st.sampled_from([None, "next", "previous", "skip"]),
    "params": objects | st.none(),
}
jobs = st.builds(
    lambda required, more, bounds: PeriodicJob(**required, **more, **bounds),
    st.fixed_dictionaries(
        {
            "name": names,
            "schedule": schedules,
            "queue_name": st.sampled_from(["mail", "yes", "1e3", "Unicode-里程", "a b"]),
        }
    ),
    st.fixed_dictionaries({}, optional=optional),
    _bounds(),
).filter(lambda job: not job.problems(max_bytes=None))
job_lists = st.lists(jobs, max_size=3, unique_by=lambda job: job.name)
