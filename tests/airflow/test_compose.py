"""docker-compose.airflow.yml: docker-compose accepts it, and what its services run works.

No container engine is needed: the services' commands run as processes of this machine, with the file's
environment, order and health checks. Only addresses and paths differ, because the processes share one host.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from airflow_pgmq.db.local import LocalPostgres
from tests.fixtures.services import Services, answers, free_ports, require_program, running_services

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.airflow.yml"

VARIABLES = {
    "AIRFLOW_ADMIN_PASSWORD": "OfTheTest",
    "POSTGRES_PASSWORD": "AlsoOfTheTest",
    "PGMQ_QUEUES": "other compose_test",
}

# The second task repeats the first one's key, like a retry after the first try was killed when it had sent.
DAG = """
from airflow.sdk import DAG

from airflow_pgmq.operators import PgmqSendOperator

with DAG("send_once", schedule=None):
    message = {"queue_name": "compose_test", "message": {"run": "{{ run_id }}"}, "dedup_key": "{{ run_id }}"}
    PgmqSendOperator(task_id="send", **message) >> PgmqSendOperator(task_id="again", **message)
"""

# Given by the fixture, in place of the containers of these names.
GIVEN = {"postgres", "redis"}

# The cluster is started once for this module, so all of it belongs on one xdist worker.
pytestmark = [pytest.mark.xdist_group("compose"), pytest.mark.timeout(300)]

Compose = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def read_compose(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Compose]:
    """The file's services as docker-compose understands them, with these variables set."""
    program = require_program("docker-compose", "docker-compose")
    # In place of the checkout's own .env, which may say anything.
    env_file = tmp_path_factory.mktemp("compose") / ".env"

    def read(**variables: str) -> Compose:
        env_file.write_text("".join(f"{name}={value}\n" for name, value in (VARIABLES | variables).items()))
        done = subprocess.run(
            [program, "--env-file", env_file, "--file", COMPOSE_FILE, "config"],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        # It prints a file to be read again, so each dollar sign is doubled.
        return yaml.safe_load(done.stdout.replace("$$", "$"))["services"]

    return read


@pytest.fixture(scope="module")
def compose(read_compose: Callable[..., Compose]) -> Compose:
    return read_compose()


def mounted_paths(service: dict[str, Any]) -> dict[str, Path]:
    """Where the container sees which file or folder of the checkout."""
    # docker-compose 1 prints a mount as text, docker-compose 2 as a mapping.
    texts = (m if isinstance(m, str) else f"{m['source']}:{m['target']}" for m in service.get("volumes", []))
    mounts = (text.split(":")[:2] for text in texts)
    return {target: Path(source) for source, target in mounts if Path(source).is_absolute()}


@dataclass
class Cluster:
    """The services as processes of this machine."""

    compose: Compose
    services: Services
    home: Path
    postgres: LocalPostgres
    redis_port: int
    api_port: int
    #: What each process listens on for its logs or its health; a container has a network of its own for that.
    own_ports: dict[str, int] = field(default_factory=dict)

    def up(self) -> None:
        """Start everything in the order and under the conditions that the file states."""
        dependencies = {name: service.get("depends_on", {}) for name, service in self.compose.items()}
        for name in TopologicalSorter(dependencies).static_order():
            if name in GIVEN:
                continue
            for dependency, how in dependencies[name].items():
                if how["condition"] == "service_healthy" and dependency not in GIVEN:
                    self.wait_until_healthy(dependency)
            if name == "airflow-init":
                self.init()
                continue
            for process in self.processes(name):
                self.services.start(process, self.command(name), self.environment(name, process))

    def init(self) -> None:
        """Run the service that prepares the databases, to its end."""
        name = "airflow-init"
        self.services.run(name, self.command(name), self.environment(name, name), timeout=120)

    def processes(self, name: str) -> list[str]:
        """The names of a service's processes, one for each replica."""
        replicas = self.compose[name].get("deploy", {}).get("replicas", 1)
        return [f"{name}-{number}" for number in range(1, replicas + 1)]

    def command(self, name: str) -> list[str]:
        command = self.compose[name]["command"]
        return shlex.split(command) if isinstance(command, str) else command

    def environment(self, name: str, process: str) -> dict[str, str]:
        """The service's own environment with this machine's addresses; of the test's own only the path."""
        if process not in self.own_ports:
            [self.own_ports[process]] = free_ports(1)
        own_port = str(self.own_ports[process])
        return {
            key: self.here(value, process) for key, value in self.compose[name]["environment"].items()
        } | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            # A container has this one by itself.
            "HOSTNAME": socket.gethostname(),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.api_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": own_port,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": own_port,
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": own_port,
        }

    def here(self, text: str, process: str) -> str:
        """The same text with the addresses and paths that hold on this machine."""
        for there, here in {
            "postgres:5432": f"127.0.0.1:{self.postgres.port}",
            '"host": "postgres", "port": 5432': f'"host": "127.0.0.1", "port": {self.postgres.port}',
            "redis:6379": f"127.0.0.1:{self.redis_port}",
            "api-server:8080": f"127.0.0.1:{self.api_port}",
            "localhost:8080": f"127.0.0.1:{self.api_port}",
            "localhost:8974": f"127.0.0.1:{self.own_ports[process]}",
            "/opt/airflow": str(self.home),
        }.items():
            text = text.replace(there, here)
        return text

    def is_healthy(self, name: str) -> bool:
        """Whether the file's own check is content with every process of the service."""
        kind, *check = self.compose[name]["healthcheck"]["test"]
        command = ["sh", "-c", *check] if kind == "CMD-SHELL" else check
        return not any(
            subprocess.run(
                [self.here(word, process) for word in command],
                env=self.environment(name, process),
                capture_output=True,
            ).returncode
            for process in self.processes(name)
        )

    def wait_until_healthy(self, name: str) -> None:
        self.services.wait_until(lambda: self.is_healthy(name), f"{name} is healthy", 120)

    def api(self) -> httpx.Client:
        """A client of the public API, as the user that the file names."""
        url = f"http://127.0.0.1:{self.api_port}"
        login = {"username": "admin", "password": VARIABLES["AIRFLOW_ADMIN_PASSWORD"]}
        token = (
            httpx.post(f"{url}/auth/token", json=login, timeout=60).raise_for_status().json()["access_token"]
        )
        return httpx.Client(
            base_url=f"{url}/api/v2", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def query(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.postgres.dsn(database)) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def cluster(compose: Compose, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """All of the file, running."""
    redis = require_program("redis-server", "redis-server")
    require_program("curl", "curl")
    home, logs = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("logs")
    (home / "dags").mkdir()
    (home / "dags" / "send_once.py").write_text(DAG)
    postgres_port, redis_port, api_port = free_ports(3)
    with LocalPostgres(port=postgres_port) as postgres, running_services(home, logs) as services:
        prepare_as_the_image_does(postgres, compose["postgres"])
        services.start("redis", [redis, "--bind", "127.0.0.1", "--port", str(redis_port), "--save", ""], {})
        services.wait_until(lambda: answers(redis_port), "Redis answers", 20)
        cluster = Cluster(compose, services, home, postgres, redis_port, api_port)
        cluster.up()
        yield cluster


def prepare_as_the_image_does(postgres: LocalPostgres, service: dict[str, Any]) -> None:
    """Make the role and the database that the environment names, then run the scripts that are mounted."""
    user, password, database = (
        service["environment"][f"POSTGRES_{name}"] for name in ("USER", "PASSWORD", "DB")
    )
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{password}'")
        admin.execute(f"CREATE DATABASE {database} OWNER {user}")
        for target, script in mounted_paths(service).items():
            assert target.startswith("/docker-entrypoint-initdb.d/")
            admin.execute(script.read_text())


def test_docker_compose_accepts_the_file(compose):
    airflow = {"airflow-init", "api-server", "scheduler", "dag-processor", "triggerer", "worker"}
    assert set(compose) == GIVEN | airflow
    assert compose["scheduler"]["deploy"]["replicas"] == 2
    assert [name for name, service in compose.items() if "healthcheck" not in service] == ["airflow-init"]


def test_images_are_pinned_and_agree(compose):
    assert re.fullmatch(r"ghcr\.io/pgmq/pg\d+-pgmq:v\d+\.\d+\.\d+", compose["postgres"]["image"])
    dockerfile = COMPOSE_FILE.parent / compose["worker"]["build"]["dockerfile"]
    version = re.search(r"ARG AIRFLOW_VERSION=(\S+)", dockerfile.read_text())
    assert version
    assert compose["worker"]["image"].endswith(f":{version[1]}")


def test_what_is_mounted_and_copied_exists(compose):
    dockerfile = COMPOSE_FILE.parent / compose["worker"]["build"]["dockerfile"]
    copies = re.findall(r"^COPY --\S+ (.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    copied = [COMPOSE_FILE.parent / name for names in copies for name in names.split()]
    mounted = [path for service in compose.values() for path in mounted_paths(service).values()]
    assert copied
    assert mounted
    assert [path for path in copied + mounted if not path.exists()] == []


def test_what_is_copied_is_sent_to_the_engine_and_nothing_else(compose):
    folder = COMPOSE_FILE.parent
    dockerfile = folder / compose["worker"]["build"]["dockerfile"]
    copies = re.findall(r"^COPY --\S+ (.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    lines = [line for line in (folder / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line[0] == "!"} == {
        name for each in copies for name in each.split()
    }


def test_both_images_are_of_the_same_airflow(compose):
    folder = COMPOSE_FILE.parent / "docker"
    texts = [(folder / name).read_text() for name in ("Dockerfile", "pip.Dockerfile")]
    versions = [re.findall(r"^ARG AIRFLOW_VERSION=(\S+)$", text, re.M) for text in texts]
    assert versions[0] == versions[1] != []


def test_every_variable_is_explained():
    header, services = COMPOSE_FILE.read_text().split("\nx-airflow:")
    assert [name for name in re.findall(r"\$\{(\w+)", services) if name not in header] == []


def test_dags_find_their_queues():
    created = re.search(r"\$\{PGMQ_QUEUES:-([^}]*)\}", COMPOSE_FILE.read_text())
    dags = [path.read_text() for path in (COMPOSE_FILE.parent / "dags").glob("*.py")]
    used = {name for dag in dags for name in re.findall(r'queue_name="(\w+)"', dag)}
    assert created
    assert set(created[1].split()) == used


def test_two_schedulers_run(cluster):
    with cluster.api() as api:
        jobs = (
            api.get("/jobs", params={"job_type": "SchedulerJob", "is_alive": True}).raise_for_status().json()
        )
    assert jobs["total_entries"] == 2


def test_dag_run_on_celery_sends_its_message_once(cluster):
    wait_until = cluster.services.wait_until
    with cluster.api() as api:
        wait_until(lambda: api.get("/dags/send_once").is_success, "the Dag is parsed", 60)
        api.patch("/dags/send_once", json={"is_paused": False}).raise_for_status()
        run = api.post("/dags/send_once/dagRuns", json={"logical_date": None}).raise_for_status().json()
        run_id = run["dag_run_id"]

        def final_state() -> str | None:
            state = api.get(f"/dags/send_once/dagRuns/{run_id}").raise_for_status().json()["state"]
            return state if state in ("success", "failed") else None

        assert wait_until(final_state, "the run ends", 120) == "success"

    messages = cluster.query("queues", "SELECT message, headers ->> 'dedup_key' FROM pgmq.q_compose_test")
    assert messages == [({"run": run_id}, run_id)]
    # The scheduler gives each task the id that Celery knows it by; the worker stores there how it ended.
    run_by_celery = """
        SELECT t.task_id FROM task_instance t JOIN celery_taskmeta c ON c.task_id = t.external_executor_id
        WHERE t.dag_id = 'send_once' AND c.status = 'SUCCESS'
    """
    wait_until(
        lambda: len(cluster.query("airflow", run_by_celery)) == 2, "Celery's worker has run both tasks", 30
    )


@pytest.mark.parametrize("name", ["api-server", "scheduler", "dag-processor", "triggerer", "worker"])
def test_healthcheck_is_content(cluster, name):
    cluster.wait_until_healthy(name)


def test_init_may_run_again(cluster):
    before = cluster.query("queues", "SELECT msg_id FROM pgmq.q_compose_test")
    cluster.init()
    assert cluster.query("queues", "SELECT msg_id FROM pgmq.q_compose_test") == before


def test_queues_may_be_in_airflows_own_database(cluster, read_compose):
    replace(cluster, compose=read_compose(PGMQ_DATABASE="airflow")).init()
    queues = cluster.query("airflow", "SELECT queue_name FROM pgmq.list_queues() ORDER BY 1")
    assert queues == [("compose_test",), ("other",)]
