"""The acked stream on Airflow's own manager and a real server: what is archived, and what must not be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fixtures.factories import execute
from tests.fixtures.patience import within
from tests.fixtures.postgres import Database

pytest.importorskip("airflow.triggers.shared_stream", reason="new in Airflow 3.3")

from airflow_pgmq import compat
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.triggers import PgmqEventTrigger, shared_stream
from airflow_pgmq.triggers.in_flight import InFlight
from tests.fixtures.runner import Runner


@pytest.fixture
def hook(pgmq_connection: str, monkeypatch: pytest.MonkeyPatch) -> PgmqHook:
    monkeypatch.setattr(shared_stream, "GATHERING_TIME", 0.05)
    hook = PgmqHook()
    hook.create_queue("q")
    return hook


def watching(**parameters: Any) -> PgmqEventTrigger:
    short = {"queue_name": "q", "deliver": "payload", "quiet_after": 0.5, "visibility_timeout": 3}
    return PgmqEventTrigger(**{**short, **parameters})


async def until(condition: Callable[[], Any], timeout: float = 15) -> None:
    async def look() -> None:
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)

    await within(look(), timeout)


def run(scenario: Callable[..., Awaitable[None]], **parameters: Any) -> None:
    """Run a scenario with a runner, and end the runner after it."""

    async def main() -> None:
        runner = Runner(**parameters)
        try:
            await scenario(runner)
        finally:
            await runner.stop()

    asyncio.run(main())


def queued(database: Database) -> list[dict[str, Any]]:
    statement = "SELECT msg_id, read_ct, vt <= clock_timestamp() AS visible FROM pgmq.q_q ORDER BY msg_id"
    return execute(database, statement)


def archived(database: Database) -> int:
    return execute(database, "SELECT count(*) AS n FROM pgmq.a_q")[0]["n"]


def test_one_reader_feeds_watchers_with_conditions_of_their_own(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send_batch("q", [{"n": n} for n in range(3)])
        for n in (0, 1):
            runner.start(f"only {n}", watching(condition={"n": n}))
        runner.start("all", watching())
        await until(lambda: archived(database) == 3)
        assert [message["message"]["n"] for message in runner.messages("only 1")] == [1]
        assert [message["message"]["n"] for message in runner.messages("all")] == [0, 1, 2]

    run(scenario)


def test_in_order_a_groups_messages_come_one_after_the_other(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send_batch("q", list(range(6)), group="a")
        hook.send_batch("q", list(range(6, 9)), group="b")
        runner.start("all", watching(ordered=True, visibility_timeout=30))
        out = 0
        while archived(database) < 9:
            held = [row["msg_id"] for row in queued(database) if not row["visible"]]
            out = max(out, sum(msg_id <= 6 for msg_id in held))
            await asyncio.sleep(0.01)
        assert out == 1
        seen = [message["message"] for message in runner.messages("all")]
        assert [each for each in seen if each < 6] == list(range(6))
        assert [each for each in seen if each >= 6] == list(range(6, 9))

    run(scenario)


@pytest.mark.parametrize("unmatched", ["release", "archive", "dead_letter"])
def test_what_nobody_wants_is_dealt_with_as_chosen(database, hook, unmatched):
    async def scenario(runner: Runner) -> None:
        hook.send_batch("q", [{"n": 1}, {"n": 2}])
        runner.start("picky", watching(condition={"n": 1}, unmatched=unmatched))
        await until(lambda: archived(database) == (2 if unmatched == "archive" else 1))
        if unmatched == "dead_letter":
            await until(lambda: not queued(database))
            [dead] = await asyncio.to_thread(hook.read, "q_dlq")
            assert dead.message == {"n": 2}
            assert dead.headers["dead_letter"]["reason"] == "no asset watcher wants it"

    run(scenario)
    if unmatched == "release":
        assert [(row["read_ct"], row["visible"]) for row in queued(database)] == [(1, False)]


def test_an_event_that_is_not_stored_keeps_the_message(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send("q", {})
        runner.start("all", watching())
        await until(lambda: runner.events["all"])
        await runner.stop()
        await until(lambda: queued(database)[0]["visible"])

    run(scenario, confirm_after=None)
    assert archived(database) == 0


def test_a_watcher_cancelled_before_its_event_is_taken_keeps_the_message(database, hook):
    """Airflow counts the message as accepted, and no event was made of it."""

    async def scenario(runner: Runner) -> None:
        runner.may_take.clear()
        hook.send_batch("q", [{}, {}])
        runner.start("all", watching())
        await until(lambda: len([row for row in queued(database) if not row["visible"]]) == 2)
        # The filter has come to its first message by now, which is not taken from it.
        await asyncio.sleep(0.3)
        await runner.stop()
        assert runner.events["all"] == []
        await until(lambda: all(row["visible"] for row in queued(database)))

    run(scenario)
    assert archived(database) == 0


def test_unmatched_messages_are_not_archived_by_a_cancelled_watcher(database, hook):
    async def scenario(runner: Runner) -> None:
        runner.may_take.clear()
        hook.send_batch("q", [{"n": 1}, {"n": 2}])
        runner.start("picky", watching(condition={"n": 1}, unmatched="archive", per="batch"))
        await until(lambda: len([row for row in queued(database) if not row["visible"]]) == 2)
        # As above.
        await asyncio.sleep(0.3)
        await runner.stop()

    run(scenario)
    assert archived(database) == 0
    assert len(queued(database)) == 2


def test_after_an_ack_timeout_the_message_comes_again_and_says_so(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send("q", {})
        runner.start("all", watching())
        await until(lambda: isinstance(runner.failure("all"), Exception))
        await runner.stop()
        runner.confirm_after = 0.02
        runner.start("all", watching())
        await until(lambda: archived(database) == 1)
        assert [message["read_ct"] for message in runner.messages("all")] == [1, 2]

    run(scenario, confirm_after=None, ack_timeout=0.5)


def test_no_more_are_in_flight_than_allowed(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send_batch("q", [{"n": n} for n in range(40)])
        runner.start("all", watching(max_in_flight=5))
        peak = 0

        def is_done() -> bool:
            nonlocal peak
            peak = max(peak, sum(not row["visible"] for row in queued(database)))
            return archived(database) == 40

        await until(is_done)
        # One more: the last message of the burst waits for the event that follows the burst.
        assert 1 < peak <= 6
        assert len(runner.messages("all")) == 40

    run(scenario, confirm_after=0.1)


def test_the_more_often_messages_were_read_the_fewer_are_in_flight(database, hook):
    """One of them may be what ends the triggerer, and the others are not to become dead letters with it."""

    async def scenario(runner: Runner) -> None:
        hook.send_batch("q", [{"n": n} for n in range(20)])
        execute(database, "UPDATE pgmq.q_q SET read_ct = 5 WHERE msg_id <= 10")
        runner.start("all", watching(batch_size=16, max_in_flight=16))
        peak = 0

        def is_done() -> bool:
            nonlocal peak
            rows = queued(database)
            if rows and rows[0]["msg_id"] <= 8:
                peak = max(peak, sum(not row["visible"] for row in rows))
            return archived(database) == 20

        await until(is_done)
        # 16 halved three times, and the tail of the burst.
        assert 1 <= peak <= 3
        assert len(runner.messages("all")) == 20

    run(scenario, confirm_after=0.1)


def test_one_at_a_time(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send_batch("q", [{"n": n} for n in range(5)])
        runner.start("all", watching(max_in_flight=1))
        await until(lambda: archived(database) == 5)

    run(scenario)


def test_a_slow_airflow_does_not_make_messages_come_again(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send("q", {})
        runner.start("all", watching(visibility_timeout=1))
        await until(lambda: archived(database) == 1)
        assert [message["read_ct"] for message in runner.messages("all")] == [1]

    run(scenario, confirm_after=3)


def test_a_message_that_somebody_else_has_read_meanwhile_is_theirs(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send("q", {})
        runner.start("all", watching(visibility_timeout=60))
        await until(lambda: runner.events["all"])
        execute(database, "UPDATE pgmq.q_q SET vt = now() + interval '1 hour', read_ct = 2")
        hook.send("q", {})
        await until(lambda: archived(database) == 1)

    run(scenario, confirm_after=1)
    assert [(row["msg_id"], row["read_ct"]) for row in queued(database)] == [(1, 2)]


def test_a_message_that_is_gone_ends_nothing(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send("q", {"n": 1})
        runner.start("all", watching())
        await until(lambda: runner.events["all"])
        execute(database, "DELETE FROM pgmq.q_q")
        hook.send("q", {"n": 2})
        await until(lambda: archived(database) == 1)
        assert runner.failure("all") is None

    run(scenario, confirm_after=0.5)


@pytest.mark.skipif(compat.keeps_every_event(), reason="this Airflow loses no event, so none follow")
def test_events_follow_a_burst_and_hold_its_last_message_until_then(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send_batch("q", [{}, {}, {}])
        runner.start("all", watching())
        await until(lambda: archived(database) == 2)
        await until(lambda: len(runner.events["all"]) == 4)
        assert len(queued(database)) == 1
        await until(lambda: archived(database) == 3)
        assert [len(event["messages"]) for event in runner.events["all"]] == [1, 1, 1, 0, 0]

    run(scenario)


def test_no_event_follows_one_that_came_alone(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send("q", {})
        runner.start("all", watching())
        await until(lambda: archived(database) == 1)
        # Twice `quiet_after`, after which the event would follow.
        await asyncio.sleep(1)
        assert len(runner.events["all"]) == 1

    run(scenario)


@pytest.mark.skipif(compat.keeps_every_event(), reason="this Airflow loses no event, so none follow")
def test_the_event_that_follows_a_burst_survives_its_triggerer(database, hook):
    """The last message of the burst comes again, and is a later event of its own."""

    async def scenario(runner: Runner) -> None:
        hook.send_batch("q", [{"n": 1}, {"n": 2}])
        runner.start("all", watching(quiet_after=60))
        await until(lambda: archived(database) == 1)
        await runner.stop()
        runner.start("all", watching(quiet_after=0.5))
        await until(lambda: archived(database) == 2)
        assert [(m["message"]["n"], m["read_ct"]) for m in runner.messages("all")] == [(1, 1), (2, 1), (2, 2)]

    run(scenario)


def test_what_was_read_too_often_goes_to_the_dead_letters(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send_batch("q", [{"n": 1}, {"n": 2}])
        execute(database, "UPDATE pgmq.q_q SET read_ct = 3 WHERE msg_id = 1")
        runner.start("all", watching(max_reads=3))
        await until(lambda: not queued(database))
        assert [message["message"]["n"] for message in runner.messages("all")] == [2]
        [dead] = await asyncio.to_thread(hook.read, "q_dlq")
        assert dead.headers["dead_letter"]["reason"] == "tried 4 times"

    run(scenario)


def test_what_is_read_again_while_it_is_given_back_is_a_message_of_its_own(hook):
    """It would be held, and shown to nobody."""
    hook.send("q", {})

    async def scenario() -> None:
        in_flight = InFlight(watching())
        (message,) = hook.read("q", visibility_timeout=0)
        held = in_flight.add(message)
        assert in_flight.add(message) is None
        in_flight.decide("release", held)
        (again,) = hook.read("q", visibility_timeout=0)
        new = in_flight.add(again)
        assert new is not None
        assert new.message is again
        in_flight.decide("archive", new)
        assert in_flight.add(again) is None

    asyncio.run(scenario())


def test_reads_for_which_no_watcher_matched_do_not_count(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send("q", {"n": 1})
        runner.start("none", watching(condition={"n": 2}, max_reads=2, unmatched_delay=0))
        await until(lambda: queued(database)[0]["read_ct"] > 3)
        # The last read may not be given back yet. A watcher that ends in the middle of it is a try.
        [row] = execute(database, "SELECT read_ct, (headers ->> 'untried')::int AS untried FROM pgmq.q_q")
        assert row["read_ct"] - row["untried"] <= 1

    run(scenario)
    assert execute(database, "SELECT to_regclass('pgmq.q_q_dlq') AS dead") == [{"dead": None}]


def test_expired_messages_are_archived_without_processing(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send("q", {"n": 1}, headers={"expires_at": "2020-01-01T00:00:00Z"})
        hook.send("q", {"n": 2})
        runner.start("all", watching())
        await until(lambda: archived(database) == 2)
        assert [message["message"]["n"] for message in runner.messages("all")] == [2]

    run(scenario)


def test_a_large_message_is_in_its_event_by_reference(database, hook):
    async def scenario(runner: Runner) -> None:
        hook.send("q", {"text": "x" * 2000})
        runner.start("all", watching(max_event_bytes=1000))
        await until(lambda: archived(database) == 1)
        [message] = runner.messages("all")
        assert (message["message"], message["by_reference"]) == (None, True)

    run(scenario)


def test_a_missing_queue_is_waited_for(database, hook, caplog):
    async def scenario(runner: Runner) -> None:
        runner.start("all", watching(queue_name="later"))
        await until(lambda: "trying again until it works" in caplog.text)
        hook.create_queue("later")
        hook.send("later", {})
        await until(lambda: runner.events["all"])
        assert runner.failure("all") is None

    run(scenario)
