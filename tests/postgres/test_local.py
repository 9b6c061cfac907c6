"""The embedded Postgres ends when it should, even if its process was killed."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import psycopg
import pytest

from airflow_pgmq.db.local import LocalPostgres, LocalPostgresError

ANNOUNCE = """
import sys
from airflow_pgmq.db.local import LocalPostgres
server = LocalPostgres().start()
print(server.directory, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_process(monkeypatch):
    """A process that runs a server and prints its address, until its standard input ends.

    Its temporary directory is shared with the test only: any other server that starts would clean it up.
    """
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        with subprocess.Popen(
            [sys.executable, "-c", ANNOUNCE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": directory},
        ) as process:
            process.directory = process.stdout.readline().strip()
            yield process
            process.kill()
        LocalPostgres().start().close()


def reachable(directory):
    try:
        psycopg.connect(f"host={directory} user=postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def test_server_ends_with_its_process(other_process):
    assert reachable(other_process.directory)

    other_process.communicate()

    assert other_process.returncode == 0
    assert not os.path.exists(other_process.directory)


def test_server_of_a_killed_process_ends_when_the_next_starts(other_process):
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    assert reachable(other_process.directory)

    with LocalPostgres():
        assert not os.path.exists(other_process.directory)


def test_server_of_a_living_process_is_left_alone(other_process):
    with LocalPostgres():
        assert reachable(other_process.directory)


def test_directory_of_a_living_process_is_refused(own_server):
    with pytest.raises(LocalPostgresError, match="another process"):
        LocalPostgres(own_server.directory).start()


def test_given_directory_is_kept(tmp_path_factory):
    directory = tmp_path_factory.mktemp("kept")
    with LocalPostgres(directory) as server, psycopg.connect(server.dsn()) as connection:
        connection.execute("CREATE TABLE kept ()")

    with LocalPostgres(directory) as server, psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT to_regclass('kept')::text").fetchone() == ("kept",)


def test_settings_reach_the_server():
    settings = {"application_name": "it's mine"}
    with LocalPostgres(settings=settings) as server, psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SHOW application_name").fetchone() == ("it's mine",)


def test_port_asks_for_a_password():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with LocalPostgres(port=port) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE ROLE app LOGIN PASSWORD 'secret'")
        tcp = f"host=127.0.0.1 port={port} dbname=postgres"

        psycopg.connect(f"{tcp} user=app password=secret").close()
        for login in ("user=app password=wrong", "user=postgres"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(f"{tcp} {login}")


def test_server_outlives_a_forked_child(own_server):
    child = os.fork()
    if not child:
        own_server.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert own_server.running


def test_broken_setting_is_reported_with_the_servers_words(tmp_path_factory):
    server = LocalPostgres(tmp_path_factory.mktemp("broken"), settings={"shared_buffers": "none"})

    with pytest.raises(LocalPostgresError, match="invalid value for parameter"):
        server.start()

    server.close()


def test_a_server_of_the_command_line_says_how_it_is_reached_and_ends_when_told(tmp_path):
    directory = tmp_path / "server"
    command = [sys.executable, "-m", "airflow_pgmq.db.local", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert "until Ctrl-C" in process.stdout.readline()
        uri = re.search(r"--conn-uri 'pgmq(://.+)'", process.stdout.readline())
        with psycopg.connect(f"postgresql{uri[1]}") as conn:
            assert conn.execute("SELECT current_user").fetchone() == ("postgres",)
        second = subprocess.run(command, capture_output=True, text=True)
        assert (second.returncode, second.stderr) == (1, f"another process runs a Postgres in {directory}\n")
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert not reachable(directory)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("useradd"), reason="only root makes the account")
def test_the_account_that_several_processes_make_at_once_is_one():
    """Two `useradd` at the same time both succeed, and the second one gives the account another id."""
    name = f"pgmq_test_{os.getpid()}"
    code = f"""
import sys
from airflow_pgmq.db import local
local.SYSTEM_USER = {name!r}
print(flush=True)
sys.stdin.readline()
print(local._system_user().pw_uid)
"""
    try:
        for _ in range(3):
            ready = [
                subprocess.Popen(
                    [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
                for _ in range(4)
            ]
            for process in ready:
                process.stdout.readline()
            for process in ready:
                process.stdin.write("\n")
                process.stdin.flush()
            found = {process.communicate()[0] for process in ready}
            assert found == {f"{pwd.getpwnam(name).pw_uid}\n"}
            subprocess.run(["userdel", name], check=True, capture_output=True)
    finally:
        subprocess.run(["userdel", name], capture_output=True)
