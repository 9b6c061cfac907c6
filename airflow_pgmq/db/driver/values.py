"""Values as they cross the wire: the same whatever the session's settings are, on any connection.

Results come in binary, so that DateStyle and IntervalStyle do not matter. A datetime inside the package is
UTC by construction: psycopg's own loaders give the session's zone, and arithmetic on such values follows the
clock on the wall, which jumps.
"""

from __future__ import annotations

import struct
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import psycopg
from psycopg._encodings import pg2pyenc
from psycopg.adapt import AdaptersMap, Buffer, Dumper, Loader
from psycopg.pq import Format
from psycopg.types.datetime import DatetimeBinaryDumper
from psycopg.types.json import set_json_loads

from airflow_pgmq.core import payload
from airflow_pgmq.core.messages import Remark

Row = TypeVar("Row")

_EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
#: Postgres's `infinity` and `-infinity`, its largest and smallest numbers, are here the last and the first
#: instant that Python knows, in both directions; finite instants beyond these are read as them, too.
LAST = datetime.max.replace(tzinfo=timezone.utc)
FIRST = datetime.min.replace(tzinfo=timezone.utc)
_INFINITY = 2**63 - 1

_unpack_instant = struct.Struct("!q").unpack
_pack_instant = struct.Struct("!q").pack
_pack_interval = struct.Struct("!qii").pack


class InstantLoader(Loader):
    """timestamptz → UTC."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        """Never fails: one odd value in a row must not hide the rows beside it."""
        (microseconds,) = _unpack_instant(data)
        try:
            return _EPOCH + timedelta(0, 0, microseconds)
        except OverflowError:
            return LAST if microseconds > 0 else FIRST


class InstantDumper(DatetimeBinaryDumper):
    """A datetime with a zone → timestamptz; without one, as only a user's query has it, as psycopg does."""

    def dump(self, obj: datetime) -> bytes:
        """Exact, and back to infinity."""
        if obj == LAST:
            return _pack_instant(_INFINITY)
        if obj == FIRST:
            return _pack_instant(-_INFINITY - 1)
        # The arithmetic of subclasses, such as pendulum's, gives other types.
        return _pack_instant(datetime.__sub__(obj, _EPOCH) // _MICROSECOND)


class DurationDumper(Dumper):
    """timedelta → an interval of seconds alone: Postgres's `7 days` may be an hour less, or more."""

    format = Format.BINARY
    oid = psycopg.adapters.types["interval"].oid

    def dump(self, obj: timedelta) -> bytes:
        """Exact to the microsecond."""
        return _pack_interval(timedelta.__floordiv__(obj, _MICROSECOND), 0, 0)


class RemarkDumper(Dumper):
    """Text that is not worth a refusal: what the database's encoding lacks is written as an escape."""

    format = Format.BINARY
    oid = psycopg.adapters.types["text"].oid

    def dump(self, obj: str) -> bytes:
        """As UTF-8, like all text."""
        encoding = self.connection and self.connection.pgconn.parameter_status(b"server_encoding")
        # SQL_ASCII takes any bytes.
        if encoding and encoding not in (b"UTF8", b"SQL_ASCII"):
            codec = pg2pyenc(encoding)
            obj = obj.encode(codec, "backslashreplace").decode(codec)
        return obj.encode("utf-8", "backslashreplace")


class TextLoader(Loader):
    """Text that may not be UTF-8: a database in SQL_ASCII holds, and gives back, what it was given."""

    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        """Never fails, as for instants; what cannot be decoded is marked."""
        return str(data, "utf-8", "replace")


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_loader("timestamptz", InstantLoader)
    adapters.register_dumper(datetime, InstantDumper)
    adapters.register_dumper(timedelta, DurationDumper)
    adapters.register_dumper(Remark, RemarkDumper)
    set_json_loads(payload.loads, adapters)
    return adapters


def _tolerant() -> AdaptersMap:
    adapters = AdaptersMap(ADAPTERS)
    for name in ("text", "varchar", "name", "bpchar"):
        adapters.register_loader(name, TextLoader)
    return adapters


ADAPTERS = _adapters()
#: For where the server has checked no text, which costs a little.
TOLERANT = _tolerant()


def _adapters_for(conn: psycopg.BaseConnection[Any]) -> AdaptersMap:
    return TOLERANT if conn.pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII" else ADAPTERS


class Cursor(psycopg.Cursor[Row]):
    """Knows the package's values and nothing that was registered on its connection."""

    @property
    def adapters(self) -> AdaptersMap:
        """Ours."""
        return _adapters_for(self._conn)


class AsyncCursor(psycopg.AsyncCursor[Row]):
    """The same on the event loop."""

    @property
    def adapters(self) -> AdaptersMap:
        """Ours."""
        return _adapters_for(self._conn)
