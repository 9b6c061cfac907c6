"""The clients of others, called in one way."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pgmq import PGMQueue

from tests.fixtures import clients
from tests.fixtures.patience import patience
from tests.fixtures.postgres import Database

FOLDER = Path(__file__).parent


class Client(Protocol):
    """What each of them can do; `message`, `msg_id` and others are keys of what it reads."""

    def send(self, queue: str, messages: Sequence[Any], delay: int = 0) -> list[int]: ...
    def send_batch(self, queue: str, messages: Sequence[Any], delay: int = 0) -> list[int]: ...
    def read(self, queue: str, count: int, timeout: int = 30) -> list[dict[str, Any]]: ...
    def archive(self, queue: str, ids: Sequence[int]) -> list[int]: ...
    def delete(self, queue: str, ids: Sequence[int]) -> list[int]: ...


class Official:
    """`pgmq` of PyPI."""

    def __init__(self, database: Database) -> None:
        self.client = PGMQueue(conn_string=database.dsn, init_extension=False, pool_size=1)

    def close(self) -> None:
        self.client.close()

    def send(self, queue: str, messages: Sequence[Any], delay: int = 0) -> list[int]:
        return [self.client.send(queue, each, delay=delay) for each in messages]

    def send_batch(self, queue: str, messages: Sequence[Any], delay: int = 0) -> list[int]:
        return self.client.send_batch(queue, list(messages), delay=delay)

    def read(self, queue: str, count: int, timeout: int = 30) -> list[dict[str, Any]]:
        return [vars(each) for each in self.client.read_batch(queue, vt=timeout, batch_size=count)]

    def archive(self, queue: str, ids: Sequence[int]) -> list[int]:
        return self.client.archive_batch(queue, list(ids))

    def delete(self, queue: str, ids: Sequence[int]) -> list[int]:
        return self.client.delete_batch(queue, list(ids))


class Script:
    """A client that a script calls in a process of its own."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    def close(self) -> None:
        pass

    def send(self, queue: str, messages: Sequence[Any], delay: int = 0) -> list[int]:
        return self._call("send", queue, messages=messages, delay=delay)

    def send_batch(self, queue: str, messages: Sequence[Any], delay: int = 0) -> list[int]:
        return self._call("send_batch", queue, messages=messages, delay=delay)

    def read(self, queue: str, count: int, timeout: int = 30) -> list[dict[str, Any]]:
        return self._call("read", queue, count=count, timeout=timeout)

    def archive(self, queue: str, ids: Sequence[int]) -> list[int]:
        return self._call("archive", queue, ids=ids)

    def delete(self, queue: str, ids: Sequence[int]) -> list[int]:
        return self._call("delete", queue, ids=ids)

    def _call(self, call: str, queue: str, **given: Any) -> Any:
        request = {"call": call, "queue": queue, "address": self._database.address, **given}
        program, environment = clients.node() if self._name.endswith(".cjs") else (clients.python(), None)
        done = subprocess.run(
            [program, FOLDER / self._name],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            env=environment,
            timeout=patience(60),
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def make(name: str, database: Database) -> Official | Script:
    """The client of that name."""
    if name == "pgmq":
        return Official(database)
    script = {"pgmq-js": "with_pgmq_js.cjs", "pgmq-sqlalchemy": "with_pgmq_sqlalchemy.py"}
    return Script(database, script[name])
