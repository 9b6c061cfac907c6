"""`airflow pgmq send-batch`: JSON lines, in parts, with a word about what is sent whatever happens."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_pgmq.cli import json_lines
from airflow_pgmq.core.batch import CHUNK
from tests.fixtures.airflow import connection_to
from tests.fixtures.cli import Run, type_in
from tests.fixtures.factories import execute
from tests.fixtures.patience import patience
from tests.fixtures.postgres import Database


@pytest.fixture(autouse=True)
def queue(run: Run) -> None:
    run("create", "orders")


def numbers(database: Database) -> list[Any]:
    """The payloads in the queue, in the order of their ids."""
    rows = execute(database, "SELECT message FROM pgmq.q_orders ORDER BY msg_id")
    return [row["message"] for row in rows]


def lines(amount: int) -> str:
    return "".join(f"{n}\n" for n in range(1, amount + 1))


def test_each_line_of_a_file_or_of_standard_input_is_a_message(
    run: Run, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    values = [1, "zwei", None, True, {"ü": ["里"]}, 1.5]
    text = "\n\n".join(json.dumps(each) for each in values)
    type_in(monkeypatch, text)
    assert run("send-batch", "orders", "-o", "json") == [{"sent": 6, "duplicates": 0, "replaced": 0}]
    file = tmp_path / "orders.jsonl"
    file.write_text(f"\ufeff{text}\r\n", encoding="utf-8")
    assert "6" in run("send-batch", "orders", str(file))
    assert numbers(database) == [*values, *values]
    file.write_text("")
    assert run("send-batch", "orders", str(file), "-o", "json")[0]["sent"] == 0


def test_what_all_have_in_common_is_an_option(
    run: Run, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, "1\n2\n")
    run(
        *("send-batch", "orders", "--group", "g", "--headers", '{"team": "x"}'),
        *("--delay", "600", "--ttl", "60"),
    )
    rows = execute(
        database, "SELECT headers, vt - enqueued_at > interval '599 s' AS delayed FROM pgmq.q_orders"
    )
    assert all(row["delayed"] for row in rows)
    assert [(row["headers"]["team"], row["headers"]["x-pgmq-group"]) for row in rows] == [("x", "g")] * 2
    assert all("expires_at" in row["headers"] for row in rows)


def test_a_field_is_the_dedup_key(
    run: Run, failing: Callable[..., str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '{"id": "a"}\n{"id": 7}\n{"id": "a"}\n'
    keyed = ("send-batch", "orders", "--dedup-field", "id")
    for result in ({"sent": 2, "duplicates": 1}, {"sent": 0, "duplicates": 3}):
        type_in(monkeypatch, text)
        assert run(*keyed, "-o", "json") == [{**result, "replaced": 0}]
    rows = execute(database, "SELECT headers ->> 'dedup_key' AS key FROM pgmq.q_orders ORDER BY msg_id")
    assert [row["key"] for row in rows] == ["a", "7"]
    for bad in ('{"no": 1}', "[]", '{"id": true}', '{"id": null}'):
        type_in(monkeypatch, f'{{"id": "b"}}\n{bad}\n')
        assert failing(*keyed) == (
            "Line 2: its field 'id' should be the dedup key, and is no text and no whole number. "
            "Nothing is sent.\n"
        )


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("{", "it is not JSON"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ('"\\u0000"', "NUL"),
        ("NaN", "JSON that Postgres accepts"),
        (json.dumps("x" * 1_100_000), "the limit is 1,048,576"),
        ("[" * 100_000, "it is not JSON"),
    ],
)
def test_a_bad_line_is_named_with_what_is_sent(
    run: Run, failing: Callable[..., str], database: Database, tmp_path: Path, bad: str, says: str
) -> None:
    file = tmp_path / "orders.jsonl"
    file.write_text(f"{lines(CHUNK)}\n{CHUNK + 1}\n{bad}\n{CHUNK + 2}\n")
    said = failing("send-batch", "orders", str(file))
    assert said.startswith(f"Line {CHUNK + 3}: ")
    assert says in said
    assert said.endswith(f"Sent up to line {CHUNK}; go on with --from-line {CHUNK + 1}.\n")
    assert len(said.splitlines()) == 1
    assert numbers(database) == list(range(1, CHUNK + 1))

    file.write_text(f"{lines(CHUNK)}\n{CHUNK + 1}\n{CHUNK + 2}\n")
    (result,) = run("send-batch", "orders", str(file), "--from-line", str(CHUNK + 1), "-o", "json")
    assert result["sent"] == 2
    assert numbers(database) == list(range(1, CHUNK + 3))


def test_bytes_that_are_no_text_are_a_bad_line(failing: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "latin"
    file.write_bytes(b"1\n" + '"ä"\n'.encode("latin-1"))
    assert "Line 2: it is not UTF-8" in failing("send-batch", "orders", str(file))


def test_a_line_without_end_does_not_fill_the_memory(
    failing: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "LONGEST", 1000)
    type_in(monkeypatch, "1\n" + " " * 5000)
    assert "Line 2: it is longer than 1,000 bytes. Nothing is sent." in failing("send-batch", "orders")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--ttl", "soon"], "A ttl is seconds"),
        (["--delay", "soon"], "ISO 8601"),
        (["--headers", "5"], "must be a JSON object"),
        (["--headers", '{"dedup_key": "a"}'], "Pass dedup_key="),
        (["--from-line", "0"], "--from-line must be at least 1"),
        (["/no/such/file"], "/no/such/file cannot be read"),
        (["/tmp"], "/tmp cannot be read"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(
    failing: Callable[..., str], monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    said = failing("send-batch", "orders", *words)
    assert says in said
    assert len(said.splitlines()) == 1


def test_a_queue_that_is_not_there_is_one_line(
    failing: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, "1\n")
    said = failing("send-batch", "oders")
    assert "Did you mean 'orders'?" in said
    assert len(said.splitlines()) == 1


def test_an_error_of_the_database_says_what_is_sent(
    failing: Callable[..., str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropped() -> Iterator[bytes]:
        yield from (b"1\n" for _ in range(CHUNK))
        yield b"1\n"
        execute(database, "SELECT pgmq.drop_queue('orders')")

    rest = dropped()
    stream = SimpleNamespace(readline=lambda size: next(rest, b""))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=stream, isatty=lambda: False))
    first, second = failing("send-batch", "orders").splitlines()
    assert first == f"Sent up to line {CHUNK}; go on with --from-line {CHUNK + 1}."
    assert "'orders'" in second


def test_without_a_terminal_there_is_no_progress(
    run_with_notes: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, lines(3))
    assert run_with_notes("send-batch", "orders") == ""


def test_a_terminal_shows_progress_and_control_c_says_what_is_sent(run: Run, database: Database) -> None:
    terminal, theirs = pty.openpty()
    # A shell lets its background jobs ignore it, and so would their children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, "-m", "airflow_pgmq", "send-batch", "orders"],
        stdin=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "AIRFLOW_CONN_PGMQ_DEFAULT": json.dumps(connection_to(database)), "TERM": "xterm"},
    ) as process:
        signal.signal(signal.SIGINT, before)
        # The process has it, too.
        os.close(theirs)
        assert process.stdin is not None
        process.stdin.write(lines(CHUNK + 1).encode())
        process.stdin.flush()
        said = b""
        while b"5,000 messages" not in said:
            said += os.read(terminal, 4096)
        process.send_signal(signal.SIGINT)
        # Read to the end, because a full terminal would hold the process. Its end is an error.
        with suppress(OSError):
            while more := os.read(terminal, 4096):
                said += more
        assert process.wait(timeout=patience(60)) == 130
    os.close(terminal)
    assert f"Sent up to line {CHUNK}; go on with --from-line {CHUNK + 1}." in said.decode()
    assert b"Traceback" not in said
    assert len(numbers(database)) == CHUNK
