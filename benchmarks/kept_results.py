"""Keeps what was found, one file for each benchmark, so that pages and charts are made without measuring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.findings import Bars, Curves, Figure, Finding, Table

FOLDER = Path(__file__).with_name("results")

_KINDS = {kind.__name__: kind for kind in (Figure, Bars, Curves, Table)}


@dataclass(frozen=True)
class Result:
    """What one benchmark found."""

    #: Day, machine and versions.
    facts: str
    findings: Sequence[Finding]


def keep(name: str, result: Result) -> None:
    """Write it in place of the one before."""
    found = [{"kind": type(each).__name__, **asdict(each)} for each in result.findings]
    text = json.dumps({"facts": result.facts, "findings": found}, indent=2, ensure_ascii=False)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def kept() -> dict[str, Result]:
    """The latest result of each benchmark that was run."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.json"))}


def _read(path: Path) -> Result:
    document = json.loads(path.read_text(encoding="utf-8"))
    return Result(document["facts"], [_KINDS[each.pop("kind")](**each) for each in document["findings"]])
