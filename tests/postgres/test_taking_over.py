"""The SQL of docs/migrating/ that takes over what waits in other queues of the same database."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_pgmq.db.statements import transfers
from tests.fixtures.factories import QUEUE, execute, queued

if TYPE_CHECKING:
    from airflow_pgmq.db.client import Client
    from tests.fixtures.postgres import Database

PAGE = Path(__file__).parents[2] / "docs" / "migrating" / "procrastinate.md"

#: The columns that the statement reads, as Procrastinate makes them.
JOBS = """
CREATE TYPE procrastinate_job_status AS ENUM ('todo', 'doing', 'succeeded');
CREATE TABLE procrastinate_jobs (
    id bigserial PRIMARY KEY, task_name varchar(128) NOT NULL, lock text, args jsonb DEFAULT '{}' NOT NULL,
    status procrastinate_job_status DEFAULT 'todo' NOT NULL, scheduled_at timestamptz
);
INSERT INTO procrastinate_jobs (task_name, lock, args, status, scheduled_at) VALUES
    ('charge', 'invoices', '{"invoice_id": 7}', 'todo', NULL),
    ('remind', NULL, '{}', 'todo', '2999-01-01Z'),
    ('charge', NULL, '{"invoice_id": 6}', 'succeeded', NULL)
"""


@pytest.mark.own_session("the user's statement finds its table by search_path")
def test_jobs_of_procrastinate_are_taken_over_once(client: Client, database: Database) -> None:
    (query,) = re.findall(r'sql="""(.*?)"""', PAGE.read_text(encoding="utf-8"), re.S)
    execute(database, JOBS)
    options = {"scope": "once", "window": timedelta(days=7), "fail_on_duplicate": False, "headers": None}

    counts = [client.run(lambda: transfers.send(QUEUE, query, None, **options)) for _ in range(2)]

    assert [each["sent"] for each in counts] == [2, 0]
    first, second = queued(database)
    assert (first["message"], second["message"]) == ({"do": "charge", "invoice_id": 7}, {"do": "remind"})
    assert first["headers"] == {"dedup_key": "procrastinate/1", "x-pgmq-group": "invoices"}
    assert second["headers"] == {"dedup_key": "procrastinate/2"}
    assert second["vt"].year == 2999
