"""`airflow standalone` as a child: an environment of its own, free ports, and no process left behind."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
from psycopg.conninfo import conninfo_to_dict

from airflow_pgmq.db.local import LocalPostgres

ROOT = Path(__file__).resolve().parent.parent
METADATA = "airflow"
QUEUES = "queues"
USER = "admin"
PASSWORDS = "passwords.json"
TEMPORARY = "tmp"

# Which signals end the parts, and how many seconds each signal gets before the next one. A task that runs
# while the API server ends would retry its requests for half a minute, and its result is no longer needed.
ENDINGS = ((signal.SIGINT, 8), (signal.SIGTERM, 2), (signal.SIGKILL, 5))


class StandaloneError(RuntimeError):
    """Airflow ended, or did not come up."""


class Standalone:
    """One Airflow in one directory, on databases of a Postgres that runs already."""

    def __init__(self, home: Path, postgres: LocalPostgres) -> None:
        self.home = home
        self.log = home / "standalone.log"
        self.password = secrets.token_urlsafe(9)
        self.metadata_dsn = postgres.dsn(METADATA)
        api_port, *log_ports = _free_ports(4)
        self.url = f"http://127.0.0.1:{api_port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        #: The environment variables of a process that belongs to this Airflow.
        self.environment = {
            **inherited,
            **_settings(home, self.url, api_port, log_ports),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.uri(METADATA),
            "AIRFLOW_CONN_PGMQ_DEFAULT": _connection(postgres.dsn(QUEUES)),
            # standalone starts its parts as plain `airflow`.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", "")]),
            "TMPDIR": str(home / TEMPORARY),
        }
        self._process: subprocess.Popen[bytes] | None = None
        (home / PASSWORDS).write_text(json.dumps({USER: self.password}))
        (home / TEMPORARY).mkdir()

    def start(self) -> None:
        """Start it and return at once; the API says when it is up."""
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C reaches only us, and all its processes can be found.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airflow", "standalone"],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise if it has ended unexpectedly."""
        if self._process is not None and self._process.poll() is not None:
            raise StandaloneError(f"airflow standalone ended with {self._process.returncode}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def processes(self) -> list[psutil.Process]:
        """All processes that it started and that still run, orphans included."""
        if self._process is None:
            return []
        self._process.poll()
        session = self._process.pid
        return [
            process
            for process in psutil.process_iter()
            if _session(process.pid) == session and _runs(process)
        ]

    def _parent(self) -> list[psutil.Process]:
        return [process for process in self.processes() if _session(process.pid) == process.pid]

    def stop(self) -> None:
        """End it, and then each remaining process."""
        for signum, seconds in ENDINGS:
            # The first signal, like Ctrl-C, goes to the parent only, which ends its parts in order.
            for process in self.processes() if signum is not signal.SIGINT else self._parent():
                _send(process, signum)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not self.processes():
                    return
                time.sleep(0.1)


def _settings(home: Path, url: str, api_port: int, log_ports: list[int]) -> dict[str, str]:
    worker_logs, trigger_logs, health_check = map(str, log_ports)
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(api_port),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        # The scheduler may be up before the API server, and a task that starts in between fails.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # LocalExecutor forks this many processes at once, 140 MB each.
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / PASSWORDS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        # The Test button of the connection form, which is off by default.
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": trigger_logs,
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": worker_logs,
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": health_check,
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # The parts talk to each other on this machine, without the user's proxy.
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _connection(dsn: str) -> str:
    """The Airflow connection of the queues' database, in the form of its environment variable."""
    parts = conninfo_to_dict(dsn)
    return json.dumps(
        {
            "conn_type": "pgmq",
            "host": parts["host"],
            "port": int(str(parts["port"])),
            "login": parts["user"],
            "schema": parts["dbname"],
        }
    )


def _free_ports(count: int) -> list[int]:
    # All are open at the same time, so that each port is given once.
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _runs(process: psutil.Process) -> bool:
    # An orphan that has ended is a zombie until the system's first process reaps it.
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _send(process: psutil.Process, signum: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signum)
