"""Documents of jobs: what people write, and what they are told if it is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_pgmq.core.job_documents import from_mapping, parse
from airflow_pgmq.core.job_documents.yaml_values import MAX_BYTES, MAX_DEPTH, MAX_VALUES
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.errors import InvalidArgument, InvalidInput, InvalidJobs
from airflow_pgmq.jobs import At, Blackout, Calendar, Cron, Every, Holidays, RRule
from tests.unit import generated_jobs

REQUIRED = 'name: a\nqueue_name: q\nschedule: "@daily"\n'


def read(text: str) -> PeriodicJob:
    """The one job with these fields, and with those that it must have before them."""
    lines = dedent(text).strip().splitlines()
    given = {line.partition(":")[0] for line in lines}
    required = [line for line in REQUIRED.splitlines() if line.partition(":")[0] not in given]
    (job,) = parse("- " + "\n  ".join([*required, *lines]) + "\n")
    return job


def refusal(text: str) -> str:
    with pytest.raises(InvalidInput) as raised:
        read(text)
    return str(raised.value)


# What may be written.


def test_a_document_is_a_list_or_has_one_beside_its_defaults() -> None:
    listed = parse('- {name: a, schedule: "0 6 * * *", queue_name: q, ttl: 1h, timezone: Europe/Berlin}')
    beside = parse(
        """
        defaults: {queue_name: q, ttl: 1h, timezone: Europe/Berlin, schedule: "0 6 * * *"}
        jobs:
          - name: a
        """
    )
    assert listed == beside
    assert parse(json.dumps([{"name": "a", "schedule": "@daily", "queue_name": "q"}])) == [
        PeriodicJob(name="a", schedule="@daily", queue_name="q")
    ]
    assert parse("[]") == parse("jobs: []") == []


def test_a_job_says_what_it_has_not_from_the_defaults() -> None:
    one, other, third = parse(
        """
        defaults: {queue_name: q, ttl: 1h, schedule: "0 0 6 * * 1-5", seconds: first, headers: {a: 1, b: 2}}
        jobs:
          - {name: a, ttl: null, headers: {a: 3}}
          - {name: b, queue_name: other, cron: "0 6 * * *"}
          - {name: c, schedule: {every: 1d}}
        """
    )
    assert (one.queue_name, one.ttl, one.seconds, one.headers) == ("q", None, "first", {"a": 3})
    assert (other.queue_name, other.ttl, other.cron) == ("other", timedelta(hours=1), "0 6 * * *")
    assert (third.schedule, third.seconds) == (Every(timedelta(days=1)), None)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ('"*/5 * * * *"', "*/5 * * * *"),
        ("0 6 * * 1-5", "0 6 * * 1-5"),
        ('{cron: "0 9 1-7 * mon", day_match: both}', Cron("0 9 1-7 * mon", day_match="both")),
        ('{cron: "0 0 6 * * 1-5", seconds: first}', Cron("0 0 6 * * 1-5", seconds="first")),
        ("{every: 90m}", Every(timedelta(minutes=90))),
        ("{every: 3600}", Every(timedelta(hours=1))),
        ("{every: P14D, anchor: 2026-01-05 09:00}", Every(timedelta(days=14), datetime(2026, 1, 5, 9))),
        ("{at: 2026-07-01T09:00:00Z}", At(datetime(2026, 7, 1, 9, tzinfo=timezone.utc))),
        ("{at: [2026-07-01 09:00, 2026-08-01]}", At(datetime(2026, 7, 1, 9), datetime(2026, 8, 1))),
        ('{rrule: "FREQ=MONTHLY;BYDAY=-1FR"}', RRule("FREQ=MONTHLY;BYDAY=-1FR")),
    ],
)
def test_each_kind_of_schedule(text: str, schedule: Any) -> None:
    expected = PeriodicJob(name="a", schedule=schedule, queue_name="q")
    assert read(f"schedule: {text}") == expected


def test_each_kind_of_what_is_left_out() -> None:
    job = read(
        """
        exclude:
          - 2026-12-24
          - "2026-12-31"
          - weekends
          - calendar: plant
          - holidays: NO
          - {holidays: DE, subdivision: BY}
          - start: 2026-08-01
            end: 2026-08-15T12:30:00
        """
    )
    assert job.exclude == (
        date(2026, 12, 24),
        date(2026, 12, 31),
        "weekends",
        Calendar("plant"),
        # Not False, as in YAML 1.1.
        Holidays("NO"),
        Holidays("DE", "BY"),
        Blackout(datetime(2026, 8, 1), datetime(2026, 8, 15, 12, 30)),
    )


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90", timedelta(seconds=90)),
        ("1.5", timedelta(seconds=1.5)),
        ("1e3", timedelta(seconds=1000)),
        ("90s", timedelta(seconds=90)),
        ("90m", timedelta(minutes=90)),
        ("2h30m", timedelta(hours=2, minutes=30)),
        ("2h 30m", timedelta(hours=2, minutes=30)),
        ("1.5h", timedelta(minutes=90)),
        ("1d", timedelta(days=1)),
        ("2w", timedelta(days=14)),
        ("PT90M", timedelta(minutes=90)),
        ("P1DT2H", timedelta(days=1, hours=2)),
        ("P14D", timedelta(days=14)),
        ("PT0.5S", timedelta(seconds=0.5)),
    ],
)
def test_each_form_of_a_duration(text: str, duration: timedelta) -> None:
    assert read(f"ttl: {text}").ttl == duration


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31", datetime(2026, 1, 31)),
        ("2026-01-31 09:00", datetime(2026, 1, 31, 9)),
        ("2026-01-31T09:00:30.5", datetime(2026, 1, 31, 9, 0, 30, 500_000)),
        ("2026-01-31T09:00:00Z", datetime(2026, 1, 31, 9, tzinfo=timezone.utc)),
        ('"2026-01-31 09:00:00 +01:00"', datetime(2026, 1, 31, 8, tzinfo=timezone.utc)),
    ],
)
def test_each_form_of_an_instant(text: str, instant: datetime) -> None:
    assert read(f"start: {text}").start == instant


def test_a_message_is_json_as_it_is_written() -> None:
    job = read(
        r"""
        message:
          date: 2026-01-01
          time: 10:30
          instant: 2026-01-01 10:00:00
          quoted: "yes"
          on: {y: 1, 010: 2}
          numbers: [1, -0.5, 1e3, 0x1f, .5]
          words: [true, false, null, ~, y, n]
          template: "{{ ds }}"
          text: |
            a
            b
        """
    )
    assert job.message == {
        "date": "2026-01-01",
        "time": "10:30",
        "instant": "2026-01-01 10:00:00",
        "quoted": "yes",
        "on": {"y": 1, "010": 2},
        "numbers": [1, -0.5, 1000.0, 31, 0.5],
        "words": [True, False, None, None, "y", "n"],
        "template": "{{ ds }}",
        "text": "a\nb\n",
    }
    assert type(job.message) is type(job.message["on"]) is dict
    assert type(job.message["words"]) is list


def test_texts_of_fields_are_texts() -> None:
    assert read("queue_name: on\ngroup: 1:30\ntimezone: Europe/Berlin").queue_name == "on"


@pytest.mark.parametrize("escaped", [r"\ud83d\ude00", r"\\ud83d", r"\\\ud83d\ude00\u2028\ud83d\ude00"])
def test_json_is_read_as_json(escaped: str) -> None:
    job = f'{{"name": "a", "schedule": "@daily", "queue_name": "q", "message": "{escaped}"}}'
    (read,) = parse(f"[{job}]")
    assert read.message == json.loads(job)["message"]


# What is wrong.


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("quue_name: x", ["quue_name: a job has no such field; did you mean queue_name?"]),
        ("colour: red", ["colour: a job has no such field: it has name, schedule, cron"]),
        ("1: x", ["1: a job has no such field"]),
        ("name: 123", ['name: must be a text, not the number 123; if it is a text, put it in quotes: "123"']),
        ("name: [a]", ["name: must be a text, not a list"]),
        ("group: 010", ["010 can be read in two ways: write the number in decimal", '"010" for a text']),
        ("group: true", ["group: must be a text, not true"]),
        ("version: 010", ["version: 010 can be read in two ways"]),
        ("version: 1.0", ["version: must be a whole number, not the number 1.0"]),
        ("version: true", ["version: must be a whole number, not true"]),
        ("version: 1_000", ["version: must be a whole number, not '1_000'"]),
        ("catch_up: no", ["catch_up: must be all, last or none, not 'no'; did you mean none?"]),
        ("overlap: queue-one", ["overlap: must be allow, skip or queue_one", "did you mean queue_one?"]),
        ("catch_up: null", ["catch_up: must be all, last or none, not nothing (null)"]),
        (
            "jitter: 1:30",
            ["jitter: '1:30' is not a duration: write seconds, such as 90, or a text such"],
        ),
        ("jitter: 010", ["jitter: '010' is not a duration"]),
        ("jitter: -5", ["jitter: the number -5 is not a duration"]),
        ("jitter: P1M", ["jitter: 'P1M' is not a duration"]),
        ("jitter: PT", ["is not a duration"]),
        ("jitter: ''", ["is not a duration"]),
        ("jitter: true", ["is not a duration"]),
        ("jitter: .nan", ["is not a duration"]),
        ("jitter: .inf", ["longer than ten years"]),
        ("ttl: 999999999w", ["ttl: is longer than ten years"]),
        ("ttl: 4000d", ["ttl must be a positive timedelta of at most ten years"]),
        ("start: tomorrow", ["start: 'tomorrow' is not an instant: write it as 2026-01-31T09:00:00+01:00"]),
        ("start: 2026-02-30", ["start: '2026-02-30' is not an instant: day is out of range for month"]),
        ("start: 20260101", ["start: the number 20260101 is not an instant"]),
        ("start: 1969-01-01", ["start must be a datetime between 1970 and 2999"]),
        ("message: {a: yes}", ['message.a: yes can be read in two ways: write true, or "yes" for a text']),
        ("message: [{a: [Off]}]", ["message[0].a[0]: Off can be read in two ways: write false"]),
        ("message: {a: 1_000}", ["message.a: 1_000 can be read in two ways"]),
        ("message: 0o17", ["message: 0o17 can be read in two ways"]),
        ("message: .nan", ["message: nan is not JSON: write null or a text"]),
        ("message: NaN", ['message: NaN can be read in two ways: write null, or "NaN" for a text']),
        ("message: 1e999", ["message: inf is not JSON"]),
        ("message: " + "9" * 5000, ["write a number that is not so long"]),
        (r'message: "\0"', ["NUL character"]),
        ("message: {{ ds }}", ['message.?: a key must be a text; a template needs quotes: "{{ ds }}"']),
        ("message: {a: 1, a: 2}", ["message.a: a second time; the first is in line 4"]),
        ('message: {a: 1, "a": 2}', ["message.a: a second time"]),
        ("params: [1]", ["params: must be a mapping, not a list"]),
        ("headers: {dedup_key: x}", ["headers ['dedup_key'] are written by this package"]),
        ("exclude: weekends", ["exclude: must be a list, not 'weekends'"]),
        ("exclude: [weekend]", ["exclude[0]: must be a date", "did you mean weekends?"]),
        ("exclude: [2026-02-30]", ["exclude[0]: '2026-02-30' is not a date"]),
        ("exclude: [{holyday: DE}]", ["exclude[0].holyday: what is left out has no such field"]),
        ("exclude: [{}]", ["has one of calendar, holidays or start, and this has none of them"]),
        ("exclude: [{holidays: DE, calendar: x}]", ["not calendar and holidays together"]),
        (
            "exclude: [{calendar: x, subdivision: BY}]",
            ["exclude[0].subdivision: what is left out with calendar"],
        ),
        ("exclude: [{start: 2026-01-01}]", ["exclude[0]: a window without slots needs its end, too"]),
        ("exclude: [{start: 2026-01-02, end: 2026-01-01}]", ["Blackout ends"]),
        ("schedule: 5", ['schedule: must be a cron expression such as "0 6 * * *", or a mapping with cron']),
        ("schedule: {evry: 1h}", ["schedule.evry: a schedule has no such field; did you mean every?"]),
        (
            "schedule: {every: 1h, seconds: last}",
            ["schedule.seconds: a schedule with every has no such"],
        ),
        ("schedule: {every: 1h, cron: x}", ["not cron and every together"]),
        ("schedule: {every: soon}", ["schedule.every: 'soon' is not a duration"]),
        ("schedule: {every: 1.5s}", ["Every needs whole seconds"]),
        ("schedule: {at: []}", ["At needs at least one instant"]),
        ("schedule: {at: [x]}", ["schedule.at[0]: 'x' is not an instant"]),
        ("schedule: {rrule: FREQ=OFTEN}", ["OFTEN"]),
        ("schedule: 0 25 * * *", ["line 3: cron '0 25 * * *' is not valid"]),
        ("schedule: null", ["it needs a schedule"]),
        ("schedule: {cron: '@daily', seconds: last}\nseconds: first", ["seconds: is in schedule, too"]),
        ("schedule: {cron: '@daily'}\ncron: '@hourly'", ["give either cron or schedule, not both"]),
        ("timezone: Europe/Bern", ["unknown time zone 'Europe/Bern'"]),
        ("end: 2026-01-01\nstart: 2026-01-02", ["line 4: end must be after start"]),
    ],
)
def test_what_is_wrong_with_a_field_is_said_with_its_line(text: str, parts: list[str]) -> None:
    found = refusal(text)
    for part in parts:
        assert part in found
    assert "jobs[0]" in found
    assert "line " in found


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("schedule: * * * * *", 'A cron with * needs quotes: "*/5 * * * *"'),
        ("schedule: */5 * * * *", 'A cron with * needs quotes: "*/5 * * * *"'),
        ("schedule: @daily", 'needs quotes: "@daily"'),
        ("message:\n\t- a", "indented by spaces"),
        ("message: a: b", "a text with a colon needs quotes"),
        ('message: "a', "perhaps a quote is missing"),
        ("message: [a", "bracket is missing"),
        (r'message: "\ud83d"', "half of a surrogate pair"),
        ("message: \ud83d", "half of a surrogate pair"),
        ("message: é\x01", r"the control character '\x01' must be written as an escape"),
        ("message: \0", "the control character"),
        ("message: \ufffe", "the control character"),
    ],
)
def test_what_is_no_yaml_is_refused_with_a_hint(text: str, part: str) -> None:
    with pytest.raises(InvalidArgument, match="The jobs cannot be read: ") as raised:
        parse(f"- name: a\n  {text}\n")
    assert part in str(raised.value)
    assert ("line 3" if "\n" in text else "line 2") in str(raised.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "must be a list of jobs, or [] for none, and is nothing"),
        ("# jobs:", "is nothing"),
        ("jobs:", "line 1: jobs: this must be a list of jobs"),
        ("report", "and is 'report'"),
        ("name: a", "jobs are a list, also a single one: begin it with a hyphen"),
        ("jobs: {a: {}}", "and is a mapping"),
        ("job: []", "job: a document has no such field; did you mean jobs?"),
        ("jobs: []\njobs: []", "line 2: jobs: a second time"),
        ("jobs: []\ndefaults: 5", "defaults: line 2: must be a mapping of fields, not the number 5"),
        ("jobs: []\ndefaults: {name: a}", "defaults: line 2: name: defaults has no such field"),
        ("jobs: []\ndefaults: {ttl: x}", "defaults: line 2: ttl: 'x' is not a duration"),
        ("[]\n---\n[]", "line 2: a second document"),
        ("- a", "jobs[0]: line 1: must be a mapping of fields, not 'a'"),
        ("- null", "jobs[0]: line 1: must be a mapping of fields, not nothing"),
    ],
)
def test_what_is_no_list_of_jobs_is_refused(text: str, part: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse(text)
    assert part in str(raised.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("message: &x {a: 1}", "names for parts of the document (&name) are not read here"),
        ("message: *x", "repeats another part of the document, which is not read here"),
        ("<<: *x", "<< is not read here: write the fields out, or use defaults"),
        ("<<: {ttl: 1h}", "<< is not read here"),
        ("message: !!python/object/apply:os.system [ls]", "types (!name) are not read here"),
        ("message: !!str 1", "types (!name) are not read here"),
        ("message: [!x {a: 1}]", "message[0]: types (!name) are not read here"),
        ("message: {&a b: 1}", "message.b: names for parts"),
        ("? [a]\n: 1", "a key must be a text"),
    ],
)
def test_what_could_harm_is_refused(text: str, part: str) -> None:
    found = refusal(text)
    assert part in found
    *told, address = found.splitlines()
    assert len(told) == 2  # it is told once
    assert address.startswith("See https://")


def test_a_text_that_multiplies_itself_is_not_built() -> None:
    levels = ["- &l0 [x]", *(f"- &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 50))]
    with pytest.raises(InvalidJobs, match="not read here"):
        parse("\n".join(levels))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        # Some builds of libyaml stop first, in words of their own.
        ("[" * 1_000_000, "nest"),
        ("[" * 500, f"nested deeper than {MAX_DEPTH} levels"),
        ("- " * 1_000_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("- message: " + "[" * 101 + "]" * 101, f"message{'[0]' * 100}: is nested deeper than 100 levels"),
        ("- 1\n" * (MAX_VALUES + 1), "more than 500,000 values"),
        ("#" * (MAX_BYTES + 1), "more than 10 MB"),
        ("#" + "里" * (MAX_BYTES // 3 + 1), "more than 10 MB"),
    ],
    ids=["most brackets", "brackets", "hyphens", "message", "values", "characters", "bytes"],
)
def test_what_is_too_large_is_refused(text: str, part: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse(text)
    assert part in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "- 1\n" * 1000,
        "- {" + ", ".join(f"x{n}: 1" for n in range(1000)) + "}",
        "- {name: a, message: [" + "yes, " * 1000 + "]}",
        "- {name: a, message: [" + "*a, " * 1000 + "]}",
    ],
    ids=["jobs", "fields", "words", "aliases"],
)
def test_of_very_many_problems_the_first_are_told(text: str) -> None:
    with pytest.raises(InvalidJobs) as raised:
        parse(text)
    *first, last = (text for texts in raised.value.problems.values() for text in texts)
    assert len(first) == 200
    assert last == "perhaps there is more: correct this first"


def test_a_problem_does_not_repeat_a_value_of_megabytes() -> None:
    for field in ("schedule", "ttl", "name", "catch_up", "timezone", "x"):
        assert len(refusal(f"{field}: {'1,' * 100_000}")) < 1500
    assert len(refusal(f"{'x' * 1000}: 1")) < 1500


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidJobs) as raised:
        parse(
            dedent(
                """\
                defaults: {timezone: Europe/Bern, jitter: soon}
                jobs:
                  - name: one
                    schedule: "0 25 * * *"
                    queue: mail
                    ttl: 5 minutes
                  - name: one
                    schedule: "@daily"
                    queue_name: mail
                    exclude: [weekend, {calendar: 5}]
                  - 7
                """
            ),
            "jobs.yaml",
        )
    zone = "unknown time zone 'Europe/Bern'; use a name such as 'Europe/Berlin' or 'UTC'"
    assert {label: [text[:60] for text in texts] for label, texts in raised.value.problems.items()} == {
        "defaults": ["jobs.yaml:1: jitter: 'soon' is not a duration: write seconds"],
        "jobs[0] one": [
            "jobs.yaml:5: queue: a job has no such field; did you mean qu",
            "jobs.yaml:6: ttl: '5 minutes' is not a duration: write secon",
            "jobs.yaml:3: queue_name is missing",
            "jobs.yaml:4: cron '0 25 * * *' is not valid: '25' is no hour",
            f"jobs.yaml:3: {zone}"[:60],
        ],
        "jobs[1] one": [
            "jobs.yaml:10: exclude[0]: must be a date such as 2026-12-24,",
            "jobs.yaml:10: exclude[1].calendar: must be a text, not the n",
            f"jobs.yaml:7: {zone}"[:60],
            "jobs.yaml:7: the name is that of jobs[0] one, too",
        ],
        "jobs[2]": ["jobs.yaml:11: must be a mapping of fields, not the number 7"],
    }


def test_a_mapping_may_have_values_of_python() -> None:
    given = {
        "name": "a",
        "schedule": {"at": [datetime(2026, 1, 1)]},
        "queue_name": "q",
        "ttl": timedelta(hours=1),
        "exclude": [date(2026, 1, 2)],
        "start": date(2026, 1, 1),
    }
    expected = PeriodicJob(
        name="a",
        schedule=At(datetime(2026, 1, 1)),
        queue_name="q",
        ttl=timedelta(hours=1),
        exclude=(date(2026, 1, 2),),
        start=datetime(2026, 1, 1),
    )
    assert from_mapping(given) == expected


@pytest.mark.parametrize("given", [{}, {"name": "a"}, [], None, {1: 2}, {"name": "a", "exclude": [1]}])
def test_a_mapping_that_is_no_job_is_refused(given: Any) -> None:
    with pytest.raises(InvalidJobs):
        from_mapping(given)


signs = [*":,[]{}-?\n", "\n  ", "\n- ", ": ", "name: ", "schedule: ", "exclude: "]
pieces = st.sampled_from([*generated_jobs.TRAPS, *signs])


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.lists(pieces, max_size=20).map("".join))
def test_any_text_gives_jobs_or_our_error(text: str) -> None:
    for each in (text, f"- name: a\n  queue_name: q\n  {text}", f"jobs: [{text}]"):
        with suppress(InvalidArgument, InvalidJobs):
            assert all(isinstance(job, PeriodicJob) for job in parse(each))


parts = st.sampled_from(["cron", "every", "at", "rrule", "anchor", "start", "end", "holidays", "calendar"])
anything = st.recursive(
    generated_jobs.json_values | st.dates() | st.datetimes() | st.timedeltas() | st.just(float("nan")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(parts, inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(["name", "schedule", "queue_name", *generated_jobs.optional])


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(fields, anything))
def test_any_mapping_gives_a_job_or_our_error(given: dict[str, Any]) -> None:
    for each in (given, {"name": "a", "schedule": "@daily", "queue_name": "q", **given}):
        with suppress(InvalidJobs):
            assert isinstance(from_mapping(each), PeriodicJob)
