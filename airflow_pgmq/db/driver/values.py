"""How values are sent and read: the same on any connection, under any settings of the session.

Results are binary, so that DateStyle and IntervalStyle do not matter. Each datetime inside the package is
in UTC: psycopg's own loaders give the session's zone, and arithmetic on such values is wrong across changes
of clocks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import chain, repeat
from typing import Any, TypeVar

import psycopg
from psycopg._encodings import pg2pyenc
from psycopg.abc import AdaptContext, PQGen
from psycopg.adapt import AdaptersMap, Buffer, Dumper, Loader
from psycopg.pq import Format
from psycopg.types.array import ListBinaryDumper, ListDumper
from psycopg.types.datetime import DatetimeBinaryDumper
from psycopg.types.json import set_json_loads

from airflow_pgmq.core import payload
from airflow_pgmq.core.messages import Remark
from airflow_pgmq.db.driver.overlap import working

Row = TypeVar("Row")

_EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
#: Postgres's `infinity` and `-infinity` become the last and the first instant of Python, and are written back
#: as such; finite instants beyond Python's range are read as these, too.
LAST = datetime.max.replace(tzinfo=timezone.utc)
FIRST = datetime.min.replace(tzinfo=timezone.utc)
_INFINITY = 2**63 - 1

_unpack_instant = struct.Struct("!q").unpack
_pack_instant = struct.Struct("!q").pack
#: By type: how the items of an array are written, with their length before them, and that length.
_ITEMS = {
    psycopg.adapters.types[name].oid: (code, size)
    for name, code, size in (
        ("int2", "ih", 2),
        ("int4", "ii", 4),
        ("int8", "iq", 8),
        ("timestamptz", "iq", 8),
    )
}
_pack_array = struct.Struct("!iiIii").pack
_pack_interval = struct.Struct("!qii").pack


class InstantLoader(Loader):
    """timestamptz → UTC."""

    format = Format.BINARY

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._known: dict[int, datetime] = {}

    def load(self, data: Buffer) -> datetime:
        """Never fails: one odd value must not hide other rows."""
        (microseconds,) = _unpack_instant(data)
        # Many rows of an answer have the same: those of one batch were sent, and are read, at one time.
        if (known := self._known.get(microseconds)) is None:
            known = self._known[microseconds] = read_instant(data)
        return known


def read_instant(data: Buffer) -> datetime:
    """A timestamptz in binary."""
    (microseconds,) = _unpack_instant(data)
    try:
        return _EPOCH + timedelta(0, 0, microseconds)
    except OverflowError:
        return LAST if microseconds > 0 else FIRST


class JsonLoader(Loader):
    """jsonb → what payload.loads makes of it."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        """Never fails, as with instants."""
        # The first byte is the version of the format, which has been 1 since it was made.
        return payload.loads(data[1:])


class InstantDumper(DatetimeBinaryDumper):
    """A datetime with a zone → timestamptz; without one, possible only in a user's query, as in psycopg."""

    def dump(self, obj: datetime) -> bytes:
        """Exact; the last and first instants become infinity."""
        return _pack_instant(_microseconds(obj))


def _microseconds(instant: datetime) -> int:
    if instant == LAST:
        return _INFINITY
    if instant == FIRST:
        return -_INFINITY - 1
    # The arithmetic of subclasses, such as pendulum's, gives other types.
    return datetime.__sub__(instant, _EPOCH) // _MICROSECOND


def _all_microseconds(instants: list[datetime]) -> Iterator[int]:
    # A gap, which is None, is none of them.
    before, microseconds = FIRST, _microseconds(FIRST)
    for instant in instants:
        # Those of messages that were sent together are one object, by `InstantLoader`.
        if instant is not before:
            before, microseconds = instant, _microseconds(instant)
        yield microseconds


class ColumnDumper(ListBinaryDumper):
    """A list of integers or instants → an array in one step, which takes a fifth of the time."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        """Like the driver's own, which does it where there are gaps or other types."""
        of_one = self.sub_dumper
        if of_one is None or of_one.oid not in _ITEMS or not obj or isinstance(obj[0], list):
            return super().dump(obj)
        code, size = _ITEMS[of_one.oid]
        values = _all_microseconds(obj) if isinstance(of_one, InstantDumper) else obj
        items = chain.from_iterable(zip(repeat(size), values))
        try:
            packed = struct.pack(f"!{len(obj) * code}", *items)
        except (struct.error, TypeError):
            return super().dump(obj)
        # One dimension, without gaps, from 1 on.
        return _pack_array(1, 0, of_one.oid, len(obj), 1) + packed


class DurationDumper(Dumper):
    """timedelta → an interval of only seconds: Postgres's `7 days` may be an hour less, or more."""

    format = Format.BINARY
    oid = psycopg.adapters.types["interval"].oid

    def dump(self, obj: timedelta) -> bytes:
        """Exact to the microsecond."""
        return _pack_interval(timedelta.__floordiv__(obj, _MICROSECOND), 0, 0)


class RemarkDumper(Dumper):
    """Text that must not be refused: characters that the database's encoding lacks are escaped."""

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
    """Text that may not be UTF-8: a database in SQL_ASCII stores any bytes."""

    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        """Never fails, as with instants; bytes that cannot be decoded are replaced."""
        return str(data, "utf-8", "replace")


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_loader("timestamptz", InstantLoader)
    adapters.register_dumper(datetime, InstantDumper)
    adapters.register_dumper(timedelta, DurationDumper)
    adapters.register_dumper(Remark, RemarkDumper)
    adapters.register_dumper(list, ColumnDumper)
    # The last one that is registered is used where a query asks for no format.
    adapters.register_dumper(list, ListDumper)
    set_json_loads(payload.loads, adapters)
    adapters.register_loader("jsonb", JsonLoader)
    return adapters


def _tolerant() -> AdaptersMap:
    adapters = AdaptersMap(ADAPTERS)
    for name in ("text", "varchar", "name", "bpchar"):
        adapters.register_loader(name, TextLoader)
    return adapters


ADAPTERS = _adapters()
#: For servers that do not check text (SQL_ASCII); a little slower.
TOLERANT = _tolerant()


def adapters_for(conn: psycopg.BaseConnection[Any]) -> AdaptersMap:
    """Those of the package for its database."""
    return TOLERANT if conn.pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII" else ADAPTERS


class Cursor(psycopg.Cursor[Row]):
    """Uses the package's adapters, and none that were registered on its connection."""

    #: Makes steps of work to take while the server runs the statement.
    meanwhile: Callable[[], Iterator[object]] | None = None

    @property
    def adapters(self) -> AdaptersMap:
        """Ours."""
        return adapters_for(self._conn)

    def _execute_gen(self, *args: Any, **options: Any) -> PQGen[None]:
        answer = super()._execute_gen(*args, **options)
        return working(answer, self.meanwhile(), self._conn.pgconn.socket) if self.meanwhile else answer


class AsyncCursor(psycopg.AsyncCursor[Row]):
    """The same on the event loop."""

    @property
    def adapters(self) -> AdaptersMap:
        """Ours."""
        return adapters_for(self._conn)
