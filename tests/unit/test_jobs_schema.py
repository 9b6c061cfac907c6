"""The JSON Schema of documents of jobs, which editors use, and the reader agree."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from airflow_pgmq.core.job_documents import dump, parse
from airflow_pgmq.core.job_documents.fields import FIELDS
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.errors import InvalidInput
from tests.unit.generated_jobs import job_lists
from tests.unit.support import ROOT

FILE = ROOT / "airflow_pgmq" / "core" / "job_documents" / "jobs.schema.json"
SCHEMA: dict[str, Any] = json.loads(FILE.read_text())
PROPERTIES: dict[str, Any] = SCHEMA["$defs"]["fields"]["properties"]
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

GOOD = {"name": "a", "schedule": "0 6 * * *", "queue_name": "q"}

#: Of each field, values that are right and values that are wrong.
VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "name": (["a", "report.daily-2"], ["", "a/b", "ä", "-a", "x" * 101, 1, None]),
    "schedule": (
        [
            "@daily",
            {"cron": "0 9 1-7 * mon", "day_match": "both"},
            {"cron": "0 0 6 * * 1-5", "seconds": "first"},
            {"every": "90m"},
            {"every": 3600, "anchor": "2026-01-05 09:00"},
            {"at": "2026-07-01T09:00:00Z"},
            {"at": ["2026-07-01", "2026-08-01 10:30"]},
            {"rrule": "FREQ=DAILY"},
        ],
        [
            *("", 5, True, [], {}, {"evry": "1h"}, {"every": "1h", "cron": "@daily"}, {"every": "often"}),
            *({"every": "1h", "anchor": "x"}, {"every": "1h", "seconds": "last"}, {"at": []}, {"at": "x"}),
            *({"at": [5]}, {"rrule": 5}, {"cron": "@daily", "seconds": "third"}, {"cron": None}, None),
            *({"cron": "@daily", "day_match": "none"}, {"anchor": "2026-01-05"}),
        ],
    ),
    "cron": ([None], ["", 5, ["@daily"]]),
    "seconds": (["first", "last", None], ["third", 1]),
    "day_match": (["either", "both", None], ["all", True]),
    "timezone": (["Europe/Berlin"], [1, None]),
    "exclude": (
        [
            [],
            ["weekends", "2026-12-24"],
            [{"calendar": "plant"}, {"holidays": "DE"}, {"holidays": "DE", "subdivision": "BY"}],
            [{"start": "2026-08-01", "end": "2026-08-15 12:00"}],
        ],
        [
            *("weekends", None, ["weekend"], ["26-12-24"], [5], [{}], [{"calendar": ""}], [{"calendar": 5}]),
            *([{"start": "2026-08-01"}], [{"end": "2026-08-01"}], [{"holidays": "DE", "calendar": "x"}]),
            *([{"subdivision": "BY"}], [{"holidays": 5}], [{"start": "x", "end": "y"}], [["weekends"]]),
        ],
    ),
    "business_day": (["next", "previous", "skip", None], ["same", True]),
    "start": (
        ["2026-01-01", "2026-01-01T09:00:00.5+01:00", None],
        ["today", "2026", 2026, "2026-01-01 9:00"],
    ),
    "end": (["2026-01-01 09:00", "2026-01-01 09:00:00Z", None], ["2026-01-01T", "01.01.2026", True]),
    "jitter": ([0, 1.5, "90s", "2h30m", "2h 30m", "PT90M", "P1D"], [-1, "", "P", "PT", "soon", "1:30", None]),
    "queue_name": (["q", "Unicode-里程"], ["", "x" * 48, 1, None]),
    "group": (["g", None], [1, ["g"]]),
    "message": ([None, 1, "x", [], {"a": [1, {"b": None}]}], []),
    "headers": ([{}, {"a": 1}, None], [[], "x", 1]),
    "params": ([{}, {"a": [1]}, None], [[], "x", 1]),
    "ttl": (["1h", 60, None], ["1 hour", "-1h", True]),
    "expect_within": (["2h", 90, None], ["2 hours", "-1h", True]),
    "pause_on_dead_letter": ([True, False], ["yes", 1, None]),
    "catch_up": (["all", "last", "none"], ["some", None, False]),
    "catch_up_max_age": (["2d"], ["long", None]),
    "catch_up_limit": ([1, 1000], [0, -1, 1.5, "1", None, True]),
    "overlap": (["allow", "skip", "queue_one"], ["queue", None]),
    "version": ([0, -1, 2**31 - 1], [2**31, 0.5, "1", None, True]),
}
RIGHT = [
    pytest.param(value, name, id=f"{name}-{number}")
    for name, (values, _) in VALUES.items()
    for number, value in enumerate(values)
]
WRONG = [
    pytest.param({**GOOD, name: value}, id=f"{name}-{number}")
    for name, (_, values) in VALUES.items()
    for number, value in enumerate(values)
]


def test_it_is_a_schema() -> None:
    VALIDATOR.check_schema(SCHEMA)


def test_its_properties_are_the_fields_of_a_job() -> None:
    """A new field of PeriodicJob needs a property of $defs/fields, and values in the table here."""
    names = {field.name for field in fields(PeriodicJob)}
    assert set(PROPERTIES) == names
    assert set(VALUES) == names
    # Editors list them in this order.
    assert list(PROPERTIES) == list(FIELDS)


def test_each_field_is_described() -> None:
    short = {"seconds", "day_match"}
    assert {name for name, of in PROPERTIES.items() if "description" not in of} == short
    assert all("description" in SCHEMA["$defs"][name] for name in short)


def test_its_defaults_are_those_of_a_job() -> None:
    (job,) = parse(
        json.dumps([{**GOOD, **{name: of["default"] for name, of in PROPERTIES.items() if "default" in of}}])
    )
    assert job == PeriodicJob(**GOOD)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(job_lists)
def test_all_that_is_written_is_valid(jobs: list[PeriodicJob]) -> None:
    VALIDATOR.validate(yaml.safe_load(dump(jobs)))


@pytest.mark.parametrize(("value", "name"), RIGHT)
def test_what_is_right_is_valid_and_read(value: Any, name: str) -> None:
    for document in ([{**GOOD, name: value}], {"jobs": [GOOD], "defaults": {name: value}}):
        if name != "name" or isinstance(document, list):
            VALIDATOR.validate(document)
            assert parse(json.dumps(document))


@pytest.mark.parametrize("job", WRONG)
def test_what_it_refuses_the_reader_refuses_too(job: dict[str, Any]) -> None:
    # A schedule of null is a mistake only because the job has no other one.
    assert not VALIDATOR.is_valid([job]) or job["schedule"] is None
    with pytest.raises(InvalidInput):
        parse(json.dumps([job]))


@pytest.mark.parametrize(
    "document",
    [
        *(
            None,
            "a",
            5,
            {},
            {"jobs": None},
            {"jobs": {}},
            {"job": []},
            GOOD,
            {"jobs": [], "x": 1},
            [5],
            [None],
        ),
        *({"jobs": [], "defaults": None}, {"jobs": [], "defaults": {"name": "a"}}, {"jobs": [{}]}),
        *({"jobs": [], "defaults": {"ttl": "x"}}, {"jobs": [], "defaults": {"x": 1}}, [{**GOOD, "x": 1}]),
        *(
            [{"name": "a", "schedule": "@daily"}],
            [{"name": "a", "queue_name": "q"}],
            [{**GOOD, "name": None}],
        ),
    ],
    ids=json.dumps,
)
def test_documents_that_are_none(document: Any) -> None:
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(InvalidInput):
        parse(json.dumps(document))


def test_json_may_name_its_schema() -> None:
    document = {"$schema": "./jobs.schema.json", "jobs": [GOOD]}
    VALIDATOR.validate(document)
    assert parse(json.dumps(document)) == [PeriodicJob(**GOOD)]
