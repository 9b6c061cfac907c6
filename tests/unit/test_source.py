"""The sender of a message, from the contexts that Airflow gives to tasks and callbacks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_pgmq.core.source import source, with_source
from airflow_pgmq.errors import InvalidMessage

DAG = SimpleNamespace(dag_id="shop")
TI = SimpleNamespace(dag_id="shop", task_id="pack", run_id="r", map_index=3)
OF_TASK = {"dag_id": "shop", "task_id": "pack", "run_id": "r", "map_index": 3}
OF_RUN = {"dag_id": "shop", "run_id": "r"}


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"ti": TI, "dag": DAG, "run_id": "r"}, OF_TASK),
        # A Dag's callback, with and without the task that ended last.
        ({"ti": TI, "dag": DAG, "run_id": "r", "reason": "task_failure"}, OF_RUN),
        ({"dag": DAG, "run_id": "r", "reason": "timed_out"}, OF_RUN),
        # A deadline's.
        ({"dag_run": {"dag_id": "shop", "dag_run_id": "r"}, "deadline": {}}, OF_RUN),
        ({"dag_run": SimpleNamespace(dag_id="shop", run_id="r")}, OF_RUN),
        ({"dag": DAG}, {"dag_id": "shop"}),
        ({}, {}),
    ],
)
def test_the_source_is_the_task_or_the_run(context: dict[str, Any], expected: dict[str, Any]) -> None:
    assert source(context) == expected


def test_headers_of_the_user_stay_and_the_source_is_ours() -> None:
    assert with_source({"a": 1, "source": "x"}, {"ti": TI}) == {"a": 1, "source": OF_TASK}
    assert with_source({"a": 1}, {}) == {"a": 1}
    assert with_source(None, {}) == {}


def test_headers_that_are_no_mapping_are_refused() -> None:
    wrong: Any = "a"
    with pytest.raises(InvalidMessage, match="Headers must be a mapping, not str"):
        with_source(wrong, {"ti": TI})
