"""The rules of the package's structure."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

try:
    import tomllib
except ImportError:  # Python 3.10; import-linter brings it
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "airflow_pgmq"
MODULES = sorted(PACKAGE.rglob("*.py"))
#: What imports the package.
SOURCES = [
    path
    for name in ("airflow_pgmq", "tests", "benchmarks", "demo", "dags")
    for path in (ROOT / name).rglob("*.py")
]
#: From the top to the bottom; ` | ` is between the modules of one layer.
(LAYERS,) = (
    contract["layers"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if contract.get("containers") == ["airflow_pgmq"]
)

MAX_LINES = 400
#: Limits for the entries of the top folder and for the layers, so that a reader can remember them.
MAX_ENTRIES = 29
MAX_FLOORS = 9

#: `from airflow_pgmq.jobs import …`, `python -m airflow_pgmq.db.local`
NAMED = re.compile(r"(?:\bfrom|\bimport|-m) (airflow_pgmq(?:\.\w+)+)")

DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


def exported_names(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


def defined_names(tree: ast.Module) -> set[str]:
    names = {node.name for node in tree.body if isinstance(node, DEFINITIONS)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_imports_go_downwards_only():
    # In a process of its own, because it configures logging and would disable the loggers of later tests.
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@each_module
def test_module_is_small(module):
    assert len(module.read_text().splitlines()) <= MAX_LINES


@each_module
def test_exported_names_exist_and_are_sorted(module):
    tree = ast.parse(module.read_text())
    exported = exported_names(tree)
    if exported is None:
        return
    assert exported == sorted(set(exported), key=lambda name: (not name.isupper(), name))
    assert set(exported) <= defined_names(tree)


def test_the_dedup_window_is_said_once():
    """Other durations of a week, such as a chart's, are other facts and have their own names."""
    found = {
        str(module.relative_to(ROOT / "airflow_pgmq"))
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node) == "timedelta(days=7)"
    }
    assert found == {"core/dedup.py", "services/overview/queues.py"}


def test_only_the_database_layer_uses_libpq():
    """import-linter sees imports only, and psycopg's connections lead to libpq without one."""
    found = {
        str(module.relative_to(PACKAGE))
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "pgconn"
    }
    assert found
    assert {path for path in found if not path.startswith("db/")} == set()


def test_root_package_imports_nothing():
    """Airflow imports it while it looks for providers, in every process."""
    tree = ast.parse((ROOT / "airflow_pgmq" / "__init__.py").read_text())
    assert [type(node) for node in tree.body] == [ast.Expr, ast.Assign]


def test_the_top_folder_has_few_entries():
    entries = sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__")
    assert len(entries) <= MAX_ENTRIES, entries


def test_the_layers_are_few():
    assert len(LAYERS) <= MAX_FLOORS


def test_contributing_draws_the_layers_as_they_are():
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## Layers")[1]
    drawn = [line.strip() for line in section.splitlines() if line.startswith("    ")]
    names = [re.split(" {3,}", line)[0].split() for line in drawn]
    assert names == [layer.split(" | ") for layer in LAYERS]


def test_each_module_of_statements_has_the_sql_file_of_its_name():
    modules = {path.stem for path in (PACKAGE / "db" / "statements").glob("*.py")} - {"__init__"}
    # What several of them share.
    files = {path.stem for path in (PACKAGE / "db" / "sql").glob("*.sql")} - {"fragments"}
    assert files == modules


def imported(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """Modules of ours and the names taken from them, inside of functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


@cache
def names_in(module: str) -> set[str] | None:
    """What can be imported from a module; None: there is no such module."""
    path = ROOT.joinpath(*module.split("."))
    if path.is_dir():
        start = path / "__init__.py"
        names = {each.stem for each in path.iterdir()}
        return names | defined_names(ast.parse(start.read_text())) if start.exists() else names
    source = path.with_suffix(".py")
    return defined_names(ast.parse(source.read_text())) if source.is_file() else None


def exists(module: str, name: str | None) -> bool:
    names = names_in(module)
    return names is not None and (name is None or name in names)


def test_each_import_of_ours_leads_to_a_module_and_a_name():
    """This also checks late imports, and imports where a test expects an error of Airflow's."""
    lost = {
        f"{path.relative_to(ROOT)}: {module} {name or ''}"
        for path in SOURCES
        for module, name in imported(ast.parse(path.read_text()))
        if module.split(".")[0] in ("airflow_pgmq", "tests", "demo", "benchmarks")
        and not exists(module, name)
    }
    assert lost == set()


def test_each_module_that_a_text_names_is_there():
    """In documents, and in code that other processes run."""
    texts = [*SOURCES, *ROOT.glob("*.md"), *ROOT.glob("*.yml"), *(ROOT / "docs").rglob("*.md")]
    lost = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in texts
        for module in NAMED.findall(path.read_text())
        if names_in(module) is None
    }
    assert lost == set()


def loaded_with(tree: ast.Module) -> Iterator[str]:
    """Modules, or names in them, that are imported while this one is: not late, and not for types only."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not isinstance(node, DEFINITIONS) and not _is_for_types(node):
            waiting += ast.iter_child_nodes(node)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_no_modules_wait_for_each_other():
    """Python can load such a circle from one module, and fails from another."""
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES}
    paths = {name.removesuffix(".__init__"): path for path, name in names.items()}
    loads = {
        name: {
            each if each in paths else each.rpartition(".")[0]
            for each in loaded_with(ast.parse(path.read_text()))
        }
        & paths.keys() - {name}
        for name, path in paths.items()
    }
    TopologicalSorter(loads).prepare()
