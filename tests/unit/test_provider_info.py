"""What Airflow reads about this package before anything else of it is imported."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_pgmq import __version__
from airflow_pgmq.core import payload
from airflow_pgmq.provider_info import get_provider_info
from tests.unit.support import ROOT

INFO = get_provider_info()


def airflow_schema(name: str) -> dict[str, Any]:
    """A schema of the installed Airflow, read without importing Airflow."""
    spec = importlib.util.find_spec("airflow")
    if spec is None:
        pytest.skip("Airflow is not installed")
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, name)
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
    pytest.skip(f"this Airflow has no {name}")


def test_airflow_accepts_it():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(INFO, airflow_schema("provider_info.schema.json"))


def test_it_is_plain_json():
    assert json.loads(json.dumps(INFO)) == INFO


def test_its_name_is_the_distributions():
    tomllib = pytest.importorskip("tomllib", reason="new in Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert INFO["package-name"] == project["name"]
    assert project["entry-points"]["apache_airflow_provider"] == {
        "provider_info": "airflow_pgmq.provider_info:get_provider_info"
    }


def test_the_size_limit_has_the_default_of_the_code():
    option = INFO["config"]["pgmq"]["options"]["max_message_bytes"]
    assert int(option["default"]) == payload.DEFAULT_MAX_BYTES


def test_options_say_since_when_they_are_there():
    def number(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    for section in INFO["config"].values():
        for option in section["options"].values():
            assert number(option["version_added"]) <= number(__version__)


@pytest.mark.parametrize("connection", INFO["connection-types"], ids=lambda each: each["connection-type"])
def test_the_hook_of_a_connection_type_is_in_the_package(connection):
    module, _, name = connection["hook-class-name"].rpartition(".")
    assert importlib.util.find_spec(module) is not None
    assert name.endswith("Hook")


@pytest.mark.parametrize("transfer", INFO["transfers"], ids=lambda each: each["python-module"])
def test_a_transfer_has_a_module_of_its_own_with_one_operator_of_that_name(transfer):
    path = ROOT.joinpath(*transfer["python-module"].split(".")).with_suffix(".py")
    classes = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    assert [name.lower() for name in classes] == [path.stem.replace("_", "") + "operator"]
