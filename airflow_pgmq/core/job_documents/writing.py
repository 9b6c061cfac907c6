"""Jobs → a document that `parse` reads back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from airflow_pgmq.core import jobs as periodic_jobs
from airflow_pgmq.core.job_documents import fields, scalars
from airflow_pgmq.core.jobs import PeriodicJob

#: Lines are never wrapped: wrapped texts are hard to read, and to compare.
_WIDTH = 2**31
_ODD_LINES = re.compile(r"[\x85\u2028\u2029]|\n\Z(?<=\n\n)|\A\n+\Z")


def as_mapping(job: PeriodicJob) -> dict[str, Any]:
    """A job without problems in JSON types, without what is as by default; `from_mapping` reads it.

    :raises InvalidMessage: its message is nested too deeply for a document
    """
    return {name: fields.FIELDS[name].write(value) for name, value in fields.given(job).items()}


def dump(jobs: Sequence[PeriodicJob]) -> str:
    """The jobs as YAML, the same text for the same jobs.

    :raises InvalidJobs: a job has problems
    :raises InvalidMessage: a message is nested too deeply for a document
    """
    periodic_jobs.check(jobs, max_bytes=None)
    # An empty line between jobs.
    return "\n".join(_yaml([as_mapping(job)]) for job in jobs) or "[]\n"


def _yaml(value: Any) -> str:
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=_WIDTH
    )
    return text


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes what both versions of YAML read alike, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Lists inside mappings are indented, too."""
        super().increase_indent(flow, False)

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


_Dumper.add_representer(str, _Dumper.represent_text)


def _style(text: str) -> str | None:
    """How a text is written, if the writer can do that; it knows only what YAML 1.1 must have in quotes."""
    # These are ends of lines in YAML 1.1; and a block's empty last lines would join the line between jobs.
    if _ODD_LINES.search(text):
        return '"'
    if "\n" in text:
        return "|"
    return None if scalars.is_text(text) else "'"
