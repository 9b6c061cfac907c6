"""Errors as values: their tree, their documentation, and what pickling keeps of them."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
from collections.abc import Iterator
from posixpath import normpath

import pytest

from airflow_pgmq import errors
from tests.unit.support import ROOT

ERRORS = [
    errors.InvalidJobs({"job": ["no cron"]}),
    errors.MessagesFailed("mail", {"failed": 1, "read": 2}),
    errors.MessageLost("mail", [1]),
    errors.DuplicateMessage("mail", ["a"]),
    errors.QueueNotFound("mail"),
    errors.ConnectionNotFound("mail", is_plain=True),
    errors.JobNotFound("shop", "job"),
    errors.PermissionDenied("no"),
    errors.NotSent("mail", 2),
    errors.NotRemoved("mail", 2),
    errors.ArchiveRefused("mail", [1], "a_mail_idx", "no"),
    errors.LockTimeout("lock_timeout", "55P03", "It took too long.", "Try again."),
    errors.BrokenOff("It was shut down.", "Try again."),
    errors.TransactionEnded(),
]


def below(base: type[errors.PgmqError], depth: int = 0) -> Iterator[tuple[int, type[errors.PgmqError]]]:
    """The package's classes under a class, with their depth, in the order of the source."""
    for kind in base.__subclasses__():
        # Some are combined with an error of Airflow's or psycopg's, when such an error first occurs.
        if getattr(errors, kind.__name__, None) is kind:
            yield depth, kind
            yield from below(kind, depth + 1)


TREE = list(below(errors.PgmqError))
FAMILIES = [kind for depth, kind in TREE if depth == 0]

each_error = pytest.mark.parametrize("kind", [errors.PgmqError, *(kind for _, kind in TREE)])


def said_of(kind: type[errors.PgmqError]) -> list[str]:
    """The paragraphs of a docstring without the parameters: when it is raised, what to do."""
    text = inspect.getdoc(kind) or ""
    return [" ".join(part.split()) for part in text.split("\n:param")[0].split("\n\n") if part.strip()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
def test_an_error_is_pickled_whole(error: errors.PgmqError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


@each_error
def test_an_error_is_imported_from_one_place_and_says_so(kind: type[errors.PgmqError]) -> None:
    assert kind.__name__ in errors.__all__
    assert getattr(errors, kind.__name__) is kind
    assert kind.__module__ == "airflow_pgmq.errors"


def test_errors_are_defined_in_one_place() -> None:
    """Except the one that is also an error of Airflow's."""
    known = {kind.__name__ for _, kind in TREE}
    found = {
        node.name
        for path in (ROOT / "airflow_pgmq").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & known
    }
    assert found - known == {"UndefinedConnection"}


def test_every_error_has_one_family() -> None:
    for _, kind in TREE:
        assert len([family for family in FAMILIES if issubclass(kind, family)]) == 1, kind


def test_a_family_is_caught_and_never_raised() -> None:
    names = {family.__name__ for family in FAMILIES}
    made = [
        f"{path.name}:{node.lineno}"
        for path in (ROOT / "airflow_pgmq").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("errors.") in names
    ]
    assert made == []


def test_what_was_given_wrongly_is_a_value_error() -> None:
    others = [kind for _, kind in TREE if not issubclass(kind, errors.InvalidInput)]
    assert issubclass(errors.InvalidInput, ValueError)
    assert not [kind for kind in others if issubclass(kind, ValueError)]


# Their documentation.


@each_error
def test_an_error_says_when_it_is_raised_and_what_to_do(kind: type[errors.PgmqError]) -> None:
    when, what_to_do = said_of(kind)
    assert when.endswith(".")
    assert what_to_do.endswith(".")


def test_the_modules_drawing_is_the_tree() -> None:
    drawn = [
        (len(before) // 4, name)
        for before, name in re.findall(r"^((?:│   |    )*)[├└]── (\w+)", errors.__doc__ or "", re.M)
    ]
    # The families are in an order of their own, those under them in that of their module.
    families = [name for depth, name in drawn if depth == 0]
    assert sorted(families) == sorted(family.__name__ for family in FAMILIES)
    tree = [
        (depth, kind.__name__)
        for family in families
        for depth, kind in [(0, getattr(errors, family)), *below(getattr(errors, family), 1)]
    ]
    assert drawn == tree


PAGE = (ROOT / "docs" / "reference" / "errors.md").read_text()


def named(link: re.Match[str]) -> str:
    """The page has links; a docstring has the file, or only the words."""
    words, target = link[1], link[2]
    return normpath(f"docs/reference/{target}") if target.endswith(".md") else words


ROWS = [
    [re.sub(r"\[([^\]]+)\]\(([^)]+)\)", named, cell.strip()) for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if re.match(r"\| \[?`", line)
]


def test_the_page_has_every_error_with_the_words_of_its_class() -> None:
    page = {re.findall(r"`(\w+)`", name)[0]: [when, what_to_do] for name, when, what_to_do in ROWS}
    assert page == {kind.__name__: said_of(kind) for _, kind in TREE}
    assert len(ROWS) == len(page)


def test_the_page_has_every_error_in_its_family() -> None:
    for section in PAGE.split("\n## ")[1:]:
        family = getattr(errors, section.splitlines()[0])
        rows = re.findall(r"^\| `(\w+)`(?:, also `(\w+)`)?", section, re.M)
        parents = {kind.__name__: kind.__bases__[0].__name__ for _, kind in below(family)}
        assert {name: also or family.__name__ for name, also in rows} == parents
