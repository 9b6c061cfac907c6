"""Python that configures Celery → the schedule that is in it, as syntax: nothing is run."""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_pgmq.core.importing.imported import Untranslatable

_SCHEDULES = {"beat_schedule", "CELERY_BEAT_SCHEDULE", "CELERYBEAT_SCHEDULE"}
_ZONES = {"timezone", "CELERY_TIMEZONE"}
_MAX_CHARACTERS = 1_000_000
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass
class Source:
    """What a text configures.

    :param entries: name and value of each entry; the name is None if it is not written out
    :param zones: the values of the setting for the time zone
    :param unread: schedules that are not written out
    """

    text: str
    entries: list[tuple[ast.expr | None, ast.expr]] = field(default_factory=list)
    zones: list[ast.expr] = field(default_factory=list)
    unread: list[ast.expr] = field(default_factory=list)

    def segment(self, node: ast.expr) -> str:
        """The text of a part."""
        lines = self.text.splitlines()[node.lineno - 1 : node.end_lineno]
        return "\n".join(lines).strip()


def read(text: str) -> Source:
    """Find the schedule.

    :raises Untranslatable: the text is no Python
    """
    source = Source(text.lstrip("\ufeff"))
    if len(text) > _MAX_CHARACTERS:
        raise Untranslatable("it has more than a million characters: import the part with the schedule only")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text)
        for node in ast.walk(tree):
            for name, value in _settings(node):
                _put(source, name, value)
    except SyntaxError as exc:
        raise Untranslatable(f"line {exc.lineno}: this is no Python: {exc.msg}") from None
    except (ValueError, RecursionError, MemoryError) as exc:
        raise Untranslatable(f"this is no Python that can be read: {exc}") from None
    # A snippet may be the mapping alone.
    if (
        len(tree.body) == 1
        and isinstance(tree.body[0], ast.Expr)
        and isinstance(tree.body[0].value, ast.Dict)
    ):
        _put(source, "beat_schedule", tree.body[0].value)
    source.entries.sort(key=lambda entry: (entry[1].lineno, entry[1].col_offset))
    return source


def _settings(node: ast.AST) -> Iterator[tuple[str | ast.expr, ast.expr]]:
    """Names with their values; for one entry alone, its key."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assigned(target, node.value)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield from _assigned(node.target, node.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update":
        if (name := _name(node.func.value)) in _SCHEDULES:
            yield from ((name, each) for each in node.args)
        else:
            yield from ((each.arg, each.value) for each in node.keywords if each.arg)
            for each in (each for each in node.args if isinstance(each, ast.Dict)):
                for key, value in zip(each.keys, each.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield key.value, value


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str | ast.expr, ast.expr]]:
    if isinstance(target, ast.Subscript) and _name(target.value) in _SCHEDULES:
        yield target.slice, value
    elif name := _name(target):
        yield name, value


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _put(source: Source, name: str | ast.expr, value: ast.expr) -> None:
    if isinstance(name, ast.expr):
        source.entries.append((name, value))
    elif name in _ZONES:
        source.zones.append(value)
    elif name in _SCHEDULES and isinstance(value, ast.Dict):
        source.entries += zip(value.keys, value.values, strict=True)
    elif name in _SCHEDULES:
        source.unread.append(value)


def literal(node: ast.expr) -> Any:
    """The value of what is written out, with lists for tuples.

    :raises Untranslatable: it is not written out
    """
    try:
        return _listed(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise not_literal(node) from None


def not_literal(node: ast.expr) -> Untranslatable:
    """What is told of a value that only running the code would give."""
    return Untranslatable(
        f"line {node.lineno}: a value is not written out, and nothing is run: write it here"
    )


def number(node: ast.expr) -> float:
    """A number, or a calculation of numbers such as `60 * 5`.

    :raises Untranslatable: it is something else
    """
    try:
        found = _calculated(node)
    except (ArithmeticError, RecursionError):
        raise not_literal(node) from None
    if isinstance(found, float) and not math.isfinite(found):
        raise Untranslatable(f"line {node.lineno}: {found} is no number of seconds")
    return found


def _calculated(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.BinOp) and (calculate := _ARITHMETIC.get(type(node.op))):
        found: float = calculate(_calculated(node.left), _calculated(node.right))
        return found
    raise not_literal(node)


def _listed(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_listed(each) for each in value]
    if isinstance(value, dict):
        return {key: _listed(each) for key, each in value.items()}
    return value
