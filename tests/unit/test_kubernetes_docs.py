"""The values of docs/production/kubernetes.md are those that Airflow's Helm chart knows.

Keys and types were taken from the schema of the chart's values, which is far larger than what the page uses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.support import ROOT

PAGE = (ROOT / "docs" / "production" / "kubernetes.md").read_text(encoding="utf-8")
CHART = json.loads((ROOT / "tests" / "unit" / "data" / "airflow_chart_values.json").read_text())
DOCUMENTS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)]
#: The others are for Kubernetes itself.
VALUES = [each for each in DOCUMENTS if "apiVersion" not in each]

#: What is in these is not the chart's business: sections and options of airflow.cfg.
FREE = {"config"}

TYPES: dict[str, type[Any]] = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "null": type(None),
    "object": dict,
    "string": str,
}


def problems(value: Any, path: str = "") -> Iterator[str]:
    """What the chart would not take, or would ignore."""
    if path:
        if path not in CHART["keys"]:
            yield f"{path} is unknown"
            return
        if type(value) not in [TYPES[name] for name in CHART["keys"][path]]:
            yield f"{path} is {value!r}"
    if path in FREE:
        return
    if isinstance(value, dict):
        for key, each in value.items():
            yield from problems(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for each in value:
            yield from problems(each, f"{path}[]")


def test_the_page_has_values() -> None:
    assert len(VALUES) == 2


@pytest.mark.parametrize("values", VALUES, ids=["all", "another role"])
def test_the_chart_takes_the_values(values: dict[str, Any]) -> None:
    assert list(problems(values)) == []


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"workers": {"terminationGracePeriod": 600}}, "workers.terminationGracePeriod is unknown"),
        ({"workers": {"celery": {"keda": {"enable": True}}}}, "workers.celery.keda.enable is unknown"),
        ({"secrets": []}, "secrets is unknown"),
        ({"secret": [{"name": "a"}]}, "secret[].name is unknown"),
        ({"triggerer": {"replicas": "2"}}, "triggerer.replicas is '2'"),
        ({"images": {"airflow": {"tag": 3.3}}}, "images.airflow.tag is 3.3"),
    ],
)
def test_what_the_chart_does_not_know_is_found(wrong: dict[str, Any], problem: str) -> None:
    assert list(problems(wrong)) == [problem]


def test_the_text_names_values_that_are_there() -> None:
    sections = "|".join(key for key in CHART["keys"] if key.isalpha())
    named = set(re.findall(rf"`((?:{sections})\.[\w.]+)[`:]", PAGE))
    assert named
    assert named <= set(CHART["keys"])


def test_the_page_says_of_which_chart_they_are() -> None:
    assert PAGE.count(CHART["chart"]) == 2
