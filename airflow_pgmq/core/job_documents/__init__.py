"""Periodic jobs as texts for people: YAML or JSON, and Python.

`parse` reads a document, `dump` and `python` write one; `from_mapping` and `as_mapping` do so with one job in
JSON types. `fields` is the table of what a job has; jobs.schema.json says the same to editors.
"""

from __future__ import annotations

from airflow_pgmq.core.job_documents.python_source import python
from airflow_pgmq.core.job_documents.reading import from_mapping, parse
from airflow_pgmq.core.job_documents.writing import as_mapping, dump

__all__ = ["as_mapping", "dump", "from_mapping", "parse", "python"]
