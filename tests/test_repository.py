"""The repository around the package: documents that name files, workflows, and how tests wait."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import matrix

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"
DECISIONS = sorted((ROOT / "docs" / "why" / "decisions").glob("*.md"))

#: Pages that name files, by paths from the repository, from the package, or from the page's own folder.
NAMING = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "why" / "architecture.md",
    ROOT / "docs" / "reference" / "glossary.md",
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
    named = set(FILE.findall((ROOT / "docs" / "why" / "architecture.md").read_text()))
    assert {"db/sql/sending.sql", "sensors.py", "db/statements/", "tests/model/oracle.py"} <= named
    assert len(named) > 60


def steps_of_the_architecture() -> Iterator[tuple[str, set[str], set[str]]]:
    """Rows of its tables and items of its lists: the text, the files and the names of code in it."""
    page = (ROOT / "docs" / "why" / "architecture.md").read_text()
    for step in re.findall(r"^(?:\|.*|\d\. (?:.|\n(?=   ))*)$", page, re.M):
        quoted = set(re.findall(r"`([^`]+)`", step))
        files = {each for each in quoted if FILE.fullmatch(each)}
        yield (
            step,
            files,
            {each.lstrip("@") for each in quoted if re.fullmatch(r"@?[A-Za-z_.]+", each)} - files,
        )


def test_each_name_on_the_page_is_in_a_file_that_is_named_with_it() -> None:
    missing = []
    for step, files, wanted in steps_of_the_architecture():
        paths = [
            top / each for top in (ROOT, ROOT / "airflow_pgmq") for each in files if (top / each).exists()
        ]
        every = [file for path in paths for file in (path.rglob("*.*") if path.is_dir() else [path])]
        code = "\n".join(file.read_text() for file in every if file.suffix in {".py", ".sql", ".js"})
        words = set(re.findall(r"\w+", code))
        missing += [(each, step) for each in wanted if files and not set(each.split(".")) <= words]
    assert missing == []


def test_the_names_of_the_architecture_are_found() -> None:
    found = {name for _, files, names in steps_of_the_architecture() for name in names if files}
    assert {"send_once", "Bell.rings", "on_look", "read_only", "stored_rule"} <= found
    assert len(found) > 50


@pytest.mark.parametrize("text", sorted((ROOT / "docs" / "diagrams").glob("*.d2")), ids=relative)
def test_each_picture_is_drawn_from_its_text(text: Path) -> None:
    """`make diagrams` draws them; each says of which text it is made."""
    made_of = hashlib.sha256(text.read_bytes()).hexdigest()
    for theme in ("light", "dark"):
        picture = ROOT / "docs" / "img" / "diagrams" / f"{text.stem}-{theme}.svg"
        assert picture.read_text().startswith(f"<!-- {text.name} {made_of} -->\n")


def test_each_decision_is_in_the_table_of_all() -> None:
    index = (ROOT / "docs" / "why" / "decisions" / "README.md").read_text()
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


# Workflows.


def workflow(name: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())
    return found


def jobs(name: str) -> dict[str, dict]:
    return workflow(name)["jobs"]  # type: ignore[return-value]


def test_the_matrix_of_airflows_is_that_of_the_tests() -> None:
    columns = jobs("matrix")["airflow"]["strategy"]["matrix"]["include"]
    assert [(column["airflow"], column["python"]) for column in columns] == [
        (column.version, column.python) for column in matrix.COLUMNS
    ]


def test_the_checks_run_on_each_python_that_the_package_names() -> None:
    pythons = jobs("checks")["test"]["strategy"]["matrix"]["python"]
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert pythons == named


def test_workflows_and_hooks_call_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    files = [
        *WORKFLOWS.glob("*.yml"),
        ROOT / ".pre-commit-config.yaml",
        ROOT / ".devcontainer" / "devcontainer.json",
    ]
    calls = [call for path in files for call in CALL.findall(path.read_text())]
    called = {target for call in calls for target in call.split()}
    assert called
    assert called <= targets


def test_the_programs_that_tests_run_are_installed_everywhere() -> None:
    """`.ci/run` says which; `ip` is in iproute2."""
    run = (ROOT / ".ci" / "run").read_text()
    (several,) = re.findall(r"^for package in (.+); do$", run, re.M)
    needed = {*several.split(), "iproute2"}
    assert "pgbouncer" in needed
    for path in (
        WORKFLOWS / "checks.yml",
        WORKFLOWS / "matrix.yml",
        ROOT / ".devcontainer" / "devcontainer.json",
    ):
        for packages in re.findall(
            r"install --yes --no-install-recommends (?:\\\n)?([^\n]+)", path.read_text()
        ):
            assert needed <= set(packages.strip(' ",').split())


# How tests wait, and for how many years they pass.

#: A date after this project began and before its last user.
SOON = re.compile(r"\b20(?:2[7-9]|[3-8]\d)(?:-\d\d-\d\d|, \d+, \d+)")
#: Tests whose clock is the machine's.
ON_TIME = [
    path
    for path in sorted((ROOT / "tests").rglob("*.py"))
    if path.parent.name in ("airflow", "browser", "interop", "postgres")
    and "tests.fixtures.clock" not in path.read_text()
]


@pytest.mark.parametrize("path", ON_TIME, ids=relative)
def test_what_is_later_is_far_away(path: Path) -> None:
    """A message that waits for a day of 2030 is visible from then on; so tests name days of 2099."""
    assert SOON.findall(path.read_text()) == []


def sleeps(path: Path) -> Iterator[ast.stmt]:
    """Statements that let time pass, except the pause between two polls, which is inside a `while`."""
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.While):
            continue
        if isinstance(node, ast.Expr):
            call = node.value.value if isinstance(node.value, ast.Await) else node.value
            if isinstance(call, ast.Call) and lets_time_pass(call):
                yield node
        todo += ast.iter_child_nodes(node)


def lets_time_pass(call: ast.Call) -> bool:
    values = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    if ast.unparse(call.func).split(".")[-1] == "sleep":
        # A sleep of 0 takes no time: it lets other tasks of the event loop run.
        return values != [0]
    return any(isinstance(value, str) and value.startswith("SELECT pg_sleep") for value in values)


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=relative)
def test_a_sleep_says_what_it_is_for(path: Path) -> None:
    """Tests wait for events. If there is none, a comment beside the sleep says why time must pass."""
    lines = path.read_text().splitlines()
    silent = [
        node.lineno
        for node in sleeps(path)
        if not any("# " in line for line in lines[max(0, node.lineno - 2) : node.end_lineno])
    ]
    assert silent == []
