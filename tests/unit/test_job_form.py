"""A job in a form: hidden values come back, and each problem is told at its field."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_pgmq.core import job_documents, job_form, redaction
from airflow_pgmq.errors import InvalidArgument, InvalidJobs

KEYS = {"password", "token"}
DEFINITION = {"schedule": "0 6 * * *", "queue_name": "mail"}


def fields(**wrong: Any) -> list[str | None]:
    with pytest.raises(InvalidJobs) as caught:
        job_documents.from_mapping({"name": "job", **DEFINITION, **wrong})
    return [each["field"] for each in job_form.problems(caught.value)]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"name": 1}, "name"),
        ({"queue_name": "a;b"}, "queue_name"),
        ({"queue_name": None}, "queue_name"),
        ({"schedule": "every day"}, "schedule"),
        ({"schedule": {"every": "soon"}}, "schedule"),
        ({"schedule": {"never": 1}}, "schedule"),
        ({"schedule": None}, "schedule"),
        ({"timezone": "Mars"}, "timezone"),
        ({"ttl": "-1h"}, "ttl"),
        ({"exclude": [{"calendar": ""}]}, "exclude"),
        ({"exclude": ["never"]}, "exclude"),
        ({"headers": {"slot": 1}}, "headers"),
        ({"jitter": "2d"}, "jitter"),
        ({"colour": "red"}, None),
    ],
)
def test_each_problem_has_its_field(wrong: dict[str, Any], field: str | None) -> None:
    assert fields(**wrong) == [field]


def test_a_job_without_anything_lacks_what_it_needs() -> None:
    with pytest.raises(InvalidJobs) as caught:
        job_documents.from_mapping({})
    found = {each["field"] for each in job_form.problems(caught.value)}
    assert found == {"name", "queue_name", "schedule"}


def test_times_are_known_before_the_rest_is() -> None:
    assert (
        job_form.schedule_of({"schedule": "0 6 * * *", "name": "", "message": object()}).cron == "0 6 * * *"
    )


def put(edited: Any, stored: Any) -> Any:
    own = {**DEFINITION, "message": stored}
    return job_form.job({**DEFINITION, "message": edited}, "job", own, KEYS).message


STORED = {"password": "hunter2", "more": {"token": ["a", "b"], "x": 1}}


def test_hidden_values_stay_as_they_are() -> None:
    shown = job_form.hidden({"message": STORED, "queue_name": "***"}, KEYS)["message"]
    assert shown == {"password": "***", "more": {"token": "***", "x": 1}}
    shown["more"]["x"] = 2
    assert put(shown, STORED) == {"password": "hunter2", "more": {"token": ["a", "b"], "x": 2}}


def test_a_hidden_value_may_be_replaced_or_left_out() -> None:
    assert put({"password": "new"}, STORED) == {"password": "new"}
    assert put({}, STORED) == {}


@pytest.mark.parametrize(
    "edited", [{"other": {"password": "***"}}, {"more": {"x": {"token": "***"}}}, [{"token": "***"}]]
)
def test_what_hides_nothing_is_refused(edited: Any) -> None:
    with pytest.raises(InvalidArgument, match="write the value"):
        put(edited, STORED)


def test_in_a_list_only_what_was_not_edited_is_recognised() -> None:
    stored = [{"to": "a", "token": 1}, {"to": "b", "token": 2}, {"to": "b", "token": 3}]
    first, second, third = redaction.redact(stored, KEYS)[0]

    assert put([first, second, third], stored) == stored
    assert put([first], stored) == stored[:1]
    assert put([third | {"to": "c", "token": 4}, first], stored) == [{"to": "c", "token": 4}, stored[0]]
    assert put([first, second, True], [stored[0], stored[1], 1])[2] is True
    for unclear in ([second], [second, first], [{**first, "to": "z"}, second, third]):
        with pytest.raises(InvalidArgument, match="write the value"):
            put(unclear, stored)


def test_the_stars_of_other_keys_are_only_stars() -> None:
    assert put({"note": "***"}, {}) == {"note": "***"}


def test_the_version_counts_by_itself() -> None:
    assert job_form.job({**DEFINITION, "version": 7}, "job", None, KEYS).version == 0
