"""Templates of periodic jobs by Jinja in Airflow's environment."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_pgmq.core import message_template
from airflow_pgmq.errors import InvalidJobs, InvalidMessage
from airflow_pgmq.hooks import rendering
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.operators import PgmqPeriodicOperator

SLOT = datetime(2026, 6, 1, 22, 30, tzinfo=timezone.utc)
JOB = PeriodicJob(
    name="report",
    cron="30 22 * * *",
    queue_name="mail",
    params={"region": "eu", "limits": [1, 2], "deep": {"x": None}},
)
BERLIN = PeriodicJob(name="report", cron="30 0 * * *", timezone="Europe/Berlin", queue_name="mail")


def rendered(value: Any, job: PeriodicJob = JOB) -> Any:
    import json

    values = message_template.SlotValues(job, SLOT, "shop")
    return message_template.render(json.dumps(value), values, rendering.SlotRenderer())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{{ ds }}", "2026-06-01"),
        ("{{ ts }}", "2026-06-01T22:30:00+00:00"),
        ("{{ slot }}", SLOT),
        ("{{ slot | ts_nodash }}", "20260601T223000"),
        ("of {{ slot_local | ds }}", "of 2026-06-01"),
        ("{{ interval_start | ts }} to {{ interval_end | ts }}",)
        + ("2026-05-31T22:30:00+00:00 to 2026-06-01T22:30:00+00:00",),
        ("{{ job }}/{{ namespace }}", "report/shop"),
        ("{{ params.region }}", "eu"),
        # The value itself, not its text, where the string is one expression.
        ("{{ params.limits }}", [1, 2]),
        ("{{ params.deep }}", {"x": None}),
        ("{{- params.limits[0] + 1 -}}", 2),
        ("{{--params.limits[0]-}}", -1),
        ("{{ slot.day == 1 }}", True),
        ("{{ params.deep.x }}", None),
        ("{{ params.limits | map('string') | list }}", ["1", "2"]),
        (" {{ params.limits[0] }}", " 1"),
        ("{% if slot.hour > 12 %}late{% else %}early{% endif %}", "late"),
        ("{# nothing #}", ""),
        ("{% raw %}{{ ds }}{% endraw %}", "{{ ds }}"),
        ("{{ '{{ ds }}' }}", "{{ ds }}"),
        ("{{ '1' }}", "1"),
        ({"a": ["{{ ds }}", {"b": "{{ job }}"}], "c": 1}, {"a": ["2026-06-01", {"b": "report"}], "c": 1}),
        ("{{ (slot_local - slot).total_seconds() }}", 0.0),
        ("plain", "plain"),
    ],
)
def test_what_templates_become(value: Any, expected: Any) -> None:
    assert rendered(value) == expected


def test_local_times_are_in_the_jobs_zone() -> None:
    assert rendered("{{ slot_local | ds }} {{ slot | ds }}", BERLIN) == "2026-06-02 2026-06-01"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("{{ params.limits.append(3) or params.limits }}", "{{ params.limits }}", [[1, 2, 3], [1, 2]]),
        ("{{ params.deep.update(x=1) or params.deep.x }}", "{{ params.deep.x }}", [1, None]),
        ("{% set ds = 'mine' %}{{ ds }}", "{{ ds }}", ["mine", "2026-06-01"]),
        ("{% set range = 1 %}{{ range }}", "{{ range(2) | list }}", ["1", [0, 1]]),
    ],
)
def test_a_template_changes_nothing_for_others(first: str, second: str, expected: list[Any]) -> None:
    """Neither in the same message, nor for the next slot of the same job."""
    assert rendered([first, second]) == expected
    assert rendered([first, second]) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{{ dag_run.run_id }}", "asks for dag_run. A message's template knows slot, slot_local,"),
        ("{{ params.typo }}", "has no attribute 'typo'"),
        ("x {{ params.typo }}", "has no attribute 'typo'"),
        ("{{ params.limits | random }}", "nothing random"),
        ("{{ lipsum() }}", "asks for lipsum"),
        ("{{ slot.__class__.__mro__ }}", "unsafe"),
        ("{{ job.upper }}", "is a builtin_function_or_method, which has no text of its own"),
        ("x {{ job.upper }}", "is a builtin_function_or_method"),
        ("{{ params.limits | map('string') }}", "is a generator, which has no text of its own; add | list"),
        ("{{ [job.upper] }}", "is a builtin_function_or_method"),
        ("{{ params.items ~ '' }}", "an address in memory"),
        ("x {{ params.items ~ '' }}", "an address in memory"),
        ("{{ slot.now() }}", "unsafe"),
        ("{{ slot.astimezone() }}", "unsafe"),
        ("{{ 1 / 0 }}", "fails for the slot 2026-06-01T22:30:00+00:00: ZeroDivisionError"),
        ("{{ ds ", "cannot be read: unexpected end of template"),
        ("{% for %}", "cannot be read"),
        ("{{ nothing | nofilter }}", "No filter named 'nofilter'"),
        ("{{ " + "(" * 68 + "1" + ")" * 68 + " }}", "has brackets within brackets, more than 30 deep."),
        ("{{ 1" + " | int" * 3000 + " }}", "cannot be read: RecursionError"),
        ("{{ '%s' | format(10**5000) }}", "cannot be read: ValueError: Exceeds the limit"),
        ({"{{ ds }}": 1}, "The key '{{ ds }}' looks like a template: only values are rendered."),
    ],
)
def test_mistakes(value: Any, expected: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        rendered(value)
    assert expected in str(caught.value)


def test_mistakes_are_found_when_the_dag_is_parsed() -> None:
    jobs = [
        PeriodicJob(name="good", cron="0 5 * * *", queue_name="mail", message="{{ ds }}"),
        PeriodicJob(name="bad", cron="0 5 * * *", queue_name="mail", message={"day": "{{ execution_date }}"}),
        PeriodicJob(name="worse", cron="0 5 * * *", queue_name="mail", headers={"day": "{{ 1 / 0 }}"}),
    ]
    with pytest.raises(InvalidJobs) as caught:
        PgmqPeriodicOperator(task_id="tick", jobs=jobs)
    assert set(caught.value.problems) == {"bad", "worse"}
    assert "asks for execution_date" in str(caught.value)


def test_what_a_template_makes_has_the_limit_of_a_message() -> None:
    large = PeriodicJob(name="large", cron="0 5 * * *", queue_name="mail", message="{{ 'x' * 2000000 }}")
    with pytest.raises(InvalidJobs, match="The message has 2,000,002 bytes, the limit is 1,048,576"):
        rendering.check([large])


def test_jobs_without_templates_do_not_load_the_engine() -> None:
    code = (
        "import sys; from airflow_pgmq.core import slot_messages; from airflow_pgmq.jobs import PeriodicJob;"
        "from datetime import datetime, timezone;"
        "job = PeriodicJob(name='a', cron='0 5 * * *', queue_name='mail', message={'a': {'b': 1}});"
        "slot_messages.outgoing(job, datetime(2026, 1, 1, 5, tzinfo=timezone.utc), 'shop', None);"
        "assert 'jinja2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_process_makes_the_same_bytes() -> None:
    code = (
        "import json; from datetime import datetime, timezone;"
        "from airflow_pgmq.core import slot_messages; from airflow_pgmq.jobs import PeriodicJob;"
        "from airflow_pgmq.hooks.rendering import SlotRenderer;"
        "job = PeriodicJob(name='a', cron='0 5 * * *', queue_name='mail', params={'x': {'b': 1, 'a': [2]}},"
        " message={'z': '{{ params.x }}', 'at': '{{ slot_local }}', 'a': '{{ params.x.items() | list }}'});"
        "print(slot_messages.outgoing(job, datetime(2026, 1, 1, 5, tzinfo=timezone.utc), 's', None,"
        " SlotRenderer()).message)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "TZ": zone, "PATH": ""},
        ).stdout.splitlines()[-1]
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(found) == 1
