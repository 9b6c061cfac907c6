"""The consumers of docs/guides/other_languages.md, as they are there, on a real queue."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.testing.database import uri_of
from tests.fixtures import clients
from tests.fixtures.cli import connection_of
from tests.fixtures.factories import execute
from tests.fixtures.postgres import Database
from tests.fixtures.services import Services, running_services

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "other_languages.md").read_text()
BLOCKS = dict(re.findall(r"```(javascript|go|ruby|rust)\n(.*?)```", PAGE, re.S))
STATEMENTS = re.findall(r"```sql\n(.*?);\n```", PAGE, re.S)

#: Where Debian has the sources of libraries: golang-github-lib-pq-dev, librust-tokio-postgres-dev.
GO = Path("/usr/share/gocode/src/github.com/lib/pq")
CRATES = Path("/usr/share/cargo/registry")

MANIFEST = """
[package]
name = "consumer"
version = "0.1.0"
edition = "2021"

[[bin]]
name = "consumer"
path = "consumer.rs"

[dependencies]
serde_json = "1"
tokio = { version = "1", features = ["macros", "rt-multi-thread", "time"] }
tokio-postgres = { version = "0.7", features = ["with-serde_json-1"] }
"""

SOURCES = f"""
[source.crates-io]
replace-with = "system"
[source.system]
directory = "{CRATES}"
"""

#: The work of invoice 2 fails the first time, that of invoice 13 always.
FAILING = """
CREATE SEQUENCE attempts;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.invoice = 13 OR NEW.invoice = 2 AND nextval('attempts') = 1 THEN
        RAISE 'the bank is closed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON charges FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with running_services(tmp_path, tmp_path) as services:
        yield services


@pytest.fixture
def hook(database: Database) -> Iterator[PgmqHook]:
    with PgmqHook(connection=connection_of(database)) as hook, database.observe() as connection:
        connection.execute(STATEMENTS[0])
        connection.execute(FAILING)
        connection.commit()
        yield hook


def javascript(folder: Path) -> list[str]:
    node, environment = clients.node()
    (folder / "consumer.mjs").write_text(BLOCKS["javascript"])
    (folder / "node_modules").symlink_to(environment["NODE_PATH"])
    return [str(node), "consumer.mjs"]


def go(folder: Path) -> list[str]:
    if not shutil.which("go") or not GO.exists():
        pytest.skip("needs golang-go and golang-github-lib-pq-dev")
    (folder / "consumer.go").write_text(BLOCKS["go"])
    environment = {**os.environ, "GOPATH": "/usr/share/gocode", "GO111MODULE": "off"}
    environment["GOCACHE"] = str(folder / "cache")
    subprocess.run(["go", "build", "consumer.go"], cwd=folder, env=environment, check=True)
    return ["./consumer"]


def ruby(folder: Path) -> list[str]:
    program = shutil.which("ruby")
    if not program or subprocess.run([program, "-e", "require 'pg'"], capture_output=True).returncode:
        pytest.skip("needs ruby and ruby-pg")
    (folder / "consumer.rb").write_text(BLOCKS["ruby"])
    return ["ruby", "consumer.rb"]


def rust(folder: Path) -> list[str]:
    if not shutil.which("cargo") or not list(CRATES.glob("tokio-postgres-*")):
        pytest.skip("needs cargo and librust-tokio-postgres-dev")
    (folder / ".cargo").mkdir()
    (folder / ".cargo" / "config.toml").write_text(SOURCES)
    (folder / "Cargo.toml").write_text(MANIFEST)
    (folder / "consumer.rs").write_text(BLOCKS["rust"])
    subprocess.run(["cargo", "build", "--offline", "--quiet"], cwd=folder, check=True)
    return ["target/debug/consumer"]


# Compilers take minutes on a busy machine.
BUILT = [pytest.param(made, marks=pytest.mark.chaos) for made in (go, rust)]


@pytest.mark.parametrize("made", [javascript, ruby, *BUILT], ids=lambda made: made.__name__)
@pytest.mark.timeout(300)
def test_a_consumer(made, tmp_path: Path, services: Services, hook: PgmqHook, database: Database) -> None:
    hook.send_batch("billing", [{"invoice": 1}, {"invoice": 2}, {"invoice": 3}])
    hook.send("billing", {"invoice": 4}, headers={"expires_at": "2026-01-01T00:00:00Z"})
    hook.send("billing", {"invoice": 13, "large": 2**53 + 1}, headers={"team": "x", "untried": 1})
    # It was read five times; one of the reads gave it back untried.
    execute(database, "UPDATE pgmq.q_billing SET read_ct = 5 WHERE msg_id = 5")
    address = uri_of(database.address)
    services.start("consumer", made(tmp_path), {**os.environ, "DATABASE_URL": address})

    def backing_off() -> bool:
        return [each.msg_id for each in hook.peek("billing")] == [2]

    services.wait_until(backing_off, "all but the message that failed to leave the queue", 60)
    (failed,) = hook.peek("billing")
    assert failed.read_ct == 1
    assert failed.vt - failed.enqueued_at > timedelta(seconds=9)
    execute(database, "UPDATE pgmq.q_billing SET vt = clock_timestamp()")
    services.wait_until(lambda: hook.peek("billing") == [], "the message that had failed", 60)

    archived = {each.msg_id: each for each in hook.peek("billing", source="archive")}
    assert sorted(archived) == [1, 2, 3, 4]
    assert archived[2].read_ct == 2
    assert execute(database, "SELECT invoice FROM charges ORDER BY 1") == [{"invoice": n} for n in (1, 2, 3)]
    (dead,) = hook.peek("billing_dlq")
    assert dead.message == {"invoice": 13, "large": 2**53 + 1}
    assert dead.headers["team"] == "x"
    assert "untried" not in dead.headers
    assert "the bank is closed" in dead.headers["dead_letter"]["reason"]
    assert list(hook.requeue("billing")) == [1]
    assert [(each.message["invoice"], each.headers) for each in hook.read("billing")] == [(13, {"team": "x"})]


@pytest.mark.parametrize("language", sorted(BLOCKS))
def test_each_consumer_has_the_statements_of_the_page(language: str) -> None:
    code = " ".join(BLOCKS[language].split())
    assert [each for each in STATEMENTS[1:] if " ".join(each.split()) not in code] == []
    assert len(STATEMENTS) == 5
