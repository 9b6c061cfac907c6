"""Every error and every problem has an entry on the page of troubleshooting, and ends with its address."""

from __future__ import annotations

import ast
import re
from typing import get_args

import pytest

from airflow_pgmq import errors
from airflow_pgmq.core.problems import Failure, Problem
from airflow_pgmq.errors import documentation
from tests.unit.support import ROOT
from tests.unit.test_errors import ERRORS, TREE, said_of

PAGE = ROOT / "docs" / "reference" / "troubleshooting.md"
PARTS = dict(part.split("\n", 1) for part in PAGE.read_text().split("\n## ")[1:])


def entries(part: str) -> dict[str, str]:
    """The texts of a part by their headings, links as their words."""
    texts = (entry.split("\n", 1) for entry in PARTS[part].split("\n### ")[1:])
    return {name: " ".join(re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text).split()) for name, text in texts}


def codes() -> set[str]:
    """The codes of all problems, as the source writes them."""
    found = set(get_args(Failure))
    for module in (ROOT / "airflow_pgmq" / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem":
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    found.add(code.value)
    return found


def test_each_problem_has_an_entry() -> None:
    assert set(entries("Problems")) == codes()
    assert all(len(text) > 60 for text in entries("Problems").values())


@pytest.mark.parametrize("kind", [errors.PgmqError, *(kind for _, kind in TREE)])
def test_each_error_has_an_entry_that_says_what_its_class_says(kind: type[errors.PgmqError]) -> None:
    text = entries("Errors")[kind.__name__]
    # The page has the title of another page where a docstring has its path.
    said = re.sub(r"docs/[\w/]+/(\w+)\.md", lambda found: found[1].replace("_", " "), " ".join(said_of(kind)))
    assert text.startswith(said)


def test_no_entry_is_about_an_error_that_is_gone() -> None:
    assert set(entries("Errors")) == {"PgmqError", *(kind.__name__ for _, kind in TREE)}


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
def test_an_error_ends_with_the_address_of_its_entry(error: errors.PgmqError) -> None:
    assert str(error) == error.text + str(error)[len(error.text)] + f"See {address(type(error).__name__)}"
    assert str(error).endswith("#" + type(error).__name__.lower())


def test_a_subclass_of_a_user_has_the_entry_of_ours() -> None:
    class Mine(errors.QueueNotFound):
        pass

    assert str(Mine("mail")).endswith("#queuenotfound")


def test_an_error_from_a_trigger_keeps_its_address() -> None:
    """A sensor raises again what its trigger has told as text."""
    told = str(errors.QueueNotFound("mail"))
    assert str(errors.PgmqError(told)) == told


def test_a_problem_has_the_address_of_its_entry() -> None:
    found = Problem("deaf", "warning", "Notifications do not pass.", "Do something.")
    assert found.as_dict()["see"] == address("deaf")


def test_the_pages_that_texts_name_are_there() -> None:
    addresses = [value for value in vars(documentation).values() if str(value).startswith(documentation.SITE)]
    assert len(addresses) > 4
    for each in addresses:
        page = each.removeprefix(documentation.SITE).strip("/") or "index"
        assert (ROOT / "docs" / f"{page}.md").exists(), each


def address(name: str) -> str:
    return f"{documentation.SITE}reference/troubleshooting/#{name.lower()}"
