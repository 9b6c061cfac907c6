"""The SQL of this package: every run-time query has a name and a description, in the file of its topic.

A file belongs to the module of `db/statements` that has its name, and each of its queries is built by one
function there, which the other modules call. A block is `-- name --`, its description, the statement.
Identifiers in {braces} are quoted by the driver, values are %(parameters)s, or %(…)b for arrays that are sent
in binary. Messages are sent as lines of one text, which is cheap for the driver; JSON never contains a line
break.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_BLOCK = re.compile(
    r"^-- (?P<name>[a-z_]+) --\n(?P<about>(?:-- [^\n]*\n)+)(?P<sql>.+?)(?=^-- [a-z_]+ --\n|\Z)", re.M | re.S
)
_FRAGMENT = re.compile(r"<<([a-z_]+)>>")


@cache
def queries() -> dict[str, str]:
    """Name → SQL text, with `{identifiers}` to be quoted by the driver and `%(values)s` as parameters."""
    return {name: _whole(text) for topic in topics() for name, text in _blocks(topic).items()}


@cache
def topics() -> list[str]:
    """The files of queries."""
    names = [entry.name for entry in files(__name__).iterdir() if entry.name.endswith(".sql")]
    return sorted(name for name in names if name != "fragments.sql")


@cache
def fragments() -> dict[str, str]:
    """Name → SQL that several queries share: it replaces <<name>> in them."""
    return _blocks("fragments.sql")


def _whole(text: str) -> str:
    """A query with its fragments, which may have fragments, too."""
    return _FRAGMENT.sub(lambda found: _whole(fragments()[found[1]]), text)


def _blocks(file: str) -> dict[str, str]:
    text = files(__name__).joinpath(file).read_text(encoding="utf-8")
    return {block["name"]: block["sql"].strip().removesuffix(";") for block in _BLOCK.finditer(text)}


@cache
def migrations() -> dict[int, str]:
    """Number → script of our own schema, in order; a script that was released never changes."""
    folder = files(__name__).joinpath("migrations")
    scripts = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return {int(name.split("_", 1)[0]): folder.joinpath(name).read_text(encoding="utf-8") for name in scripts}


@cache
def code() -> int:
    """The version of this code for the schema, which names the oldest allowed one: its newest migration."""
    return max(migrations())
