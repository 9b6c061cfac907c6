"""An Airflow with people who sign in to it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.fixtures.live import LiveAirflow

DAGS = Path(__file__).with_name("dags")
#: Name and role; the password is the name.
USERS = {"admin": "admin", "viewer": "viewer"}
#: A connection to a server that does not exist.
BROKEN = "pgmq_broken"
#: A connection in a secrets backend, which cannot list them; it leads to the same database as the default.
UNLISTED = "pgmq_vault"


def settings(home: Path) -> dict[str, str]:
    """Settings that differ from the other Airflows of the tests."""
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in USERS}))
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{n}:{r}" for n, r in USERS.items()),
        f"AIRFLOW_CONN_{BROKEN.upper()}": json.dumps(
            {"conn_type": "pgmq", "host": "127.0.0.1", "port": 1, "schema": "nowhere", "login": "nobody"}
        ),
    }


def secrets_backend(home: Path, connection: str) -> dict[str, str]:
    """A backend that has one connection."""
    path = home / "connections.json"
    path.write_text(json.dumps({UNLISTED: json.loads(connection)}))
    return {
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(path)}),
    }


@dataclass
class Site:
    """The Airflow that the browser visits, and queries of its databases."""

    live: LiveAirflow

    @property
    def url(self) -> str:
        """Airflow's own address."""
        return f"http://127.0.0.1:{self.live.api_port}"

    def up(self) -> None:
        """Start only the parts of Airflow that the page needs."""
        live = self.live
        live.services.run("migrate", live.command("db", "migrate"), live.environment, timeout=120)
        live.start("api-server")
        # A task that starts before it can answer fails.
        live.wait_until(self._is_ready, "the API server answers", 90)
        for name in ("scheduler", "dag-processor"):
            live.start(name)

    def _is_ready(self) -> bool:
        with suppress(OSError), urlopen(f"{self.url}/api/v2/version", timeout=10) as answer:
            return bool(answer.status == 200)
        return False

    def wait_for_runs(self) -> None:
        """Wait until both Dags have run."""
        statement = "SELECT count(DISTINCT dag_id) FROM dag_run WHERE state = 'success'"
        self.live.wait_until(lambda: self.live.ask(statement)[0][0] == 2, "both Dags have run", 120)

    def ask(self, statement: Any, *values: Any) -> list[tuple[Any, ...]]:
        """Query the database of the queues."""
        return self.live.ask_queues(statement, *values)

    def ids(self, queue_name: str) -> list[int]:
        """The messages in a queue."""
        return [row[0] for row in self.ask(f"SELECT msg_id FROM pgmq.q_{queue_name} ORDER BY msg_id")]

    def run_id(self, dag_id: str) -> str:
        """The first run of a Dag."""
        return self.live.runs(dag_id)[0][0]
