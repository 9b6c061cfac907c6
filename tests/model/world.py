"""The world of the model: each step is done to a real database and to the oracle, then they are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import singledispatchmethod
from typing import Any

import psycopg
from psycopg.rows import dict_row

from airflow_pgmq.core.delays import AT_ONCE
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import consuming, reading, sending
from airflow_pgmq.errors import InvalidJobs, JobDeclared, JobNotFound, QueueNotFound
from airflow_pgmq.jobs import Blackout, Every, PeriodicJob
from airflow_pgmq.services import job_control, live_jobs, ticking
from airflow_pgmq.services.overdue import Tell
from tests.fixtures.clock import Clock
from tests.fixtures.dollars import Dollars
from tests.fixtures.factories import rows_of
from tests.fixtures.patience import wait_until
from tests.model import expecting, steps
from tests.model.expecting import Told
from tests.model.facts import Actual, Counts, Definition, Refused, Wrong
from tests.model.oracle import Oracle
from tests.model.schedules import HOUR, MINUTE, UTC, Apart, Without, Workdaily

NAMESPACE = "shop"


class CutConnection(psycopg.Connection[Any]):
    """A connection that is cut before or after its n-th round trip."""

    trips: int | None = None
    before = False
    pid = 0

    def wait(self, generator: Any, *args: Any, **options: Any) -> Any:
        if self.trips is not None:
            self.trips -= 1
            if self.trips == 0 and self.before:
                self.pgconn.finish()
                raise psycopg.OperationalError("cut before")
        answer = super().wait(generator, *args, **options)
        if self.trips == 0:
            self.pgconn.finish()
            raise psycopg.OperationalError("cut after")
        return answer


def _schedule(schedule: Any) -> dict[str, Any]:
    """The fields that make the package's job have these slots."""
    if isinstance(schedule, Apart):
        return {"schedule": Every(MINUTE * schedule.minutes, schedule.anchor)}
    if isinstance(schedule, Without):
        windows = [Blackout(start, start + HOUR) for start in schedule.starts()]
        return {"cron": schedule.other.cron, "exclude": windows}
    if isinstance(schedule, Workdaily):
        return {"cron": schedule.daily.cron, "business_day": schedule.business_day}
    return {"cron": schedule.cron}


def job_of(definition: Definition) -> PeriodicJob:
    """The same job as the package's `PeriodicJob`."""
    return PeriodicJob(
        name=definition.name,
        timezone=definition.schedule.zone,
        **_schedule(definition.schedule),
        queue_name=definition.queue,
        message=definition.payload,
        headers=definition.headers,
        version=definition.version,
        ttl=definition.ttl,
        jitter=definition.jitter,
        overlap=definition.overlap,  # type: ignore[arg-type]
        catch_up=definition.catch_up,  # type: ignore[arg-type]
        catch_up_limit=definition.limit,
        catch_up_max_age=definition.max_age,
        expect_within=definition.expecting,
        pause_on_dead_letter=definition.pauses,
    )


def spread(name: str, slot: datetime, jitter: timedelta) -> timedelta:
    """The jitter of all releases: another hash would change the time of a slot's message."""
    key = f"{NAMESPACE}/{name}/{slot:%Y-%m-%dT%H:%M:%SZ}"
    return jitter * (int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64)


def tick_of(
    code: Mapping[str, Definition],
    story: steps.Story,
    *,
    rollback: bool = False,
    owner: str = "dag.task",
    tell: Tell | None = None,
) -> ticking.Tick:
    """A tick of this code."""
    return ticking.Tick(
        namespace=NAMESPACE,
        owner=owner,
        jobs=[job_of(each) for each in code.values()],
        version=max((each.version for each in code.values()), default=0),
        look_ahead=story.look_ahead,
        grace=story.grace,
        dedup_window=timedelta(days=400),
        rollback=rollback,
        renderer=Dollars(),
        tell=tell,
    )


class World:
    """A database and the oracles that may be right about it: more than one after a lost answer."""

    def __init__(self, clock: Clock, story: steps.Story) -> None:
        self.story = story
        self.clock = clock
        database = clock.database
        dsn = f"{database.dsn} options='-c TimeZone={story.session_zone}'"
        self.client = Client(lambda: psycopg.connect(dsn))
        self._dsn = dsn
        self._look = psycopg.connect(database.dsn, autocommit=True, row_factory=dict_row)
        self.now = steps.STARTS[story.start]
        self.codes = [{name: steps.first_definition(name) for name in steps.NAMES} for _ in range(2)]
        self._empty()
        self.oracles = [Oracle(story.look_ahead, story.grace, spread, set(steps.QUEUES))]

    def run(self) -> None:
        """Run the story; raises Wrong at the first step after which something is not as promised."""
        try:
            for number, step in enumerate(self.story.steps):
                steps.told["on Postgres"] += 1
                try:
                    self.do(step)
                except Wrong as wrong:
                    raise Wrong(f"step {number}, {step}, at {self.now}: {wrong}") from None
        finally:
            self._look.close()

    # -- One method for each kind of step.

    @singledispatchmethod
    def do(self, step: Any) -> None:
        """Do a step to the database and to the oracle, and compare."""
        raise NotImplementedError(step)

    @do.register
    def _(self, step: steps.Move) -> None:
        self.now += step.by
        self.clock.set(self.now)

    @do.register
    def _(self, step: steps.Deploy) -> None:
        steps.edit(self.codes[step.code], step)
        self.do(steps.Tick(step.code))

    @do.register
    def _(self, step: steps.Tick) -> None:
        code = self.codes[step.code]
        told: list[Told] = []

        def tell(slot: OverdueSlot) -> bool:
            told.append(Told(slot.name, slot.slot, slot.state))
            return True

        tick = tick_of(code, self.story, rollback=step.rollback, tell=tell)
        summary = self._attempt(lambda: tick.run(self.client))

        def promise(oracle: Oracle) -> None:
            counts = oracle.tick(code, self.now, rollback=step.rollback)
            promised, oracle.told = oracle.told, []
            if sorted(promised) != sorted(told):
                raise Wrong(f"told {told}, promised {promised}: {summary}")
            if summary is None:
                raise Wrong("the tick must not be refused")
            if counts.differ(_counts(summary)):
                raise Wrong(f"counted {summary}, promised {counts}")

        self._each(promise, refused=summary is None)

    @do.register
    def _(self, step: steps.CutTick) -> None:
        code = self.codes[step.code]
        tick = tick_of(code, self.story)

        opened: list[CutConnection] = []

        def connect() -> psycopg.Connection[Any]:
            conn = CutConnection.connect(self._dsn)
            conn.pid = conn.info.backend_pid
            if step.each or not opened:
                conn.trips, conn.before = step.trip, step.before
            opened.append(conn)
            return conn

        try:
            summary = self._attempt(lambda: tick.run(Client(connect)))
        except psycopg.OperationalError:
            self._settled(opened)
            self._fork(lambda oracle: _halves(oracle, code, self.now))
            return
        self._settled(opened)
        self._each(
            lambda oracle: oracle.tick(code, self.now, rollback=False, tells=False), refused=summary is None
        )

    @do.register
    def _(self, step: steps.Backfill) -> None:
        code, start = self.codes[step.code], self.now + step.since
        tick = tick_of(code, self.story)
        summary = self._attempt(lambda: tick.backfill(self.client, start, start + step.length))

        def promise(oracle: Oracle) -> None:
            counts = oracle.backfill(code, start, start + step.length, self.now)
            if summary is not None and counts.differ(_counts(summary)):
                raise Wrong(f"counted {summary}, promised {counts}")

        self._each(promise, refused=summary is None)

    @do.register
    def _(self, step: steps.Pause) -> None:
        count = self._attempt(lambda: self.client.run(lambda: job_control.pause(NAMESPACE, step.name)))

        def promise(oracle: Oracle) -> None:
            if (promised := oracle.pause(step.name, self.now)) != count:
                raise Wrong(f"took back {count} messages, promised {promised}")

        self._each(promise, refused=count is None)

    @do.register
    def _(self, step: steps.Resume) -> None:
        done = self._attempt(
            lambda: self.client.run(lambda: job_control.resume(NAMESPACE, step.name)) or True
        )
        self._each(lambda oracle: oracle.resume(step.name, self.now), refused=done is None)

    @do.register
    def _(self, step: steps.Put) -> None:
        definition = steps.put_definition(step)
        self._give(lambda: self._put(definition), lambda oracle: oracle.put(definition, self.now))

    @do.register
    def _(self, step: steps.Delete) -> None:
        self._give(
            lambda: self.client.run(lambda: live_jobs.delete(NAMESPACE, step.name, by="ada")),
            lambda oracle: oracle.delete(step.name, self.now),
        )

    @do.register
    def _(self, step: steps.RunNow) -> None:
        result = self._attempt(
            lambda: self.client.run(lambda: job_control.run_now(NAMESPACE, step.name, renderer=Dollars()))
        )
        if result is None or result.status == "sent":
            self._each(lambda oracle: oracle.run_now(step.name, self.now), refused=result is None)

    @do.register
    def _(self, step: steps.Read) -> None:
        if step.queue not in self._queues:
            return
        count = step.count + 1
        read = self.client.run(
            lambda: reading.read(step.queue, max_messages=count, visibility_timeout=step.timeout)
        )
        ids = [message.msg_id for message in read]

        def promise(oracle: Oracle) -> None:
            if sorted(ids) != oracle.visible(step.queue, self.now)[:count]:
                raise Wrong(f"read {ids}, visible are {oracle.visible(step.queue, self.now)}")
            oracle.read(step.queue, ids, self.now + timedelta(seconds=step.timeout))

        self._each(promise)

    @do.register
    def _(self, step: steps.Early) -> None:
        if message := self._pick(step.queue, step.which, lambda each: each.vt > self.now):
            self._sql("SELECT pgmq.set_vt(%s, %s, 0)", step.queue, message.msg_id)
            self._each(lambda oracle: oracle.set_vt(step.queue, message.msg_id, self.now))

    @do.register
    def _(self, step: steps.Ack) -> None:
        message = self._pick(step.queue, step.which, lambda each: each.read_ct > 0)
        if message is None:
            return
        held = [self._message(message)]
        if step.how == "release":
            self.client.run(lambda: reading.set_vt(step.queue, held, AT_ONCE))
            self._each(lambda oracle: oracle.set_vt(step.queue, message.msg_id, self.now))
            return
        if step.how == "dead_letter":
            letters = dead_letters(step.queue)
            self.client.run(lambda: consuming.dead_letter(step.queue, letters, held, "bad"))
            self._each(lambda oracle: oracle.bury(step.queue, message.msg_id, self.now))
            return
        settle = reading.archive if step.how == "archive" else reading.delete
        self.client.run(lambda: settle(step.queue, held))
        self._each(
            lambda oracle: oracle.gone(
                step.queue, message.msg_id, self.now if step.how == "archive" else None
            )
        )

    @do.register
    def _(self, step: steps.Cancel) -> None:
        message = self._pick(step.queue, step.which, lambda each: each.read_ct == 0 and not each.by_hand)
        if message is None:
            return
        key = f"{NAMESPACE}/{message.name}/{message.slot:%Y-%m-%dT%H:%M:%SZ}"
        ids = self.client.run(lambda: sending.cancel(step.queue, [key]))

        def promise(oracle: Oracle) -> None:
            for msg_id in ids:
                oracle.gone(step.queue, msg_id, self.now)

        self._each(promise)

    @do.register
    def _(self, step: steps.Requeue) -> None:
        if step.queue not in self._queues:
            return
        archived = self._sql(f"SELECT msg_id FROM pgmq.a_{step.queue} ORDER BY msg_id")
        if not archived:
            return
        old = archived[step.which % len(archived)]["msg_id"]
        moved = self.client.run(
            lambda: consuming.requeue(step.queue, source="archive", msg_ids=[old], max_messages=1)
        )
        self._each(lambda oracle: oracle.requeue(step.queue, old, moved[old], self.now))

    @do.register
    def _(self, step: steps.Purge) -> None:
        if step.queue in self._queues:
            self._sql("SELECT pgmq.purge_queue(%s)", step.queue)
            self._each(lambda oracle: oracle.purge(step.queue))

    @do.register
    def _(self, step: steps.Drop) -> None:
        if step.queue in self._queues:
            self._sql("SELECT pgmq.drop_queue(%s)", step.queue)
            self._each(lambda oracle: oracle.drop(step.queue))

    @do.register
    def _(self, step: steps.Create) -> None:
        self.do(steps.Drop(step.queue))
        # Nobody makes a queue twice at the same instant.
        self.do(steps.Move(timedelta(seconds=1)))
        self._create(step.queue)
        self._each(lambda oracle: oracle.create(step.queue, self.now))

    @do.register
    def _(self, step: steps.LoseSchema) -> None:
        self._sql("DROP SCHEMA airflow_pgmq CASCADE")
        self.client.forget("schema")
        self.client.ensure_schema()
        self._each(lambda oracle: oracle.lose_schema())

    # -- The two sides.

    def _put(self, definition: Definition) -> int:
        found = self.client.run(
            lambda: live_jobs.put(NAMESPACE, [job_of(definition)], by="ada", renderer=Dollars())
        )
        return found[definition.name]

    def _give(self, work: Callable[[], Any], promised: Callable[[Oracle], Any]) -> None:
        """Do something whose answer is promised, too."""
        answer = self._attempt(work)

        def promise(oracle: Oracle) -> None:
            if (wanted := promised(oracle)) != answer:
                raise Wrong(f"answered {answer}, promised {wanted}")

        self._each(promise, refused=answer is None)

    def _attempt(self, work: Callable[[], Any]) -> Any:
        """The result of the work; None if it was refused."""
        try:
            return work()
        except (InvalidJobs, JobDeclared, JobNotFound, QueueNotFound):
            return None

    def _each(self, promise: Callable[[Oracle], Any], *, refused: bool = False) -> None:
        """Compare with every oracle that may be right; those that are wrong are removed."""

        def branches(oracle: Oracle) -> list[Oracle]:
            before = oracle.copy() if refused else oracle
            try:
                promise(oracle)
            except Refused as why:
                if not refused:
                    raise Wrong(f"must be refused: {why}") from None
                return [before]
            if refused:
                raise Wrong("must not be refused")
            return [oracle]

        self._fork(branches)

    def _fork(self, branches: Callable[[Oracle], list[Oracle]]) -> None:
        found = self._messages()
        overdue = self._overdue()
        right: list[Oracle] = []
        complaints: list[str] = []
        for oracle in self.oracles:
            try:
                possible = branches(oracle)
            except Wrong as wrong:
                complaints.append(str(wrong))
                continue
            for each in possible:
                try:
                    each.match(found)
                    expecting.match(each, overdue, self.now)
                except Wrong as wrong:
                    complaints.append(str(wrong))
                else:
                    if each not in right:
                        right.append(each)
        if not right:
            raise Wrong("\n or ".join(dict.fromkeys(complaints)))
        self.oracles = right

    @property
    def _queues(self) -> set[str]:
        return self.oracles[0].queues

    def _messages(self) -> list[Actual]:
        return [
            _actual(queue, row)
            for queue in self._queues_there()
            for row in self._sql(f"SELECT * FROM pgmq.q_{queue} ORDER BY msg_id")
        ]

    def _overdue(self) -> list[Told]:
        """What the view lists."""
        return [Told(**row) for row in self._sql("SELECT name, slot, state FROM airflow_pgmq.overdue")]

    def _queues_there(self) -> list[str]:
        found = self._sql("SELECT queue_name FROM pgmq.meta WHERE queue_name NOT LIKE '%_dlq'")
        return [row["queue_name"] for row in found]

    def _pick(self, queue: str, which: int, wanted: Callable[[Actual], bool]) -> Actual | None:
        fitting = [each for each in self._messages() if each.queue == queue and wanted(each)]
        return fitting[which % len(fitting)] if fitting else None

    def _message(self, each: Actual) -> Message:
        (row,) = self._sql(f"SELECT * FROM pgmq.q_{each.queue} WHERE msg_id = %s", each.msg_id)
        known = Message.__dataclass_fields__
        return Message(**{name: value for name, value in row.items() if name in known})

    def _sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        cursor = self._look.execute(statement, values or None)  # type: ignore[call-overload]
        return rows_of(cursor)

    def _settled(self, opened: Iterable[CutConnection]) -> None:
        """End these connections, and wait until the server has noticed it."""
        for conn in opened:
            conn.close()
        pids = [conn.pid for conn in opened]
        wait_until(
            lambda: not self._sql("SELECT FROM pg_stat_activity WHERE pid = ANY (%s)", pids),
            "the connections of a cut tick are gone",
            pause=0.001,
        )

    def _create(self, queue: str) -> None:
        self._sql("SELECT pgmq.create(%s)", queue)
        # Its default is CURRENT_TIMESTAMP, which no schema can shadow.
        self._sql(f"ALTER TABLE pgmq.a_{queue} ALTER archived_at SET DEFAULT clock_timestamp()")

    def _empty(self) -> None:
        self.clock.set(self.now)
        for queue in (*steps.QUEUES, *map(dead_letters, steps.QUEUES)):
            self._sql("SELECT pgmq.drop_queue(%s)", queue)
            self._create(queue)
        tables = self._sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'airflow_pgmq' AND tablename <> 'migrations'"
        )
        for table in tables:
            self._sql(f"TRUNCATE airflow_pgmq.{table['tablename']} CASCADE")


def dead_letters(queue: str) -> str:
    """The queue of its dead letters."""
    return f"{queue}_dlq"


def _counts(summary: ticking.Summary) -> Counts:
    return Counts(
        summary.sent, taken_back=summary.taken_back, expired=summary.expired, dropped=summary.dropped
    )


def _halves(oracle: Oracle, code: Mapping[str, Definition], now: datetime) -> list[Oracle]:
    """What a tick that was cut may have done: nothing, its deploy, and then some of the jobs, or all."""
    looked = oracle.copy()
    # Nobody is told by a tick that is cut.
    expecting.look(looked, now)
    deployed = looked.copy()
    try:
        outdated = deployed.deploy(code, now, Counts(), rollback=False)
    except Refused:
        return [oracle, looked]
    worlds = [oracle, looked, deployed]
    for queue in sorted(deployed.queues):
        deployed = deployed.copy()
        deployed.pause_dead(queue, outdated, now, Counts())
        worlds.append(deployed)
    parts = [deployed.copy()]
    for name in sorted(deployed.jobs):
        if name not in outdated:
            more = []
            for part in parts:
                done = part.copy()
                done.send_due(name, now, Counts(), ahead=done.look_ahead)
                more.append(done)
            parts += more
    for part in parts:
        closed = part.copy()
        closed.close(code, now)
        worlds += [part, closed]
    return worlds


def _actual(queue: str, row: Mapping[str, Any]) -> Actual:
    headers = dict(row["headers"])
    key = headers.pop("dedup_key")
    name, slot = headers.pop("job"), datetime.fromisoformat(headers.pop("slot").replace("Z", "+00:00"))
    by_hand = "/now/" in key
    if headers.pop("namespace") != NAMESPACE:
        raise Wrong(f"namespace: {row}")
    if not by_hand and key != f"{NAMESPACE}/{name}/{slot:%Y-%m-%dT%H:%M:%SZ}":
        raise Wrong(f"key and slot differ: {row}")
    expires_at = headers.pop("expires_at", None)
    return Actual(
        queue,
        row["msg_id"],
        name,
        slot,
        by_hand,
        row["vt"].astimezone(UTC),
        row["read_ct"],
        row["message"],
        {name: value for name, value in headers.items() if name != "version"},
        headers["version"],
        expires_at and datetime.fromisoformat(expires_at.replace("Z", "+00:00")),
    )
