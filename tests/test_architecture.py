"""The rules that hold the package in shape."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "airflow_pgmq").rglob("*.py"))

MAX_LINES = 400

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


def exported_names(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


def defined_names(tree: ast.Module) -> set[str]:
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_imports_go_downwards_only():
    # In a process of its own: it configures logging, and would silence the loggers of later tests.
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


def test_root_package_imports_nothing():
    """Airflow imports it while it looks for providers, in every process."""
    tree = ast.parse((ROOT / "airflow_pgmq" / "__init__.py").read_text())
    assert [type(node) for node in tree.body] == [ast.Expr, ast.Assign]
