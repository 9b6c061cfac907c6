"""Each console block of the page about the command line is typed in, and prints what the page says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_pgmq.command_line import command
from airflow_pgmq.hooks import PgmqHook
from tests.fixtures.airflow import connection_to
from tests.fixtures.cli import Run, connection_of, type_in
from tests.fixtures.postgres import Database

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text()
#: By the heading above.
BLOCKS = {
    part.partition("\n")[0]: found[1]
    for part in re.split(r"^##? ", PAGE, flags=re.M)
    if (found := re.search(r"^```console\n(.*?)^```", part, re.S | re.M))
}

#: Instants are those of the day on which the page was written.
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00")


def steps(block: str) -> Iterator[tuple[list[str], str]]:
    """The commands of a block, each with what it prints."""
    for step in block.split("\n$ "):
        line, _, printed = step.removeprefix("$ ").partition("\n")
        yield shlex.split(line.split(" | ")[-1].removeprefix("airflow pgmq ")), printed.strip()


def typed_anywhere() -> Iterator[tuple[str, str]]:
    """Our commands in the shell blocks of all pages: the page, and what follows `airflow pgmq`."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(r"^```(?:console|bash|sh)\n(.*?)^```", path.read_text(), re.S | re.M):
            for line in block.replace("\\\n", "").splitlines():
                for words in re.findall(r"\bairflow pgmq ([a-z][^|&#>]*)", line.partition("<Tab>")[0]):
                    yield path.relative_to(ROOT).as_posix(), words.strip()


def undated(text: str) -> str:
    return INSTANT.sub("AN INSTANT", text).strip()


def test_every_block_of_the_page_is_known() -> None:
    assert [*BLOCKS] == ["Command line", "Follow a queue", "Many messages", "Completion"]
    assert PAGE.count("```console") == len(BLOCKS)


def test_each_command_of_any_page_is_one(parser: Any) -> None:
    commands = sorted(set(typed_anywhere()))
    assert len(commands) > 40
    wrong = []
    for page, words in commands:
        try:
            parser.parse_args(["pgmq", *shlex.split(words)])
        except (SystemExit, ValueError):
            wrong.append((page, words))
    # The shell completes this one.
    assert wrong == [("docs/reference/cli.md", "send")]


@pytest.fixture
def typed(bare: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[Database, list[str]], str]:
    def type_words(database: Database, words: list[str]) -> str:
        monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection_to(database)))
        return str(bare(*words)[1]).strip()

    return type_words


def test_a_queue_is_made_in_an_empty_database(
    typed: Callable[[Database, list[str]], str], empty_database: Database
) -> None:
    found = [
        (words[0], typed(empty_database, words), printed) for words, printed in steps(BLOCKS["Command line"])
    ]
    assert [name for name, *_ in found] == ["init", "send"]
    for _, said, printed in found:
        assert said == printed


def test_new_messages_are_followed(database: Database) -> None:
    """As a process: a message that was archived is shown only to who looked before it came."""
    ((words, printed),) = steps(BLOCKS["Follow a queue"])
    hook = PgmqHook(connection=connection_of(database))
    hook.create_queue("orders")
    hook.send_batch("orders", [1, 2, 3])
    hook.delete("orders", hook.read("orders", max_messages=3))
    hook.send("orders", {"id": 7}, dedup_key="order/7")
    environment = {**os.environ, "AIRFLOW_CONN_PGMQ_DEFAULT": json.dumps(connection_to(database))}
    typed = [sys.executable, "-m", "airflow_pgmq", *words, "--from-start", "--limit", "3"]
    with subprocess.Popen(typed, stdout=subprocess.PIPE, text=True, env=environment) as tail:
        assert tail.stdout is not None
        # It is there, and looks from now on.
        said = [tail.stdout.readline()]
        hook.send("orders", {"id": 8}, delay=60)
        with hook.client.transaction() as conn:
            hook.archive("orders", hook.send("orders", {"id": 9}, conn=conn).msg_id, conn=conn)
        said += tail.stdout.readlines()
    assert undated("".join(said)) == undated(printed)


def test_many_messages_are_sent(
    typed: Callable[[Database, list[str]], str],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (all_sent, sent), (some_refused, refused) = steps(BLOCKS["Many messages"])
    for queue_name in ("orders", "events"):
        PgmqHook(connection=connection_of(database)).create_queue(queue_name)
    lines = [json.dumps({"id": number}) for number in range(12_000)]
    (tmp_path / "orders.jsonl").write_text("\n".join([*lines, *lines[:3]]))
    monkeypatch.chdir(tmp_path)
    assert typed(database, all_sent) == sent
    lines[7012] = '{"ids": x'
    type_in(monkeypatch, "\n".join(lines))
    assert typed(database, some_refused) == refused


@pytest.mark.skipif(not command("").startswith("airflow"), reason="no commands of providers")
def test_tab_completes() -> None:
    from tests.airflow.test_cli_completion import completed

    assert "register-python-argcomplete airflow" in BLOCKS["Completion"]
    line, proposed = BLOCKS["Completion"].split("\n$ ")[1].strip().split("<Tab>\n")
    assert completed(line) == {*proposed.split()}
