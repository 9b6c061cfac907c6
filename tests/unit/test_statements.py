"""Which statements run, in which order, and how their rows are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import count as count_up
from typing import Any

import pytest

from airflow_pgmq.core import batch as batches
from airflow_pgmq.core.batch import Batch, prepare
from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.delays import AT_ONCE, ParsedDelay
from airflow_pgmq.core.deploys import Stored
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.outcomes import Outcome
from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.core.slot_messages import outgoing
from airflow_pgmq.core.slots import Window
from airflow_pgmq.db.sql import migrations, queries
from airflow_pgmq.db.statements import (
    Flow,
    Statement,
    announcing,
    consuming,
    fifo,
    incarnations,
    overdue,
    periodic,
    queues,
    reading,
    schema,
    sending,
    throttles,
    topics,
    transfers,
)
from airflow_pgmq.errors import (
    DuplicateMessage,
    FeatureMissing,
    GuardMissing,
    InvalidArgument,
    InvalidName,
    NotInstalled,
    NotSent,
    PermissionDenied,
    QueueNotFound,
)
from tests.unit.support import utc

Rows = Sequence[Mapping[str, Any]]

NOON = utc("2026-06-01 12:00")
EARLIER = NOON - timedelta(hours=1)
WINDOW = timedelta(days=7)
TICK = Window(NOON, NOON, WINDOW)
JOB = PeriodicJob(name="report", cron="0 7 * * *", queue_name="mail", overlap="skip")
OVERDUE = OverdueSlot(
    namespace="reports",
    name="report",
    slot=EARLIER,
    queue_name="mail",
    msg_id=1,
    expected_at=NOON,
    state="waiting",
)


class Played:
    """Runs a flow with given answers, or a function that makes them; `ran` has its statements."""

    def __init__(self, flow: Flow[Any], *answers: Rows | Callable[[Statement[Any]], Rows]) -> None:
        self.ran: list[Statement[Any]] = []
        self.result: Any = None
        left = list(answers)
        try:
            statement = next(flow)
            while True:
                self.ran.append(statement)
                answer = left.pop(0)
                rows = answer(statement) if callable(answer) else answer
                # All that is claimed is stored, unless a test says otherwise.
                rows = [{"stored": len(row["msg_ids"]), **row} if row.get("msg_ids") else row for row in rows]
                statement = flow.send(statement.decode(rows))
        except StopIteration as stop:
            self.result = stop.value
        assert left == []

    @property
    def names(self) -> list[str]:
        return [statement.name for statement in self.ran]


POLICY = Policy(queue_name="mail")
MESSAGE = Message(1, 2, NOON, NOON, {})


def requeue(**options: Any) -> Statement[Any]:
    return consuming.requeue("mail", **options)


# Every statement fits its query.

STATEMENTS = [
    queues.list_all(),
    queues.missing(["mail"]),
    queues.metrics("mail"),
    queues.purge("mail", with_slots=True),
    queues.disable_notify("mail"),
    fifo.create_indexes(),
    fifo.read_grouped("mail", max_messages=1, visibility_timeout=30),
    fifo.read_grouped_rr("mail", max_messages=1, visibility_timeout=30),
    fifo.read_grouped_head("mail", max_messages=1, visibility_timeout=30),
    throttles.disable("mail"),
    throttles.throttles(),
    topics.bind("a.*", "mail"),
    topics.unbind("a.*", "mail"),
    topics.bindings(),
    topics.routes("a.b"),
    topics.validate_routing_key("a.b"),
    topics.validate_pattern("a.*"),
    reading.read("mail", max_messages=1, visibility_timeout=30),
    reading.read("mail", max_messages=1, visibility_timeout=30, headers_condition={}),
    reading.visible("mail", limit=1, condition=None, headers_condition=None),
    reading.pop("mail", 1),
    reading.pop("mail", 2),
    reading.archive("mail", 1),
    reading.delete("mail", 1),
    reading.set_vt("mail", 1, ParsedDelay(30)),
    consuming.read(POLICY),
    consuming.release_each("mail", [MESSAGE], [ParsedDelay(5)]),
    consuming.dead_letter("mail", "mail_dlq", 1, "no"),
    requeue(source="archive", msg_ids=[1]),
    requeue(source="dead_letters"),
    transfers.to_table("mail", "shop.Orders", ["id"], "error", [MESSAGE]),
    transfers.to_table("mail", "orders", ["id"], "skip", [MESSAGE]),
    *transfers.make_batch(),
    *transfers.with_messages("mail", "SELECT 1 FROM messages", None, [MESSAGE], is_lent=True),
    reading.settled("mail", [MESSAGE], archived=True),
    sending.plain("mail", prepare([1])),
    sending.cancel("mail", ["k"]),
    sending.prune_ledger(128),
    periodic.register_namespace("reports", "dag.task", 1),
    periodic.lock_namespace("reports"),
    periodic.deploy_namespace("reports", "dag.task", 1, "f"),
    periodic.reset_after_clock_change("reports", TICK),
    periodic.note_lost("reports", 3),
    next(periodic.resend_missing("reports", NOON)),
    periodic.jobs_to_resend("reports", NOON),
    periodic.free_slots("reports", [("report", NOON)]),
    periodic.close_tick("reports", "dag.task", 0, TICK, timedelta(days=7), is_known=True, failed={}),
    periodic.clock(),
    periodic.stored_jobs("reports"),
    periodic.stored_queues("reports"),
    periodic.stored_definitions("reports", ["report"]),
    overdue.overdue(None),
    overdue.is_expecting("reports"),
    overdue.mark("reports"),
    overdue.note_expected("reports", NOON, [OVERDUE], exactly=True),
    overdue.claim("reports"),
    overdue.given(OVERDUE),
    periodic.due_jobs("reports", TICK, limit=10),
    periodic.upsert_jobs("reports", [JOB], NOON),
    periodic.redefine_jobs("reports", [JOB]),
    periodic.advance_jobs("reports", NOON, [{"name": "report"}]),
    periodic.note_repeats("reports", [("report", NOON)]),
    next(incarnations.recognise(["mail"])),
    sending.prune_slots(128),
    periodic.remove_jobs("reports", ["report"]),
    periodic.remove_namespace("reports"),
    periodic.still_queued("mail", {1: "k"}, NOON),
    periodic.definition("reports", "report"),
    periodic.pause("reports", "report", None),
    periodic.resume("reports", "report"),
    periodic.list_jobs(None),
]


def keyed(batch: Batch, scope: Any = "once", on_duplicate: Any = "skip", **options: Any) -> Flow[Any]:
    return sending.keyed("mail", batch, scope=scope, on_duplicate=on_duplicate, window=WINDOW, **options)


def first_of(flow: Flow[Any]) -> Statement[Any]:
    return next(flow)


def assert_fits(statement: Statement[Any]) -> None:
    wanted = set(re.findall(r"%\(([a-z_]+)\)[sb]", statement.sql))
    assert wanted <= statement.params.keys()
    # A statement about a queue always gets the queue's name and table; so does the user's own SQL.
    assert statement.params.keys() - wanted <= {"queue_name", "pgmq_queue"}
    braces = set(re.findall(r"\{([a-z_]+)\}", statement.sql))
    braces -= statement.fragments.keys() | ({"columns"} if statement.columns else set())
    assert braces <= statement.identifiers.keys()
    assert statement.identifiers.keys() - braces <= {"table"}


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.name)
def test_a_statement_gives_its_query_what_it_asks_for(statement):
    assert_fits(statement)


@pytest.mark.parametrize("scope", ["once", "queued"])
def test_sending_with_keys_gives_its_query_what_it_asks_for(scope):
    assert_fits(first_of(keyed(prepare([1], dedup_keys=["k"]), scope)))


def test_a_statement_about_a_queue_names_the_table_apart_from_the_values():
    statement = queues.purge("Mail", with_slots=True)
    assert statement.params == {"queue_name": "Mail"}
    assert statement.identifiers == {"table": ("pgmq", "q_mail")}
    assert statement.queue_name == "Mail"
    assert statement.sql == queries()["purge"]


@pytest.mark.parametrize(
    "build",
    [
        lambda name: queues.purge(name, with_slots=True),
        queues.metrics,
        lambda name: topics.bind("a", name),
        lambda name: reading.read(name, max_messages=1, visibility_timeout=1),
        lambda name: reading.delete(name, 1),
        lambda name: sending.plain(name, prepare([1])),
        lambda name: sending.cancel(name, []),
        lambda name: periodic.still_queued(name, {}, NOON),
    ],
)
def test_no_statement_is_built_about_an_unsafe_queue(build):
    with pytest.raises(InvalidName):
        build("mail'; DROP TABLE x; --")


# Sending with keys.


def sent(key: str, msg_id: int) -> Mapping[str, Any]:
    return {"status": "sent", "first_at": NOON, "keys": [key], "msg_ids": [msg_id]}


def taken(key: str, msg_id: int) -> Mapping[str, Any]:
    return {"status": "duplicate", "first_at": EARLIER, "keys": [key], "msg_ids": [msg_id]}


def states(played: Played) -> list[tuple[Any, ...]]:
    return [(each.dedup_key, each.status, each.msg_id, each.first_sent_at) for each in played.result]


def test_results_are_in_the_order_of_the_call_whatever_the_order_of_the_rows():
    played = Played(
        keyed(prepare([1, 2, 3], dedup_keys=["b", "a", "c"])), [taken("a", 4), sent("c", 9), sent("b", 8)]
    )
    assert played.names == ["send_once"]
    assert states(played) == [("b", "sent", 8, None), ("a", "duplicate", 4, EARLIER), ("c", "sent", 9, None)]


@pytest.mark.parametrize(("scope", "query"), [("once", "send_once"), ("queued", "send_queued")])
def test_each_scope_has_its_query(scope, query):
    statement = first_of(keyed(prepare([1], dedup_keys=["k"]), scope))
    assert statement.name == query
    assert statement.params.get("window") == (WINDOW if scope == "once" else None)
    assert statement.params["sequence"] == 'pgmq."q_mail_msg_id_seq"'


def test_of_equal_keys_in_one_call_the_first_is_sent_and_the_others_are_duplicates():
    played = Played(keyed(prepare(["x", "y", "z"], dedup_keys=["a", "b", "a"])), [sent("a", 1), sent("b", 2)])
    assert played.ran[0].params["keys"] == ["a", "b"]
    assert played.ran[0].params["messages"] == '"x"\n"y"'
    assert states(played) == [("a", "sent", 1, None), ("b", "sent", 2, None), ("a", "duplicate", 1, NOON)]


def test_a_lost_race_is_asked_for_again_and_alone():
    """Another transaction claimed `b`, which the first statement could not see yet: no answer for it."""
    played = Played(
        keyed(prepare(["x", "y"], dedup_keys=["a", "b"], delays=[1, 2])),
        [sent("a", 1)],
        [taken("b", 2)],
    )
    assert played.names == ["send_once", "send_once"]
    assert played.ran[1].params["keys"] == ["b"]
    assert played.ran[1].params["messages"] == '"y"'
    assert played.ran[1].params["seconds"] == [2.0]
    assert states(played) == [("a", "sent", 1, None), ("b", "duplicate", 2, EARLIER)]


def test_a_claim_that_is_never_answered_ends():
    """A policy or a trigger hides what was inserted."""
    with pytest.raises(NotSent, match="row level security or a trigger"):
        Played(keyed(prepare([1], dedup_keys=["a"])), *[[]] * sending.CLAIMS)


UNSETTLED: Rows = [{"status": "unsettled", "first_at": None, "keys": None, "msg_ids": None}]
MARK = {
    "settled": False,
    "unlogged": False,
    "last_id": 7,
    "incarnation": 3,
    "was_unlogged": False,
    "alive": True,
    "same_relation": True,
    "same_creation": True,
}
UNLOGGED = {"unlogged": True, "was_unlogged": True}
ADMITTED: Rows = [{"admitted": True}]
SETTLED: Rows = [{"queue_name": "mail", "exists": True, "settled": True}]


def test_a_queue_that_is_not_the_known_one_is_recognised_first_and_the_keys_are_claimed_then():
    mark = [{**MARK, "incarnation": None, "same_relation": None, "same_creation": None}]
    played = Played(keyed(prepare([1], dedup_keys=["a"])), UNSETTLED, ADMITTED, [], mark, [], [sent("a", 1)])
    assert played.names == ["send_once", "admitted", "mark_lock", "queue_mark", "keep_mark", "send_once"]
    for statement in played.ran:
        assert_fits(statement)
    assert played.ran[4].params["recreated"] is False


@pytest.mark.parametrize("state", ["unknown", "settled", "missing"])
def test_many_keys_are_not_sent_before_their_queue_is_recognised(state):
    """The answers of claims on a queue that is not the known one would be useless."""
    keys = [f"k{n}" for n in range(sending.MANY)]
    found = [{"queue_name": "mail", "exists": state != "missing", "settled": state == "settled"}]
    mark = [{**MARK, "incarnation": None, "same_relation": None, "same_creation": None}]
    recognised: list[Rows] = [ADMITTED, [], mark, []] if state == "unknown" else []
    answer = [{**sent("", 0), "keys": keys, "msg_ids": range(len(keys)), "stored": len(keys)}]

    played = Played(keyed(prepare([1] * len(keys), dedup_keys=keys)), found, *recognised, answer)

    assert played.names[0] == "known_queues"
    assert played.names[-1] == "send_once"
    assert ("keep_mark" in played.names) is (state == "unknown")


@pytest.mark.parametrize("known", [MARK, {**MARK, **UNLOGGED}])
def test_a_queue_that_somebody_else_has_recognised_meanwhile_is_left_as_it_is(known):
    played = Played(incarnations.settle("mail"), ADMITTED, [], [{**known, "settled": True}])
    assert played.names == ["admitted", "mark_lock", "queue_mark"]


@pytest.mark.parametrize(
    ("fields", "later", "recreated"),
    [
        # Another table, and ids that have gone on: restored.
        ({"same_relation": False}, False, False),
        # Another table, whose ids began again.
        ({"same_relation": False}, True, True),
        ({"same_relation": False, "same_creation": False}, None, True),
        # Its row in PGMQ's meta was made again, and its table was not.
        ({"same_creation": False}, False, False),
        # A crash takes the mark, and empties unlogged queues.
        ({"alive": False}, None, False),
        ({**UNLOGGED, "alive": False}, None, True),
        # Made logged or unlogged by hand before, or after.
        ({"unlogged": True}, False, False),
        ({"was_unlogged": True}, False, False),
        ({"unlogged": True, "alive": False}, None, True),
        ({"was_unlogged": True, "alive": False}, False, False),
        ({"was_unlogged": True, "alive": False}, True, True),
    ],
)
def test_an_incarnation_is_new_or_moved(fields, later, recreated):
    answers: list[Rows] = [[], [{**MARK, **fields}]]
    answers += [[{"later": later}]] if later is not None else []
    archive: list[Rows] = [[{"found": True}], []] if recreated else []
    played = Played(incarnations.settle("mail"), ADMITTED, *answers, [], *archive)
    ran = {statement.name: statement for statement in played.ran}
    assert ran["keep_mark"].params["recreated"] is recreated
    assert ("pass_archive" in ran) is recreated
    for statement in played.ran:
        assert_fits(statement)


def test_a_queue_that_is_not_there_cannot_be_recognised():
    with pytest.raises(QueueNotFound, match="'mail'"):
        Played(incarnations.settle("mail"), ADMITTED, [], [])


def test_optimism_ends_with_the_first_answer():
    """The window of `b` has ended, so nothing new was sent: the next statement can take its key over."""
    played = Played(
        keyed(prepare([1, 2, 3], dedup_keys=["a", "b", "c"]), optimistic=True),
        [taken("c", 7)],
        [sent("a", 8), sent("b", 9)],
    )
    assert played.names == ["send_new", "send_once"]
    assert played.ran[1].params["keys"] == ["a", "b"]
    assert states(played) == [("a", "sent", 8, None), ("b", "sent", 9, None), ("c", "duplicate", 7, EARLIER)]


def test_fail_names_the_keys_that_were_taken():
    with pytest.raises(DuplicateMessage) as caught:
        Played(
            keyed(prepare([1, 2], dedup_keys=["a", "b"]), on_duplicate="fail"), [sent("a", 1), taken("b", 2)]
        )
    assert (caught.value.queue_name, caught.value.keys) == ("mail", ("b",))


def test_fail_counts_equal_keys_of_one_call():
    with pytest.raises(DuplicateMessage) as caught:
        Played(keyed(prepare([1, 2], dedup_keys=["a", "a"]), on_duplicate="fail"), [sent("a", 1)])
    assert caught.value.keys == ("a",)


def test_fail_without_a_duplicate_sends():
    played = Played(keyed(prepare([1], dedup_keys=["a"]), on_duplicate="fail"), [sent("a", 1)])
    assert states(played) == [("a", "sent", 1, None)]


def test_replace_gives_waiting_messages_the_new_content():
    played = Played(
        keyed(prepare(["x", "y", "z"], dedup_keys=["a", "b", "c"]), on_duplicate="replace"),
        [taken("a", 1), sent("b", 9), taken("c", 3)],
        [{"key": "a", "msg_id": 1}],
    )
    assert played.names == ["send_once", "replace"]
    assert_fits(played.ran[1])
    assert played.ran[1].params["keys"] == ["a", "c"]
    assert played.ran[1].params["msg_ids"] == [1, 3]
    assert played.ran[1].params["messages"] == '"x"\n"z"'
    # `c` was read meanwhile: it stays as it is.
    assert states(played) == [
        ("a", "replaced", 1, EARLIER),
        ("b", "sent", 9, None),
        ("c", "duplicate", 3, EARLIER),
    ]


def test_replace_without_a_duplicate_replaces_nothing():
    played = Played(keyed(prepare([1], dedup_keys=["a"]), on_duplicate="replace"), [sent("a", 1)])
    assert played.names == ["send_once"]


def test_replace_keeps_the_last_of_equal_keys_in_one_call():
    played = Played(
        keyed(prepare(["x", "y", "z"], dedup_keys=["a", "b", "a"]), on_duplicate="replace"),
        [sent("a", 1), sent("b", 2)],
    )
    assert played.ran[0].params["messages"] == '"z"\n"y"'
    assert states(played) == [("a", "sent", 1, None), ("b", "sent", 2, None), ("a", "replaced", 1, NOON)]


def test_many_keys_are_claimed_in_chunks_in_key_order_over_all_of_them():
    """Two such transactions take their locks in the same order, so they cannot deadlock."""
    count = 2 * batches.CHUNK + 1
    keys = [f"{(number * 7919) % count:05}" for number in range(count)]
    ids = count_up(1)

    def send_all(statement: Statement[Any]) -> Rows:
        return [sent(key, next(ids)) for key in statement.params["keys"]]

    batch = prepare(list(range(count)), dedup_keys=keys)
    played = Played(keyed(batch), SETTLED, send_all, send_all, send_all)
    claimed = [statement.params["keys"] for statement in played.ran[1:]]
    assert [len(part) for part in claimed] == [batches.CHUNK, batches.CHUNK, 1]
    assert [key for part in claimed for key in part] == sorted(keys)
    assert [each.dedup_key for each in played.result] == keys


def test_few_keys_keep_the_order_of_the_call_so_that_ids_do():
    statement = first_of(keyed(prepare([1, 2], dedup_keys=["b", "a"])))
    assert statement.params["keys"] == ["b", "a"]


def test_nothing_to_send_runs_nothing():
    assert Played(keyed(prepare([], dedup_keys=[]))).result == []


def test_plain_results_are_the_ids_in_the_order_of_the_call():
    results = sending.plain("mail", prepare(["a", "b"])).decode([{"msg_id": 5}, {"msg_id": 6}])
    assert [(each.status, each.msg_id, each.dedup_key) for each in results] == [
        ("sent", 5, None),
        ("sent", 6, None),
    ]


# Reading and acking.


def row(msg_id: int, read_ct: int = 1) -> dict[str, Any]:
    return {
        "msg_id": msg_id,
        "read_ct": read_ct,
        "enqueued_at": NOON,
        "vt": NOON,
        "message": {},
        "headers": None,
    }


def test_messages_come_oldest_first_whatever_the_order_of_the_rows():
    statement = reading.pop("mail", 3)
    make = statement.rows([*row(1)])
    found = statement.decode([make([*row(msg_id).values()]) for msg_id in (3, 1, 2)])
    assert [message.msg_id for message in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("condition", "headers_condition", "name"),
    [
        (None, None, "read"),
        ({"a": 1}, None, "read"),
        (None, {}, "read"),
        ({}, {"j": 1}, "read_by_headers"),
    ],
)
def test_only_a_condition_on_headers_leaves_pgmqs_own_function(condition, headers_condition, name):
    statement = reading.read(
        "mail",
        max_messages=2,
        visibility_timeout=30,
        condition=condition,
        headers_condition=headers_condition,
    )
    assert statement.name == name


def test_conditions_are_json():
    statement = reading.visible("mail", limit=5, condition={"a": "ä"}, headers_condition=None)
    assert statement.params["condition"] == '{"a":"ä"}'
    assert statement.params["headers_condition"] is None
    with pytest.raises(InvalidArgument, match="The condition is not JSON"):
        reading.visible("mail", limit=5, condition={"a": float("nan")}, headers_condition=None)


@pytest.mark.parametrize("ack", [reading.archive, reading.delete])
def test_acks_are_fenced_and_say_which_were_ours(ack):
    held = Message(7, 2, NOON, NOON, {}, {})
    statement = ack("mail", [held, 8])
    assert (statement.params["msg_ids"], statement.params["read_cts"]) == ([7, 8], [2, None])
    assert statement.decode([{"msg_id": 8}]) == [8]


@pytest.mark.parametrize(
    ("delay", "seconds", "instant"),
    [(AT_ONCE, 0.0, None), (ParsedDelay(30.0), 30.0, None), (ParsedDelay(instant=NOON), 0.0, NOON)],
)
def test_visibility_moves_by_seconds_or_to_an_instant(delay, seconds, instant):
    statement = reading.set_vt("mail", 7, delay)
    assert (statement.params["seconds"], statement.params["instant"]) == (seconds, instant)


# Queues.


LACKS: Rows = [{"queue_name": "mail", "listed": False, "has_table": False, "has_archive": False}]
CREATION = ["incomplete_queues", "queue_lock", "incomplete_queues", "create_arguments", "create_queue"]


@pytest.mark.parametrize("options", [{}, {"unlogged": True}, {"partition_interval": 10_000}])
def test_a_queue_is_made_under_the_lock_after_a_second_look(options):
    played = Played(queues.create("mail", **options), LACKS, [], LACKS, [], [])
    assert played.names == CREATION
    assert played.result is True
    for statement in played.ran:
        assert_fits(statement)


def test_a_queue_is_made_as_it_is_asked_for_and_plain_where_nothing_is_said():
    def arguments(**options: Any) -> dict[str, Any]:
        made = Played(queues.create("mail", **options), LACKS, [], LACKS, [], []).ran[3].params
        return {name: made[name] for name in ("unlogged", "partition_interval", "retention_interval")}

    assert arguments() == {"unlogged": False, "partition_interval": None, "retention_interval": "100000"}
    assert arguments(partition_interval=10_000, retention_interval="7 days") == {
        "unlogged": False,
        "partition_interval": "10000",
        "retention_interval": "7 days",
    }


def test_a_queue_that_is_there_is_left_alone():
    assert Played(queues.create("mail"), []).result is False
    assert Played(queues.create("mail"), LACKS, [], []).result is False


def test_queues_that_would_not_be_safe_are_not_created():
    with pytest.raises(InvalidArgument):
        Played(queues.create("mail", unlogged=True, partition_interval="1 day"))
    with pytest.raises(InvalidName):
        Played(queues.create("a;b"))
    with pytest.raises(InvalidName):
        Played(queues.create("Mail"), LACKS)


def test_a_queue_that_others_made_under_another_name_stays_as_it_is_and_is_made_whole():
    assert Played(queues.create("Mail"), []).result is False
    listed = [{**LACKS[0], "listed": True}]
    assert Played(queues.create("Mail"), listed, [], listed, [], []).names == CREATION


def test_a_new_queue_announces_under_pgmqs_lock():
    played = Played(
        queues.create("mail", notify=True), LACKS, [], LACKS, [], [], [], [{"present": False}], []
    )
    assert played.names == [*CREATION, "queue_lock", "has_trigger", "enable_notify"]
    for statement in played.ran:
        assert_fits(statement)


ANNOUNCER: dict[str, Any] = {
    "our_trigger": False,
    "pgmq_trigger": False,
    "is_table": True,
    "installed": True,
    "may_use": True,
    "may_trigger": True,
    "role": "app",
}


def test_a_queue_announces_where_nothing_keeps_it_from_that():
    played = Played(announcing.announce("mail"), [ANNOUNCER], [], [{"present": False}], [])
    assert played.names == ["announcer", "queue_lock", "has_trigger", "enable_notify"]
    assert played.result == (True, None)
    assert_fits(played.ran[0])
    assert Played(announcing.announce("mail"), [{**ANNOUNCER, "our_trigger": True}]).result == (False, None)


@pytest.mark.parametrize(
    ("lacking", "why"),
    [
        ("is_table", "pgmq.q_mail is not a table."),
        ("installed", "The schema airflow_pgmq is missing"),
        ("may_use", "Let its owner run: GRANT USAGE ON SCHEMA airflow_pgmq TO app;"),
        ("may_trigger", "Let its owner run: CREATE OR REPLACE TRIGGER airflow_pgmq_notify"),
    ],
)
def test_what_keeps_a_queue_from_announcing_says_who_can_help(lacking, why):
    played = Played(announcing.announce("mail"), [{**ANNOUNCER, lacking: False}])
    assert played.names == ["announcer"]
    announced, obstacle = played.result
    assert announced is False
    assert why in obstacle
    assert Played(
        announcing.announce("mail"), [{**ANNOUNCER, lacking: False, "pgmq_trigger": True}]
    ).result == (
        False,
        None,
    )


def test_a_trigger_that_exists_is_left_alone():
    played = Played(queues.enable_notify("mail"), [], [{"present": True}])
    assert played.names == ["queue_lock", "has_trigger"]
    assert played.result is False


@pytest.mark.parametrize("queue_name", ["mail", 'ma"il', "Mail"])
def test_a_table_looked_up_by_its_text_is_quoted(queue_name):
    played = Played(queues.enable_notify(queue_name), [], [{"present": True}])
    table = {"mail": 'pgmq."q_mail"', 'ma"il': 'pgmq."q_ma""il"', "Mail": 'pgmq."q_mail"'}[queue_name]
    assert played.ran[1].params["table"] == table


def test_a_queue_that_is_there_is_dropped():
    played = Played(queues.drop("mail"), [], [{"dropped": True}])
    assert played.names == ["incomplete_queues", "drop_queue"]
    assert played.result is True
    for statement in played.ran:
        assert_fits(statement)


def test_a_queue_that_is_not_there_is_not_dropped():
    played = Played(queues.drop("mail"), LACKS)
    assert played.names == ["incomplete_queues"]
    assert played.result is False


def test_what_is_left_of_a_queue_without_its_table_is_dropped():
    listed: Rows = [{**LACKS[0], "listed": True}]
    played = Played(queues.drop("mail"), listed, [{"dropped": False}], [], [])
    assert played.names == ["incomplete_queues", "drop_queue", "drop_archive", "unlist_queue"]
    assert played.result is True


# The guard of `dedup_scope="queued"`.


def guard(valid: bool, present: bool, partitioned: bool = False) -> Rows:
    return [{"valid": valid, "present": present, "partitioned": partitioned}]


def test_a_guard_that_exists_is_left_alone():
    played = Played(queues.guard("mail"), guard(valid=True, present=True))
    assert played.names == ["guard_state"]
    assert played.result is False


def test_a_missing_guard_is_built_under_the_lock_after_a_second_look():
    played = Played(queues.guard("mail"), guard(False, False), [], guard(False, False), [])
    assert played.names == ["guard_state", "queue_lock", "guard_state", "create_guard"]
    assert played.result is True
    for statement in played.ran:
        assert_fits(statement)


def test_a_guard_that_somebody_built_meanwhile_is_left_alone():
    played = Played(queues.guard("mail"), guard(False, False), [], guard(True, True))
    assert played.names[-1] == "guard_state"
    assert played.result is False


def test_an_invalid_guard_is_replaced():
    played = Played(queues.guard("mail"), guard(False, True), [], guard(False, True), [], [])
    assert played.names == ["guard_state", "queue_lock", "guard_state", "drop_index", "create_guard"]
    for statement in played.ran:
        assert_fits(statement)


def test_a_guard_that_cannot_be_is_an_error():
    with pytest.raises(GuardMissing, match="partitioned"):
        Played(queues.guard("mail"), guard(False, False, partitioned=True))
    with pytest.raises(QueueNotFound, match="'mail'"):
        Played(queues.guard("mail"), [])


# Installing.

BARE = [{"pgmq": False, "schema_installed": False}]
PGMQ_ONLY = [{"pgmq": True, "schema_installed": False}]
BOTH = [{"pgmq": True, "schema_installed": True}]


def extension(*, available: bool = False, headers: bool = True) -> Rows:
    return [{"available": available, "version": None, "headers": headers}]


def no_script() -> str | None:
    return None


def migrated() -> list[Rows]:
    return [[], []] * len(migrations())


def test_installing_on_a_bare_database_takes_the_extension_where_there_is_one():
    played = Played(
        schema.install(no_script),
        [],
        BARE,
        extension(available=True),
        [],
        extension(),
        PGMQ_ONLY,
        *migrated(),
    )
    assert played.names[0] == "install_lock"
    assert "create_extension" in played.names
    assert played.names.count("migrate") == len(migrations())
    assert played.result[0] == "PGMQ: extension"


def test_installing_takes_the_clients_sql_where_there_is_no_extension():
    played = Played(
        schema.install(lambda: "SELECT 'PGMQ'"),
        [],
        BARE,
        extension(),
        [],
        extension(),
        PGMQ_ONLY,
        *migrated(),
    )
    script = next(statement for statement in played.ran if statement.name == "pgmq_script")
    assert script.sql == "SELECT 'PGMQ'"


def test_installing_without_any_pgmq_says_what_to_install():
    with pytest.raises(NotInstalled, match=r"\[sql\]"):
        Played(schema.install(no_script), [], BARE, extension())


def test_a_pgmq_without_headers_is_too_old():
    with pytest.raises(FeatureMissing, match="1\\.5\\.0"):
        Played(schema.install(no_script), [], PGMQ_ONLY, extension(headers=False))


def test_installing_again_changes_nothing():
    newest = [{"number": max(migrations())}]
    played = Played(schema.install(no_script), [], BOTH, extension(), BOTH, newest)
    assert played.result == []
    assert not {"migrate", "create_extension", "pgmq_script"} & set(played.names)


@pytest.mark.parametrize(
    ("answers", "current"),
    [
        ([PGMQ_ONLY], False),
        ([BOTH, [{"number": max(migrations()) - 1}]], False),
        ([BOTH, [{"number": max(migrations())}]], True),
        ([BOTH, [{"number": max(migrations()) + 1}], [{"admitted": True}]], True),
    ],
)
def test_our_schema_is_current_when_it_is_as_new_as_the_package(answers, current):
    assert Played(schema.is_current(), *answers).result is current


def test_migrations_without_a_row_are_hidden():
    with pytest.raises(PermissionDenied, match="row level security"):
        Played(schema.is_current(), BOTH, [{"number": None}])


# Periodic jobs.


def test_jobs_are_stored_in_columns():
    other = PeriodicJob(name="other", cron="* * * * *", queue_name="post", version=3)
    params = periodic.upsert_jobs("reports", [JOB, other], NOON).params
    assert params["names"] == ["report", "other"]
    assert params["versions"] == [0, 3]
    assert params["fingerprints"] == [JOB.fingerprint, other.fingerprint]
    assert params["definitions"] == [JOB.definition_json, other.definition_json]
    assert params["queue_names"] == ["mail", "post"]
    assert params["overlap_skips"] == [True, False]
    assert params["now"] == NOON


def test_what_is_not_known_of_a_job_is_null():
    params = periodic.advance_jobs("reports", NOON, [{"name": "report", "watermark": NOON}]).params
    assert params["watermarks"] == [NOON]
    assert params["last_slots"] == [None]


def test_stored_jobs_are_records():
    stored = {
        "name": "report",
        "version": 1,
        "fingerprint": "f",
        "queue_name": "mail",
        "watermark": NOON,
        "next_slot": None,
        "paused": False,
    }
    assert periodic.stored_jobs("reports").decode([stored]) == [Stored(**stored)]


def test_slots_are_withdrawn_from_every_queue_that_they_were_sent_to():
    found: list[Rows] = [
        [{"queue_name": "post"}, {"queue_name": "mail"}],
        [{"name": "report", "taken_back": 2, "first_slot": NOON, "removed": 2}],
        [{"name": "report", "taken_back": 1, "first_slot": EARLIER, "removed": 1}],
    ]
    played = Played(periodic.take_back("reports", ["report"], after=EARLIER, now=NOON), *found)
    assert [each.queue_name for each in played.ran] == [None, "mail", "post"]
    assert played.result == {"report": (3, EARLIER)}
    for statement in played.ran:
        assert_fits(statement)


def test_slots_of_no_job_are_not_looked_for():
    assert Played(periodic.take_back("reports", [], after=NOON, now=NOON)).result == {}


def test_slots_are_claimed_by_position():
    items = [outgoing(JOB, NOON + timedelta(days=n), "reports", None) for n in range(3)]
    played = Played(
        periodic.send("reports", "mail", items, now=NOON, window=WINDOW),
        [{"status": "sent", "first_at": NOON, "positions": [3, 1], "msg_ids": [8, 7]}],
        [{"status": "duplicate", "first_at": EARLIER, "positions": [1], "msg_ids": [2]}],
    )
    assert played.result == {
        items[0].key: ("sent", 7, NOON),
        items[1].key: ("duplicate", 2, EARLIER),
        items[2].key: ("sent", 8, NOON),
    }
    assert played.ran[1].params["slots"] == [items[1].slot]
    for statement in played.ran:
        assert_fits(statement)


@pytest.mark.parametrize("archive", [True, False])
def test_what_a_queue_or_its_archive_carries_is_adopted(archive):
    items = [outgoing(JOB, NOON + timedelta(days=n), "reports", None) for n in range(2)]
    carried = [{"key": items[1].key, "msg_id": 5, "first_at": EARLIER}]
    flow = periodic.adopt("reports", "mail", items, since=EARLIER, now=NOON, window=WINDOW)
    asked = [carried] if archive else []
    known = [{**MARK, "settled": True}]
    there: Rows = [{"found": True}]
    adopted: list[Rows] = [[]] if archive else []
    played = Played(flow, ADMITTED, [], known, [{"found": archive}], *asked, there, [], *adopted)
    assert played.names[4:] == (
        ["carried_by_archive", "has_headers", "carried_by_queue", "adopt_slots"]
        if archive
        else ["has_headers", "carried_by_queue"]
    )
    if archive:
        assert played.ran[-1].params["slots"] == [items[1].slot]
    for statement in played.ran:
        assert_fits(statement)


def test_a_namespace_has_a_safe_name():
    with pytest.raises(InvalidName, match="Namespace name"):
        periodic.register_namespace("a/b", "dag.task", 0)


@pytest.mark.parametrize("build", [periodic.lock_namespace, lambda name: periodic.definition(name, "report")])
def test_what_may_be_unknown_is_none(build):
    assert build("reports").decode([]) is None
    assert build("reports").decode([{"paused": True}]) == {"paused": True}


# Consuming.


def test_outcomes_are_settled_in_one_statement_of_each_kind():
    messages = [Message(n, 1, NOON, NOON, {}) for n in range(1, 6)]
    outcomes = [Outcome.ack(), Outcome.retry(7), Outcome.ack(), Outcome.dead("no"), Outcome.retry(NOON)]
    decided = list(zip(messages, outcomes, strict=True))
    played = Played(consuming.settle(POLICY, decided), [{"msg_id": 1}, {"msg_id": 3}], [], [{"msg_id": 4}])
    assert played.result == [1, 3, 4]
    archive, release, dead = played.ran
    assert [archive.name, release.name, dead.name] == ["archive", "release_each", "dead_letter"]
    assert archive.params["msg_ids"] == [1, 3]
    assert (release.params["seconds"], release.params["instants"]) == ([7.0, 0.0], [None, NOON])
    assert dead.params["reasons"] == ["no"]
    assert dead.identifiers["dead_letters"] == ("pgmq", "q_mail_dlq")


def test_only_what_is_there_is_settled():
    assert consuming.settle(POLICY, [(MESSAGE, Outcome.retry())]).name == "release_each"
    deleting = Policy(queue_name="mail", ack="delete")
    assert consuming.settle(deleting, [(MESSAGE, Outcome.ack())]).name == "delete"


def test_what_was_not_found_again_may_have_been_settled_before():
    messages = [Message(n, 1, NOON, NOON, {}) for n in range(1, 5)]
    outcomes = [Outcome.ack(), Outcome.ack(), Outcome.retry(7), Outcome.dead("no")]
    decided = list(zip(messages, outcomes, strict=True))
    gone = [{"msg_id": 1}]
    played = Played(consuming.settle(POLICY, decided, again=True), [], [], [], gone, [])
    assert played.names == ["archive", "release_each", "dead_letter", "settled", "settled"]
    assert [each.params["archived"] for each in played.ran[3:]] == [True, False]
    # The second one belongs to another reader, and so does the dead one.
    assert played.result == [1, 3]


def test_a_queue_is_not_its_own_dead_letter_queue():
    with pytest.raises(InvalidName, match="own dead letter queue"):
        consuming.dead_letter("Mail", "mail", 1, "no")


def test_the_archive_is_not_requeued_by_accident():
    with pytest.raises(InvalidArgument, match="say which"):
        requeue(source="archive")


def test_where_messages_come_from_is_one_of_two_words():
    assert requeue(source="dead_letters").identifiers["source"] == ("pgmq", "q_mail_dlq")
    assert requeue(source="dead_letters", dead_letter_queue="dead").identifiers["source"] == (
        "pgmq",
        "q_dead",
    )
    with pytest.raises(InvalidArgument, match="'dead_letters' or 'archive', not 'mail_dlq'"):
        requeue(source="mail_dlq")
    with pytest.raises(InvalidArgument, match="dead_letter_queue belongs to source='dead_letters'"):
        requeue(source="archive", dead_letter_queue="mail_dlq", msg_ids=[1])


def test_the_dead_letter_queue_is_made_only_where_it_is_missing():
    assert Played(consuming.prepare(POLICY), []).result is False
    lacks: Rows = [{**LACKS[0], "queue_name": "mail_dlq"}]
    played = Played(
        consuming.prepare(POLICY), lacks, lacks, [], lacks, [], [], [{**ANNOUNCER, "our_trigger": True}]
    )
    assert played.names == ["incomplete_queues", *CREATION, "announcer"]
    with pytest.raises(QueueNotFound, match="'mail'"):
        Played(consuming.prepare(POLICY), [*LACKS, *lacks])
    long = Policy(queue_name="m" * 47)
    with pytest.raises(InvalidName, match="name another"):
        Played(consuming.prepare(long), [{**LACKS[0], "queue_name": long.dead_letters}])


def sent_query(scope: Any, answer: Mapping[str, int] | None = None, **options: Any) -> Played:
    options = {"fail_on_duplicate": False, "headers": None, **options}
    flow = transfers.send("mail", "SELECT 1;", None, scope=scope, window=WINDOW, **options)
    return Played(flow, [answer or {"rows": 3, "sent": 2, "longest_key": 5, "settled": True}])


@pytest.mark.parametrize("scope", ["none", "once", "queued"])
def test_sending_a_query_gives_its_query_what_it_asks_for(scope):
    played = sent_query(scope)
    assert_fits(played.ran[0])
    assert played.result == {"sent": 2, "duplicates": 1}


def test_a_query_that_must_not_be_sent_raises_so_that_it_is_rolled_back():
    with pytest.raises(InvalidName, match="256"):
        sent_query("once", {"rows": 1, "sent": 1, "longest_key": 256, "settled": True})
    with pytest.raises(DuplicateMessage):
        sent_query("once", fail_on_duplicate=True)
