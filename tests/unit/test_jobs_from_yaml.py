"""Jobs of a file, as a Dag file asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_pgmq.core.job_documents.yaml_values import MAX_BYTES
from airflow_pgmq.errors import InvalidArgument, InvalidJobs
from airflow_pgmq.jobs import PeriodicJob, jobs_from_yaml
from tests.unit.support import python

TEXT = '- {name: a, schedule: "@daily", queue_name: q, message: täglich}\n'
JOBS = [PeriodicJob(name="a", schedule="@daily", queue_name="q", message="täglich")]


def test_the_jobs_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text(TEXT, encoding="utf-8")
    assert jobs_from_yaml(file) == jobs_from_yaml(str(file)) == JOBS
    monkeypatch.chdir(tmp_path)
    assert jobs_from_yaml("jobs.yaml") == JOBS


def test_a_file_as_windows_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_bytes(("\ufeff" + TEXT.replace("\n", "\r\n")).encode())
    assert jobs_from_yaml(file) == JOBS


def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match="There is no file") as raised:
        jobs_from_yaml("jobs.yaml")
    assert str(tmp_path / "jobs.yaml") in str(raised.value)
    assert 'use Path(__file__).with_name("jobs.yaml")' in str(raised.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"cannot be read: .*[Ii]s a directory"):
        jobs_from_yaml(tmp_path)


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_bytes(("# comment\n" + TEXT).encode("latin-1"))
    with pytest.raises(InvalidArgument, match=r"jobs\.yaml:2: this is not UTF-8"):
        jobs_from_yaml(file)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InvalidArgument, match=r"jobs\.yaml: more than 10 MB"):
        jobs_from_yaml(file)


def test_errors_name_the_file_and_the_line(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text("- name: a\n  queue_name: q\n  schedule: hourly\n")
    with pytest.raises(InvalidJobs, match=r"jobs\[0\] a: jobs\.yaml:3: cron 'hourly'"):
        jobs_from_yaml(file)
    file.write_text("- schedule: * * * * *")
    with pytest.raises(InvalidArgument, match=r"jobs\.yaml:1: .*needs quotes"):
        jobs_from_yaml(file)


def test_only_who_reads_a_file_loads_a_reader_of_yaml() -> None:
    assert python("import sys, airflow_pgmq.jobs; print('yaml' in sys.modules)") == "False"
