"""Every verb of the hook once, on two databases at a time, and whether they answer alike."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_pgmq.db.statements import transfers
from airflow_pgmq.db.statements.inspection import Search
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services import doctor, maintenance, overview
from tests.fixtures.factories import execute, job, tick
from tests.fixtures.postgres import Database

#: Seconds by which two answers to the same question may lie apart: some are full minutes.
APART = 90

TIMESTAMP = re.compile(r"\d{4,5}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?")

WEEK = timedelta(days=7)
LATER = datetime(2099, 3, 29, 1, 30, tzinfo=timezone.utc)


@dataclasses.dataclass
class Site:
    """A database to be seen, through its Airflow connection."""

    database: Database
    conn_id: str
    #: The minute of each hour at which its jobs are due: the same at both sites, and far from now.
    minute: int
    #: What every verb gets in addition, such as a caller's connection.
    more: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def hook(self) -> PgmqHook:
        return PgmqHook(self.conn_id)

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(self.hook, verb)(*args, **kwargs, **self.more)

        return call

    def run(self, make: Callable[[], Any]) -> Any:
        """Statements and flows that no verb of the hook runs alone."""
        return self.hook.client.run(make, self.more.get("conn"))

    def left(self) -> dict[str, Any]:
        """The content of the tables, as another connection sees it.

        Without samples: they are taken by the minute, and of counters that lag behind.
        """
        tables = execute(
            self.database,
            "SELECT format('%I.%I', nspname, relname) AS name FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = relnamespace WHERE relkind = 'r' AND (nspname = 'airflow_pgmq'"
            " OR nspname = 'pgmq' AND relname ~ '^[aq]_') AND relname <> 'queue_samples' ORDER BY 1",
        )
        found = {}
        for table in (row["name"] for row in tables):
            rows = execute(
                self.database,
                f"SELECT to_jsonb(t) - '{{relation,written_by}}'::text[] AS row FROM {table} AS t",
            )
            found[table] = sorted((row["row"] for row in rows), key=lambda row: TIMESTAMP.sub("", str(row)))
        return found


def _consumed(site: Site) -> list[Any]:
    with site.consume("mail", batch_size=2, visibility_timeout=timedelta(minutes=2)) as messages:
        return [message.as_dict() for message in messages]


def _to_table(site: Site) -> list[Any]:
    messages = site.read("mail", condition={"at": "2099-03-29T01:30:00Z"})
    site.run(lambda: transfers.to_table("mail", "public.landed", ["at", "n"], "error", messages))
    return [message.as_dict() for message in messages]


def _tick(site: Site) -> Any:
    """Slots on both sides of a change of clocks, and none near now."""
    jobs = [
        job("hourly", cron=f"{site.minute} * * * *", message={"größe": "Zoë"}),
        job("daily", cron=f"{site.minute} 2 * * *", timezone="Europe/Berlin", ttl=WEEK),
        job("jittered", cron=f"{site.minute} * * * *", jitter=timedelta(minutes=20)),
    ]
    return tick(*jobs, look_ahead=60).run(site.hook.client)


#: Each verb with its arguments; later ones find what earlier ones left.
VERBS: dict[str, Callable[[Site], Any]] = {
    "create": lambda s: [s.create_queue("mail"), s.create_queue("fast", unlogged=True)],
    "send": lambda s: s.send("mail", {"größe": "ü"}, headers={"wer": "Zoë"}, group="grün"),
    "send later": lambda s: s.send("mail", 1, delay=timedelta(days=200)),
    "send at": lambda s: s.send("mail", 1, delay=LATER, ttl=WEEK),
    "once": lambda s: s.send("mail", 2, dedup_key="schlüssel"),
    "again": lambda s: s.send("mail", 3, dedup_key="schlüssel", dedup_window=timedelta(days=200)),
    "replace": lambda s: s.send(
        "mail", 4, dedup_key="schlüssel", on_duplicate="replace", delay=WEEK, ttl=0.5
    ),
    "queued": lambda s: s.send_batch("fast", [1, 2, 3], dedup_keys=["ä", "b", "ä"], dedup_scope="queued"),
    "guard": lambda s: s.guard_queue("fast"),
    "batch": lambda s: s.send_batch(
        "mail", [{"n": 5}, {"n": 6}, {"n": 7}, {"n": 8}], delays=[0, None, 0.5, 0]
    ),
    "many": lambda s: s.send_batch("mail", [9] * 600, dedup_keys=[f"k{n}" for n in range(600)], delays=LATER),
    "bind": lambda s: s.bind_topic("a.*", "fast"),
    "topics": lambda s: [s.topics(), s.topics("fast"), s.test_routing("a.b")],
    "send topic": lambda s: s.send_topic("a.b", {"n": "ü"}, delay=timedelta(hours=30), ttl=WEEK),
    "send topic at": lambda s: s.send_batch_topic("a.b", [1, 2], dedup_keys=["t1", "t2"], delays=LATER),
    "unbind": lambda s: s.unbind_topic("a.*", "fast"),
    "queues": lambda s: s.list_queues(),
    "announce": lambda s: [s.enable_notify("fast"), s.disable_notify("fast"), s.enable_notify("fast")],
    "read": lambda s: s.read("mail", condition={"n": 5}, headers_condition={}),
    "read by headers": lambda s: s.read("mail", headers_condition={"wer": "Zoë"}),
    "extend": lambda s: s.extend("mail", [1], visibility_timeout=timedelta(days=200)),
    "release": lambda s: s.release("mail", [1], delay=timedelta(0)),
    "release at": lambda s: s.release("mail", [1], delay=LATER),
    "peek": lambda s: [
        s.peek("mail", limit=9),
        s.peek("mail", dedup_key="schlüssel"),
        s.peek("fast", after=1),
    ],
    "get": lambda s: s.get_messages("mail", [1, 2, 3]),
    "consume": _consumed,
    "archive": lambda s: s.archive("mail", [5]),
    "delete": lambda s: s.delete("mail", [6]),
    "pop": lambda s: s.pop("fast", max_messages=2),
    "cancel": lambda s: s.cancel("mail", ["schlüssel"]),
    "dead letter": lambda s: s.dead_letter("mail", [1], "weil's übel ist", dead_letter_queue="mail_dlq"),
    "requeue": lambda s: s.requeue("mail", delay=timedelta(days=200)),
    "requeue archive": lambda s: s.requeue("mail", source="archive", msg_ids=[5]),
    "send query": lambda s: s.send_from_query(
        "mail",
        "SELECT n, timestamp '2099-03-29 01:30' AS at, date '2099-03-29' AS day, 'q' || n AS dedup_key,"
        " CASE n WHEN 1 THEN interval '200 days' END AS delay,"
        " CASE n WHEN 2 THEN '2099-03-29 01:30' END AS visible_at FROM generate_series(1, 3) AS n",
        ttl=WEEK,
    ),
    "send query queued": lambda s: s.send_from_query(
        "fast", "SELECT 'q' AS dedup_key, timestamp '2099-03-29 01:30' AS visible_at", dedup_scope="queued"
    ),
    "send query plain": lambda s: s.send_from_query(
        "mail",
        "SELECT '2099-03-29T01:30:00Z' AS at, 200 AS n",
        dedup_scope="none",
    ),
    "to table": _to_table,
    "metrics": lambda s: [s.metrics("mail"), s.metrics_all()],
    "tick": _tick,
    "tick again": _tick,
    "jobs": lambda s: s.list_jobs(),
    "pause": lambda s: s.pause_job("shop", "hourly"),
    "resume": lambda s: s.resume_job("shop", "hourly"),
    "run now": lambda s: s.run_job_now("shop", "hourly"),
    "pause queue": lambda s: [
        s.pause_queue("fast", "schöne Grüße", paused_by="Zoë"),
        s.paused_queues(),
        s.read("fast"),
        s.pop("fast"),
        s.resume_queue("fast"),
    ],
    "purge": lambda s: s.purge("fast"),
    "drop": lambda s: [s.drop_queue("fast"), s.drop_queue("fast")],
}

#: What takes no connection of a caller, or is not the hook's.
OTHERS: dict[str, Callable[[Site], Any]] = {
    "test": lambda s: s.hook.test_connection(),
    "install": lambda s: s.hook.install(),
    # That notifications do not pass a pooler is the only difference that one makes.
    "doctor": lambda s: [each for each in doctor.examine(s.hook.client) if each.code != "deaf"],
    "maintain": lambda s: maintenance.maintain(s.hook.client, archive_retention=timedelta(0)),
    "wait": lambda s: s.hook.wait("mail", min_messages=1, timeout=20),
    "overview": lambda s: overview.queues(s.hook.client),
    "one queue": lambda s: overview.queue(s.hook.client, "mail", "week"),
    "search": lambda s: overview.messages(s.hook.client, Search(queue_name="mail", peek=True)),
    "all jobs": lambda s: overview.jobs(s.hook.client),
}


#: What the server counts by itself, and tells when it comes to it; and what is done once a minute.
LAGGING = {"archived", "sampled"}


def assert_same(one: Any, other: Any, where: str = "answer") -> None:
    """Both are the same, but for the time that lies between them; times are UTC."""
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        assert type(one) is type(other), where
        one, other = dataclasses.asdict(one), dataclasses.asdict(other)
    if isinstance(one, Mapping):
        assert list(one) == list(other), where
        for key in one.keys() - LAGGING:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, (list, tuple, set)):
        one, other = (sorted(each) if isinstance(each, set) else each for each in (one, other))
        assert len(one) == len(other), where
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}[{number}]")
    elif isinstance(one, datetime):
        assert one.utcoffset() == other.utcoffset() == timedelta(0), where
        assert abs((one - other).total_seconds()) < APART, where
    elif isinstance(one, str):
        assert TIMESTAMP.sub("…", one) == TIMESTAMP.sub("…", other), where
        times = zip(TIMESTAMP.findall(one), TIMESTAMP.findall(other), strict=True)
        for left, right in times:
            assert abs((_naive(left) - _naive(right)).total_seconds()) < APART, f"{where}: {left} or {right}"
    elif isinstance(one, float) or where.endswith("_age_sec"):
        assert one == pytest.approx(other, abs=APART), where
    else:
        assert isinstance(one, (int, bool, date, timedelta, type(None))), f"{where}: {type(one)}"
        assert one == other, where


def _naive(text: str) -> datetime:
    return datetime.fromisoformat(text.ljust(26, "0") if "." in text else text)
