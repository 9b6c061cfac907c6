import copy
import json
from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.core import problems
from airflow_pgmq.core.problems import JOB_GRACE, TICK_SILENCE, UNREAD, Problem, QueueFacts, duration

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
LONG = UNREAD.total_seconds() + 1
SECOND = timedelta(seconds=1)


def of_queue(**fields):
    defaults = {
        "queue_name": "mail",
        "is_dead_letter_queue": False,
        "waiting": None,
        "completed": 5.0,
        "known_minutes": 60,
        "ever_removed": 5,
        "dead_letters": 0,
        "dead_letters_estimated": False,
        "dead_letter_queue": None,
        "readable": True,
        "broken_guard": False,
    }
    return list(problems.of_queue(QueueFacts(**{**defaults, **fields})))


def codes(found):
    return [problem.code for problem in found]


def test_nothing_is_wrong_with_an_empty_queue():
    assert of_queue() == []


@pytest.mark.parametrize(
    ("facts", "unread"),
    [
        ({"waiting": LONG, "completed": 0.0}, True),
        ({"waiting": LONG, "completed": 1.0}, False),
        ({"waiting": LONG - 2, "completed": 0.0}, False),
        ({"waiting": None, "completed": 0.0}, False),
        # Without samples.
        ({"waiting": LONG, "completed": None, "ever_removed": 0}, True),
        ({"waiting": LONG, "completed": None, "ever_removed": 1}, False),
        ({"waiting": LONG, "completed": 0.0, "is_dead_letter_queue": True}, False),
    ],
)
def test_a_queue_that_nobody_reads(facts, unread):
    assert codes(of_queue(**facts)) == (["nobody_reads"] if unread else [])


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"completed": 0.0, "known_minutes": 60}, "nobody has removed any in the last hour."),
        # The minute that runs and the one before have no sample yet.
        ({"completed": 0.0, "known_minutes": 58}, "nobody has removed any in the last hour."),
        (
            {"completed": 0.0, "known_minutes": 57},
            "nobody has removed any in the 57 minutes of the last hour that have samples.",
        ),
        (
            {"completed": None, "known_minutes": 9, "ever_removed": 0},
            "nobody has ever removed any, as far as the server's statistics reach back.",
        ),
    ],
)
def test_what_is_known_of_a_queue_that_nobody_reads(facts, told):
    (problem,) = of_queue(waiting=3600.0, **facts)
    assert problem.text == f"Messages of queue mail have been waiting for 1 h and {told}"


@pytest.mark.parametrize(
    ("number", "estimated", "told"),
    [
        (1200, False, "1,200 dead letters wait in mail_dlq."),
        (1200, True, "About 1,200 dead letters wait in mail_dlq."),
        (1, False, "1 dead letter waits in mail_dlq."),
    ],
)
def test_dead_letters_name_their_queue(number, estimated, told):
    facts = {"dead_letters": number, "dead_letters_estimated": estimated, "dead_letter_queue": "mail_dlq"}
    (problem,) = of_queue(**facts)
    assert problem.text == told


def test_a_broken_guard_and_no_access():
    assert codes(of_queue(broken_guard=True, readable=False)) == ["no_access", "missing_guard"]


@pytest.mark.parametrize(
    ("fields", "behind"),
    [
        ({"next_slot": NOW - JOB_GRACE - SECOND}, True),
        ({"next_slot": NOW - JOB_GRACE}, False),
        ({"next_slot": NOW + SECOND}, False),
        ({"next_slot": None}, False),
        ({"next_slot": NOW - JOB_GRACE - SECOND, "paused": True}, False),
        # The namespace's own problem then.
        ({"next_slot": NOW - timedelta(days=1), "ticked_at": NOW - TICK_SILENCE - SECOND}, False),
    ],
)
def test_a_job_that_is_behind(fields, behind):
    found = list(problems.of_job(**{"paused": False, "ticked_at": NOW, "now": NOW, **fields}))
    assert codes(found) == (["job_behind"] if behind else [])


@pytest.mark.parametrize(("silence", "wrong"), [(TICK_SILENCE, False), (TICK_SILENCE + SECOND, True)])
def test_a_dag_that_stopped_ticking(silence, wrong):
    found = list(
        problems.of_namespace(namespace="shop", owner="dag.task", ticked_at=NOW - silence, now=NOW, failed="")
    )
    assert codes(found) == (["not_ticking"] if wrong else [])


@pytest.mark.parametrize(
    ("installed", "age", "code"),
    [
        (False, None, ["not_installed"]),
        (True, None, ["not_maintained"]),
        (True, timedelta(minutes=11), ["not_maintained"]),
        (True, timedelta(minutes=9), []),
    ],
)
def test_the_database_as_a_whole(installed, age, code):
    maintained = None if age is None else NOW - age
    assert codes(problems.of_schema(installed=installed, maintained=maintained, now=NOW)) == code


def test_every_problem_says_what_to_do():
    found = of_queue(
        waiting=LONG, completed=0.0, dead_letters=1, dead_letter_queue="q", broken_guard=True, readable=False
    )
    for problem in found:
        assert problem.severity in ("error", "warning")
        assert problem.fix.endswith(".")
        assert set(problem.as_dict()) == {"code", "severity", "text", "fix", "see", "said"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (90_061, "1 d 1 h"),
        (10_822, "3 h"),
        (-5, "0 s"),
    ],
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_a_problem_says_of_what_its_texts_are_made_for_the_other_languages_of_the_page():
    (one,) = of_queue(dead_letters=1, dead_letter_queue="{q}")
    (many,) = of_queue(dead_letters=1200, dead_letter_queue="q")
    assert one.text == "1 dead letter waits in {q}."
    assert many.text == "1,200 dead letters wait in q."
    said = {"template": "{count} dead letters wait in {queue}.", "values": {"count": 1200, "queue": "q"}}
    assert json.loads(json.dumps(many.as_dict()))["said"]["text"] == said
    # A copy says it, too; a text that is more than one sentence is in English only.
    assert copy.deepcopy(many).as_dict() == many.as_dict()
    assert Problem("x", "error", "Two. Sentences.", "").as_dict()["said"] == {}
