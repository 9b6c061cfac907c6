"""The page answers every request in plain words, and never fails."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_pgmq.hooks import PgmqHook
from tests.airflow.test_ui_access import GUARDED, fill
from tests.fixtures.ui import ACTING

GETS = [path for method, path in GUARDED if method == "GET"]
POSTS = [path for method, path in GUARDED if method == "POST"]
#: All but resuming a queue, which needs none, as resuming a job does.
WITH_BODY = [path for path in POSTS if "/queues/" in path and not path.endswith("{queue_name}/resume")]

JSON = {**ACTING, "Content-Type": "application/json"}

#: Words of the libraries under the page, which are for programmers.
FOREIGN = re.compile(r"pydantic|Input should|Field required|Traceback|type=|ctx|psycopg|Exception", re.I)


@pytest.fixture
def hook(pgmq_connection):
    hook = PgmqHook(pgmq_connection)
    for queue_name in ("mail", "mail_dlq"):
        hook.create_queue(queue_name)
    hook.send_batch("mail", [1, 2, 3])
    return hook


def refused(answer) -> str:
    """What a request that cannot be is told."""
    assert 400 <= answer.status_code < 500, answer.text
    detail = answer.json()["detail"]
    assert isinstance(detail, str)
    assert detail
    assert not FOREIGN.search(detail), detail
    return detail


NO_JSON = {
    "beyond a double": b'{"msg_ids": [1e400]}',
    "NaN": b'{"max_messages": NaN}',
    "infinity": b'{"max_messages": -Infinity}',
    "digits": b'{"max_messages": ' + b"9" * 5000 + b"}",
    "deep": b'{"msg_ids": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "open": b"[" * 60_000,
    "half a character": b'{"confirm": "\\ud800"}',
    "a key twice": b'{"msg_ids": [1], "msg_ids": [2]}',
    "latin": '{"confirm": "ü"}'.encode("latin-1"),
    "utf-16": '{"msg_ids": [1]}'.encode("utf-16"),
    "nothing": b"",
    "no object": b"[1]",
    "text": b"msg_ids=1",
    "a rest": b'{"msg_ids": [1]} {}',
}


@pytest.mark.parametrize("body", NO_JSON)
@pytest.mark.parametrize("path", WITH_BODY)
def test_a_body_that_is_no_json_is_a_bad_request(boss, hook, path, body):
    answer = boss.post(fill(path), content=NO_JSON[body], headers=JSON)

    refused(answer)
    assert answer.status_code == 400
    assert hook.metrics("mail").queue_length == 3


WRONG = {
    "true for an id": {"msg_ids": [True]},
    "a fraction": {"msg_ids": [1.0]},
    "too large": {"msg_ids": [2**63]},
    "negative": {"msg_ids": [-(2**63)]},
    "a long text": {"msg_ids": ["1" * 20]},
    "other digits": {"msg_ids": ["٣"]},
    "null": {"msg_ids": None, "confirm": None, "source": None},
    "an object": {"msg_ids": {"0": 1}},
    "NUL": {"confirm": "mail\x00", "source": "archive\x00"},
    "unknown": {"msg_id": [1], "max_messages": 1, "confirm": "mail"},
}


@pytest.mark.parametrize("body", WRONG)
@pytest.mark.parametrize("path", WITH_BODY)
def test_a_body_of_other_types_is_told_what_is_expected(boss, hook, path, body):
    answer = boss.post(fill(path), content=json.dumps(WRONG[body]), headers=JSON)

    refused(answer)
    assert answer.status_code == 422
    assert hook.metrics("mail").queue_length == 3


def test_ids_that_a_browser_cannot_keep_come_as_texts(boss, hook):
    answer = boss.post(
        "/pgmq/api/pgmq_default/queues/mail/delete", content='{"msg_ids": ["1", 2]}', headers=JSON
    )
    assert answer.json() == {"changed": 2}


@pytest.mark.parametrize("path", WITH_BODY)
def test_other_content_and_too_much_of_it_are_refused(boss, hook, path):
    large = b'{"msg_ids": [' + b"1, " * 40_000 + b"1]}"
    assert boss.post(fill(path), content=large, headers=JSON).status_code == 413
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
        answer = boss.post(fill(path), content=b'{"msg_ids": [1]}', headers={**ACTING, "Content-Type": kind})
        refused(answer)
        assert answer.status_code == 415, kind


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("msg_id=abc", "A message id is a whole number"),
        ("msg_id=9223372036854775808", "A message id is a whole number"),
        ("msg_id=1e400", "A message id is a whole number"),
        ("msg_id=NaN", "A message id is a whole number"),
        ("limit=0", "limit is a whole number from 1 to 200"),
        ("after=-9223372036854775808", "after is the id"),
        ("source=x", "source is queue or archive"),
        ("dedup_key=%00", "A dedup key is a text"),
        ("job=" + "x" * 256, "A job is looked for"),
    ],
)
def test_the_search_box_answers_in_plain_sentences(boss, hook, query, says):
    told = refused(boss.get(f"/pgmq/api/pgmq_default/queues/mail/messages?{query}"))

    assert told.startswith(says)
    assert "abc" not in told


def test_every_parameter_has_its_sentence():
    from airflow_pgmq.ui.api_actions import Chosen, Confirmation, Pause, Slot, ToRequeue
    from airflow_pgmq.ui.api_calendars import Days
    from airflow_pgmq.ui.api_groups import Stopped
    from airflow_pgmq.ui.api_live_jobs import Definition, Draft, Expected, Restoration
    from airflow_pgmq.ui.app import app
    from airflow_pgmq.ui.requests import EXPECTED

    wanted = {
        f"query.{parameter.alias}"
        for route in app.routes
        if hasattr(route, "dependant")
        for parameter in route.dependant.query_params
    }
    models = (
        *(Chosen, Confirmation, Pause, Slot, ToRequeue, Definition, Draft, Expected, Restoration, Days),
        Stopped,
    )
    wanted |= {f"body.{name}" for model in models for name in model.model_fields}
    assert wanted == EXPECTED.keys()


texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["..", ".", "\x00", "a/b", "%2e", "\\", "x" * 300, "\u202e", "'", '"', "{x}", "mail", "a$b"]
    ),
)
words = st.one_of(texts, st.integers().map(str), st.sampled_from(["1e400", "NaN", "-0", "true", "1_0", " 1"]))
FIELDS = [
    *("msg_ids", "max_messages", "source", "confirm", "slot"),
    *("definition", "version", "expected_version", "text", "x"),
]
bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
BOUNDED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def address(path: str, names: dict[str, str], query: dict[str, str]) -> str:
    filled = re.sub(r"\{(\w+)\}", lambda found: quote(names[found[1]], safe=""), path)
    asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
    return f"/pgmq{filled}?{asked}"


names = st.fixed_dictionaries(
    {
        "connection_id": st.one_of(st.just("pgmq_default"), st.just("pgmq_default"), texts),
        "queue_name": st.one_of(st.just("mail"), texts),
        "namespace": texts,
        "name": texts,
        "calendar": texts,
        "dag_id": texts,
    }
).map(lambda found: {name: value.encode(errors="replace").decode() or "x" for name, value in found.items()})
PARAMETERS = [
    *("connection_id", "range", "source", "dedup_key", "job", "msg_id", "after", "limit"),
    *("run_id", "task_id", "map_index"),
]
queries = st.dictionaries(
    st.sampled_from(
        [
            "connection_id",
            "range",
            "source",
            "dedup_key",
            "job",
            "msg_id",
            "after",
            "limit",
            "run_id",
            "task_id",
            "map_index",
        ]
    ),
    words.map(lambda text: text.encode(errors="replace").decode()),
    max_size=4,
)


def assert_is_answered(answer, asked) -> None:
    # A database that says no is not the page's failure; but nothing that is asked for makes it say so.
    assert answer.status_code < 500, (asked, answer.text)
    if answer.status_code >= 400 and answer.headers["content-type"].startswith("application/json"):
        refused(answer)


@BOUNDED
@given(path=st.sampled_from(GETS), names=names, query=queries)
def test_no_question_makes_the_page_fail(boss, hook, path, names, query):
    asked = address(path, names, query)
    assert_is_answered(boss.get(asked, follow_redirects=False), asked)


@BOUNDED
@given(path=st.sampled_from(POSTS), names=names, body=bodies)
def test_no_action_makes_the_page_fail(boss, hook, path, names, body):
    asked = address(path, names, {})
    answer = boss.post(asked, content=json.dumps(body), headers=JSON, follow_redirects=False)
    assert_is_answered(answer, (asked, body))


@BOUNDED
@given(path=st.sampled_from(WITH_BODY), body=st.binary(max_size=60))
def test_no_bytes_make_the_page_fail(boss, hook, path, body):
    assert_is_answered(boss.post(fill(path), content=body, headers=JSON), body)
