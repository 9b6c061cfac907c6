"""What the fixture `pgmq_database` gives to a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from airflow_pgmq.hooks import PgmqHook

#: libpq's arguments that a URI and an Airflow connection have places of their own for.
PLACES = ("host", "port", "user", "password", "dbname")


@dataclass(frozen=True)
class PgmqDatabase:
    """A database of one test, with PGMQ and the schema `airflow_pgmq` in it."""

    #: libpq's arguments, as `psycopg.connect` takes them.
    arguments: Mapping[str, Any]
    #: The Airflow connection that leads to it during the test.
    connection_id: str = "pgmq_default"

    @property
    def name(self) -> str:
        """The database's name on the server."""
        return str(self.arguments["dbname"])

    @property
    def uri(self) -> str:
        """Its address for any client: `postgresql://…`."""
        return uri_of(self.arguments)

    @property
    def airflow_connection(self) -> str:
        """The Airflow connection as JSON, the value of a variable `AIRFLOW_CONN_…`."""
        given = self.arguments
        port = given.get("port")
        described = {
            "conn_type": "pgmq",
            "host": given.get("host"),
            "port": None if port is None else int(port),
            "login": given.get("user"),
            "password": given.get("password"),
            "schema": self.name,
            "extra": {name: value for name, value in given.items() if name not in PLACES},
        }
        return json.dumps({name: value for name, value in described.items() if value})

    @cached_property
    def hook(self) -> PgmqHook:
        """A `PgmqHook` on it, to send what the Dag is to find, and to see what it has sent."""
        # Imported late: pytest loads this module in projects that do not use it.
        from airflow_pgmq.hooks import PgmqHook

        return PgmqHook(self.connection_id)

    def close(self) -> None:
        """Close the hook's connections."""
        if "hook" in vars(self):
            self.hook.close()


def uri_of(arguments: Mapping[str, Any]) -> str:
    """libpq's arguments as a URI."""
    given = {name: str(value) for name, value in arguments.items() if value not in (None, "")}
    user, password, dbname = (given.pop(name, "") for name in ("user", "password", "dbname"))
    account = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    place = ""
    # Directories of sockets, IPv6 and several hosts have no place before the name of the database.
    if given.get("host", "/").replace(".", "").replace("-", "").isalnum():
        place = given.pop("host") + (f":{given.pop('port')}" if "port" in given else "")
    rest = f"?{urlencode(given, quote_via=quote)}" if given else ""
    return f"postgresql://{account}{'@' if account else ''}{place}/{quote(dbname, safe='')}{rest}"
