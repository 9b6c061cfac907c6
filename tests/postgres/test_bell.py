"""What a doorbell sees of a queue: visible messages, the next one, and what readers hold."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from airflow_pgmq.core.bell import Head, Sight
from airflow_pgmq.core.delays import AT_ONCE
from airflow_pgmq.db.client import LockNotAvailable
from airflow_pgmq.db.statements import reading, watching
from airflow_pgmq.db.statements.watching import Ask
from airflow_pgmq.hooks import PgmqHook
from tests.fixtures.factories import execute


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook(pgmq_connection)
    hook.create_queue("q")
    return hook


def look(hook: PgmqHook, **conditions: Any) -> Sight:
    return hook.client.run(lambda: watching.sight(Ask.of("q", **conditions)))


def held(hook: PgmqHook, **conditions: Any) -> int:
    seen = look(hook, **conditions).held
    return seen.count if seen else 0


def test_an_empty_queue(hook):
    assert look(hook) == Sight(0)


def test_visible_messages_and_the_next_of_them(hook):
    hook.send_batch("q", [{"n": n} for n in range(3)])
    seen = look(hook)
    assert (seen.visible, seen.head, seen.held) == (3, Head(1, 0), None)
    assert seen.oldest is not None
    # A message whose visibility timeout ended is the next one again.
    hook.read("q", visibility_timeout=0)
    assert look(hook).head == Head(1, 1)


def test_what_readers_hold(hook):
    hook.send_batch("q", [{"n": n} for n in range(3)])
    messages = hook.read("q", max_messages=2, visibility_timeout=60)
    seen = look(hook)
    assert (seen.visible, seen.head) == (1, Head(3, 0))
    assert seen.held.count == 2
    assert seen.held.until == max(each.vt for each in messages)
    hook.extend("q", messages, visibility_timeout=90)
    assert look(hook).held.until > seen.held.until


def test_what_was_sent_with_a_delay_is_held_by_nobody(hook):
    hook.send("q", {}, delay=60)
    assert look(hook) == Sight(0)


def test_the_slots_that_are_visible_the_earliest_ones(hook):
    def named(**conditions: Any) -> list[str]:
        return hook.client.run(lambda: watching.visible_slots(Ask.of("q", **conditions)))

    assert named() == []
    minutes = [f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00Z" for minute in range(150)]
    slots = [{"slot": slot, "job": job} for slot in reversed(minutes) for job in ("a", "b")]
    hook.send_batch("q", [{}] * 300, headers=slots)
    assert named() == minutes[:100]
    hook.purge("q")
    # What others send is no slot of ours, whatever it is.
    others: list[Any] = [{"slot": "soon"}, {"slot": {"at": minutes[0]}}, {"slot": None}, None]
    hook.send_batch("q", [{}] * 4, headers=others)
    hook.send("q", {}, headers={"slot": minutes[2], "job": "a"})
    hook.send("q", {}, headers={"slot": minutes[1], "job": "b"})
    hook.send("q", {}, headers={"slot": minutes[0], "job": "a"}, delay=60)
    assert named() == minutes[1:3]
    assert named(headers_condition={"job": "b"}) == [minutes[1]]


@pytest.mark.parametrize("untried", [True, False])
def test_what_was_given_back_for_later_is_held_by_nobody(hook, database, untried):
    hook.send("q", {})
    hook.release("q", hook.read("q"), delay=timedelta(minutes=5), untried=untried)
    assert look(hook) == Sight(0)
    # The next reader holds it, whatever its header says about the read before.
    execute(database, "UPDATE pgmq.q_q SET vt = now()")
    assert held(hook) == 0
    (again,) = hook.read("q")
    assert again.headers["released_read"] == [1, 1]
    assert held(hook) == 1


def test_what_is_given_back_at_once_carries_no_mark(hook):
    hook.send("q", {}, headers={"a": 1})
    hook.release("q", hook.read("q"))
    assert [each.headers for each in hook.read("q")] == [{"a": 1}]


def test_odd_headers_are_left_alone(hook, database):
    execute(
        database, "INSERT INTO pgmq.q_q (vt, message, headers) VALUES (now(), '1', '[1]'), (now(), '2', '3')"
    )
    hook.release("q", hook.read("q", max_messages=2), delay=60)
    assert [row["headers"] for row in execute(database, "SELECT headers FROM pgmq.q_q ORDER BY msg_id")] == [
        [1],
        3,
    ]
    assert held(hook) == 2


def test_a_dead_letter_and_a_requeued_message_carry_no_mark(hook):
    hook.create_queue("q_dlq")
    hook.send("q", {})
    hook.release("q", hook.read("q"), delay=60, untried=True)
    hook.dead_letter("q", [1], reason="no")
    (letter,) = hook.read("q_dlq")
    assert letter.headers.keys() == {"dead_letter"}

    hook.send("q", {})
    hook.release("q", hook.read("q"), delay=60)
    hook.archive("q", [2])
    hook.requeue("q", source="archive", msg_ids=[2])
    assert [each.headers for each in hook.read("q")] == [{}]


def test_only_what_is_asked_for_counts(hook):
    hook.send_batch("q", [{"n": 1}, {"n": 2}], headers={"region": "eu"})
    hook.read("q", condition={"n": 1}, visibility_timeout=60)
    assert look(hook, condition={"n": 1}).visible == 0
    assert held(hook, condition={"n": 1}) == 1
    assert held(hook, condition={"n": 2}) == 0
    assert look(hook, condition={"n": 2}, headers_condition={"region": "eu"}).head == Head(2, 0)
    assert look(hook, headers_condition={"region": "us"}) == Sight(0)


def test_times_beyond_all_others(hook, database):
    execute(
        database,
        "INSERT INTO pgmq.q_q (vt, read_ct, enqueued_at, message) VALUES"
        " ('infinity', 1, now(), '1'), ('-infinity', 0, '-infinity', '2')",
    )
    seen = look(hook)
    assert (seen.visible, seen.oldest, seen.held.count, seen.held.until) == (1, None, 1, None)


def test_a_mark_in_forwarded_headers_says_nothing_of_the_new_message(hook):
    hook.create_queue("next")
    hook.send_batch("next", [1])
    hook.send("q", {})
    hook.release("q", hook.read("q"), delay=1)
    hook.client.run(lambda: reading.set_vt("q", [1], AT_ONCE))
    (message,) = hook.read("q")
    hook.send("next", message.message, headers=message.headers)
    hook.read("next", max_messages=2, visibility_timeout=60)
    seen = hook.client.run(lambda: watching.sight(Ask.of("next")))
    assert seen.held.count == 2


def test_a_watcher_does_not_wait_for_a_locked_queue(hook, database):
    async def scenario() -> None:
        watcher = await hook.watcher()
        with database.connect() as other:
            other.execute("LOCK pgmq.q_q")
            with pytest.raises(LockNotAvailable):
                await watcher.look(watching.sight(Ask.of("q")))
        assert (await watcher.look(watching.sight(Ask.of("q")))).visible == 0

    asyncio.run(scenario())
