"""What surrounds the package: documents that name files, workflows, and how tests wait."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))

#: Pages that name files, from the top of the repository or of the package, or beside themselves.
NAMING = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "architecture.md",
    ROOT / "docs" / "glossary.md",
    *DECISIONS,
]
FILE = re.compile(
    r"(?<![\w./<-])((?:[\w-]+/)*[\w-]+\.(?:py|sql|js|toml|json|md|yml|yaml)|(?:[\w-]+/)+)(?![\w.])"
)
#: `make check test` as a command of a workflow, a hook or a container.
CALL = re.compile(r"(?:run: |entry: |&& |\": \")make ([a-z0-9-]+(?: [a-z0-9-]+)*)")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Documents.


@pytest.mark.parametrize("page", NAMING, ids=relative)
def test_each_file_that_a_page_names_is_there(page: Path) -> None:
    named = set(FILE.findall(page.read_text()))
    tops = (ROOT, ROOT / "airflow_pgmq", page.parent)
    missing = {name for name in named if not any((top / name).exists() for top in tops)}
    assert missing == set()


def test_the_pattern_finds_the_files_of_the_architecture() -> None:
    named = set(FILE.findall((ROOT / "docs" / "architecture.md").read_text()))
    assert {"db/sql/sending.sql", "sensors.py", "db/statements/", "tests/model/oracle.py"} <= named
    assert len(named) > 60


def test_each_decision_is_in_the_table_of_all() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    linked = re.findall(r"^\| \[[^\]]+\]\(([\w-]+\.md)\)", index, re.M)
    assert sorted(linked) == sorted(path.name for path in DECISIONS if path.name != "README.md")


@pytest.mark.parametrize("record", [path for path in DECISIONS if path.name != "README.md"], ids=relative)
def test_each_decision_has_the_parts_of_one(record: Path) -> None:
    text = record.read_text()
    parts = re.findall(r"^\*\*(.+?)\.\*\*", text, re.M)
    assert parts == ["Context", "Decision", "Why", "What it costs", "What would change our mind"]
    assert 15 <= len(text.splitlines()) <= 40


def test_the_changelog_has_the_usual_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert text.startswith("# Changelog\n")
    assert re.findall(r"^## (.+)$", text, re.M)[0] == "[Unreleased]"
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= kinds
    assert [line for line in text.splitlines() if len(line) > 120] == []
