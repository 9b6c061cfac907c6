"""The parts of Airflow's REST API that the demo needs."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import datetime
from typing import Any

import httpx


class TokenAuth(httpx.Auth):
    """Logs in when the server asks for it, so also when a token has expired."""

    requires_response_body = True

    def __init__(self, url: str, user: str, password: str) -> None:
        credentials = {"username": user, "password": password}
        self._login = httpx.Request("POST", f"{url}/auth/token", json=credentials)
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code in (401, 403):
            self._token = (yield self._login).raise_for_status().json()["access_token"]
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request


class Api:
    """A client of one Airflow, with the same API that any user has."""

    def __init__(self, url: str, user: str, password: str) -> None:
        # trust_env off: no proxy for an address of this machine.
        self._http = httpx.Client(base_url=f"{url}/api/v2/", timeout=30, trust_env=False)
        self._http.auth = TokenAuth(url, user, password)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def health(self) -> dict[str, str]:
        """The state of each part; empty while the server does not answer."""
        try:
            parts = self._http.get("monitor/health", auth=None).raise_for_status().json()
        except httpx.HTTPError:
            return {}
        return {name: str(part["status"]) for name, part in parts.items()}

    def version(self) -> str:
        """Airflow's version."""
        return self._get("version")["version"]

    def dags(self) -> set[str]:
        """The Dags that the Dag processor has read."""
        return {dag["dag_id"] for dag in self._get("dags")["dags"]}

    def import_errors(self) -> list[str]:
        """The tracebacks of Dag files that the Dag processor could not read."""
        return [error["stack_trace"] for error in self._get("importErrors")["import_errors"]]

    def unpause(self, dag_id: str) -> None:
        """Unpause the Dag."""
        self._http.patch(f"dags/{dag_id}", json={"is_paused": False}).raise_for_status()

    def trigger(self, dag_id: str) -> str:
        """Start a run; returns its id."""
        body = {"logical_date": None}
        return self._post(f"dags/{dag_id}/dagRuns", body)["dag_run_id"]

    def clear(self, dag_id: str, run_id: str) -> None:
        """Make every task of the run run again."""
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        self._post(f"dags/{dag_id}/clearTaskInstances", body)

    def backfill(self, dag_id: str, first: datetime, last: datetime) -> None:
        """Run the Dag again for past dates."""
        body = {
            "dag_id": dag_id,
            "from_date": first.isoformat(),
            "to_date": last.isoformat(),
            "reprocess_behavior": "completed",
        }
        self._post("backfills", body)

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The latest runs, the newest first."""
        return self._get(f"dags/{dag_id}/dagRuns", order_by="-run_after", limit=20)["dag_runs"]

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run."""
        return self._get(f"dags/{dag_id}/dagRuns/{run_id}")

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """One task of a run, after its latest try."""
        return self._get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}")

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What the task returned."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self._get(path)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[str]:
        """The lines of a try's log."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        lines = self._http.get(path, headers={"Accept": "application/x-ndjson"}).raise_for_status().text
        return [json.loads(line)["event"] for line in lines.splitlines()]

    def _get(self, path: str, **params: Any) -> Any:
        return self._http.get(path, params=params).raise_for_status().json()

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._http.post(path, json=body).raise_for_status().json()
