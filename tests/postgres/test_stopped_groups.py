"""Groups that stop at a dead message, and go on when somebody says so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.groups import GroupCursor
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.outcomes import Outcome
from airflow_pgmq.db.statements import consuming, reading, stopped_groups, watching
from airflow_pgmq.db.statements.watching import Ask
from airflow_pgmq.errors import GroupIndexMissing, InvalidArgument
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services import overview
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import execute
from tests.fixtures.patience import wait_until
from tests.fixtures.postgres import Database

QUEUE = "orders"


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook(pgmq_connection)
    hook.create_queue(QUEUE)
    return hook


def put(hook: PgmqHook) -> None:
    """Messages 1 to 3 of group a, 4 and 5 of group b, 6 of none."""
    hook.send_batch(QUEUE, [1, 2, 3], group="a")
    hook.send_batch(QUEUE, [4, 5], group="b")
    hook.send(QUEUE, 6)


def drain(hook: PgmqHook, work: Any, **fields: Any) -> tuple[list[int], Any]:
    """What was worked on, and the summary."""
    seen: list[int] = []

    def one(messages: list[Message], conn: Any) -> Any:
        seen.extend(each.msg_id for each in messages)
        return work(messages[0])

    policy = Policy(**{"queue_name": QUEUE, "groups": GroupCursor(""), "on_dead": "stop_group", **fields})
    summary = Consumer(hook.client, policy, together=False).drain(one)
    return seen, summary


def refuse(*msg_ids: int) -> Any:
    return lambda message: Outcome.dead("wrong") if message.msg_id in msg_ids else None


@pytest.mark.parametrize("transactional", [False, True])
def test_a_dead_message_stops_its_group_and_no_other(hook: PgmqHook, transactional: bool) -> None:
    put(hook)
    seen, summary = drain(hook, refuse(1, 6), transactional=transactional)
    assert (sorted(seen), summary.dead, summary.acked) == ([1, 4, 5, 6], 2, 2)
    [stopped] = hook.stopped_groups(QUEUE)
    assert (stopped.group, stopped.msg_id, stopped.tries, stopped.reason) == ("a", 1, 1, "wrong")
    assert stopped.stopped_at is not None
    # One without a group is a dead letter as ever.
    assert [each.message for each in hook.peek(f"{QUEUE}_dlq")] == [6]
    assert drain(hook, refuse())[0] == []


def test_it_goes_on_with_the_message_as_if_it_had_not_been_tried(hook: PgmqHook) -> None:
    put(hook)
    hook.resume_group(QUEUE, "a")
    drain(hook, refuse(1))
    assert hook.resume_group(QUEUE, "a") is True
    assert hook.resume_group(QUEUE, "a") is hook.resume_group(QUEUE, "b") is False
    [again] = hook.read(QUEUE, ordered=True, visibility_timeout=0)
    assert (again.msg_id, again.read_ct, again.tries) == (1, 2, 1)
    assert set(again.headers or {}) == {"x-pgmq-group", "untried"}
    assert drain(hook, refuse())[0] == [1, 2, 3]


def test_or_without_it(hook: PgmqHook) -> None:
    put(hook)
    drain(hook, refuse(1, 4), max_reads=None)
    assert hook.resume_group(QUEUE, "a", as_dead_letter=True) is True
    assert hook.resume_group(QUEUE, "a", as_dead_letter=True) is False
    [letter] = hook.peek(f"{QUEUE}_dlq")
    assert letter.message == 1
    assert letter.headers is not None
    assert letter.headers["dead_letter"]["reason"] == "wrong"
    assert "stopped" not in letter.headers
    assert [each.group for each in hook.stopped_groups(QUEUE)] == ["b"]
    assert drain(hook, refuse())[0] == [2, 3]
    # Back in the queue it is the last one of its group.
    hook.requeue(QUEUE)
    assert drain(hook, refuse())[0] == [7]


def test_its_last_try_stops_a_group(hook: PgmqHook) -> None:
    hook.send_batch(QUEUE, [1, 2], group="a")

    def fail(message: Message) -> None:
        raise ValueError("not today")

    for tries in (1, 2):
        drain(hook, fail, max_reads=2, backoff=0, max_batches=1)
        assert len(hook.stopped_groups(QUEUE)) == tries - 1
    [stopped] = hook.stopped_groups(QUEUE)
    assert (stopped.tries, stopped.reason) == (2, "ValueError: not today")


def test_a_message_that_kills_its_readers_stops_its_group(hook: PgmqHook, database: Database) -> None:
    put(hook)
    execute(database, "UPDATE pgmq.q_orders SET read_ct = 5 WHERE msg_id = 1")
    seen, _ = drain(hook, refuse())
    assert 1 not in seen
    assert [each.msg_id for each in hook.stopped_groups(QUEUE)] == [1]


def test_a_block_of_the_hook_stops_it_too(hook: PgmqHook) -> None:
    put(hook)
    with (
        pytest.raises(ValueError, match="no"),
        hook.consume(QUEUE, ordered=True, on_dead="stop_group", max_reads=1),
    ):
        raise ValueError("no")
    assert len(hook.stopped_groups(QUEUE)) == 1


def test_nobody_waits_for_it_and_nobody_holds_it(hook: PgmqHook) -> None:
    hook.send_batch(QUEUE, [1, 2], group="a")
    drain(hook, refuse(1))
    ask = Ask.of(QUEUE, ordered=True)
    sight = hook.client.run(lambda: watching.sight(ask))
    assert (sight.visible, sight.held) == (0, None)
    hook.resume_group(QUEUE, "a")
    assert hook.client.run(lambda: watching.sight(ask)).visible == 1


def test_a_late_worker_cannot_stop_anothers_message(hook: PgmqHook) -> None:
    put(hook)
    [mine] = hook.read(QUEUE, ordered=True, visibility_timeout=0)
    while hook.read(QUEUE, max_messages=9, ordered=True):
        pass
    assert hook.client.run(lambda: stopped_groups.stop(QUEUE, [mine], ["no"])) == []


def test_whether_a_lost_commit_was_done_is_known(hook: PgmqHook) -> None:
    put(hook)
    policy = Policy(queue_name=QUEUE, groups=GroupCursor(""), on_dead="stop_group", transactional=True)
    messages = [each for each in hook.read(QUEUE, max_messages=9, ordered=True) if each.msg_id != 6]
    decided = [(message, Outcome.dead("no")) for message in messages]
    assert hook.client.run(lambda: consuming.was_committed(policy, decided)) is False
    hook.client.run(lambda: consuming.settle(policy, decided))
    assert hook.client.run(lambda: consuming.was_committed(policy, decided)) is True
    # Again, since the answer was lost.
    assert hook.client.run(lambda: consuming.settle(policy, decided, again=True)) == [1, 4]
    assert len(hook.stopped_groups(QUEUE)) == 2


@pytest.mark.parametrize("group", ["x" * 600, "'; --", "Ü"])
def test_groups_of_any_name(hook: PgmqHook, group: str) -> None:
    hook.send(QUEUE, 1, group=group)
    drain(hook, refuse(1))
    assert hook.resume_group(QUEUE, group)


def test_it_needs_order() -> None:
    with pytest.raises(InvalidArgument, match="needs ordered=True"):
        Policy(queue_name=QUEUE, on_dead="stop_group")
    with pytest.raises(InvalidArgument, match="'go_on' or 'stop_group'"):
        Policy(queue_name=QUEUE, groups=GroupCursor(), on_dead="stop")  # type: ignore[arg-type]


def test_other_clients_may_end_it(hook: PgmqHook) -> None:
    put(hook)
    drain(hook, refuse(1))
    hook.client.run(lambda: reading.delete(QUEUE, [1]))
    assert hook.stopped_groups(QUEUE) == []
    assert drain(hook, refuse())[0] == [2, 3]


def by_group(hook: PgmqHook, **options: Any) -> dict[str, tuple[str, int, int]]:
    return {each.group: (each.state, each.msg_id, each.messages) for each in hook.groups(QUEUE, **options)}


def test_groups_and_what_holds_them_back(hook: PgmqHook) -> None:
    with pytest.raises(GroupIndexMissing, match="index_groups"):
        hook.groups(QUEUE)
    hook.index_groups(QUEUE)
    assert hook.groups(QUEUE) == []
    put(hook)
    drain(hook, refuse(1, 6), batch_size=9, max_batches=1)
    for number in (7, 8):
        hook.send(QUEUE, number, group="late", delay=60)
    hook.send(QUEUE, 9, group="next")
    [mine] = [each for each in hook.read(QUEUE, max_messages=9, ordered=True) if each.message == 5]
    hook.send(QUEUE, 10, group="failed")
    with pytest.raises(ValueError, match="no"), hook.consume(QUEUE, ordered=True):
        raise ValueError("no")
    assert by_group(hook) == {
        "a": ("stopped", 1, 3),
        "late": ("delayed", 7, 2),
        "b": ("with_reader", mine.msg_id, 1),
        "next": ("with_reader", 9, 1),
        "failed": ("retry", 10, 1),
    }
    first, *others = hook.groups(QUEUE)
    assert (first.group, first.until, first.reason) == ("a", None, "wrong")
    assert all(each.until is not None and each.reason is None for each in others)
    hook.release(QUEUE, [9])
    assert by_group(hook)["next"] == ("ready", 9, 1)
    assert list(by_group(hook, limit=1)) == ["a"]
    assert by_group(hook, limit=0) == {}


def test_of_many_groups_those_that_are_held_back_are_found(hook: PgmqHook) -> None:
    hook.index_groups(QUEUE)
    for number in range(300):
        hook.send(QUEUE, number, group=f"group{number:03}")
    hook.send(QUEUE, 1, group="zebra")
    drain(hook, lambda message: Outcome.dead("no") if message.headers["x-pgmq-group"] == "zebra" else "retry")
    found = hook.groups(QUEUE, limit=20)
    assert (len(found), found[0].group, found[0].state) == (20, "zebra", "stopped")


def test_a_commit_that_is_still_running_is_waited_for(hook: PgmqHook, database: Database) -> None:
    put(hook)
    policy = Policy(queue_name=QUEUE, groups=GroupCursor(""), on_dead="stop_group", transactional=True)
    [message] = hook.read(QUEUE, ordered=True)
    decided = [(message, Outcome.dead("no"))]
    with hook.client.transaction() as conn, ThreadPoolExecutor(1) as pool:
        hook.client.run(lambda: consuming.settle(policy, decided), conn)
        asked = pool.submit(lambda: hook.client.run(lambda: consuming.was_committed(policy, decided)))
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
        wait_until(lambda: execute(database, waiting, [database.name]), "it waits")
        conn.commit()
        assert asked.result(20) is True
    assert len(hook.stopped_groups(QUEUE)) == 1


def test_only_resuming_lets_a_group_go_on(hook: PgmqHook) -> None:
    put(hook)
    drain(hook, refuse(1))
    [stopped] = hook.peek(QUEUE, msg_id=1)
    assert hook.release(QUEUE, [1]) == hook.extend(QUEUE, [stopped], visibility_timeout=1) == []
    assert len(hook.stopped_groups(QUEUE)) == 1
    # What others have hidden for ever can be released.
    hook.send(QUEUE, 7)
    with hook.get_conn() as conn:
        conn.execute("UPDATE pgmq.q_orders SET vt = 'infinity', headers = NULL WHERE msg_id = 7")
    assert hook.release(QUEUE, [7]) == [7]


def test_a_group_that_another_reader_stopped_at_a_later_message(hook: PgmqHook) -> None:
    hook.index_groups(QUEUE)
    hook.send_batch(QUEUE, [1, 2], group="a")
    first, second = hook.read(QUEUE, max_messages=2)
    hook.client.run(lambda: stopped_groups.stop(QUEUE, [second], ["no"]))
    hook.release(QUEUE, first)
    [group] = hook.groups(QUEUE)
    assert (group.state, group.msg_id, group.reason) == ("stopped", 2, "no")


def test_a_role_that_stops_groups_needs_no_dead_letter_queue(hook: PgmqHook) -> None:
    hook.send(QUEUE, 1, group="a")
    drain(hook, refuse(1), max_reads=None)
    assert [each.queue_name for each in hook.list_queues()] == [QUEUE]


def test_hidden_values_are_not_in_the_reason(hook: PgmqHook) -> None:
    hook.send(QUEUE, {"password": "hunter2"}, group="a")
    drain(hook, lambda message: Outcome.dead("bad password hunter2"))
    found = overview.groups(hook.client, QUEUE, keys={"password"})["groups"]
    assert [each["reason"] for each in found] == ["bad password ***"]
    search = overview.Search(queue_name=QUEUE, peek=True)
    [shown] = overview.messages(hook.client, search, keys=frozenset({"password"}))["messages"]
    assert shown["headers"]["stopped"]["reason"] == "bad password ***"
