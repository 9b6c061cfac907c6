"""Jobs that a tick left out: how they are stored with their namespace, and told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from airflow_pgmq.core.wording import number_of

#: So many are stored, and so many characters of each reason: the log of the tick has all.
STORED, LENGTH = 20, 300
#: So many are told at once.
TOLD = 5


def stored(failed: Mapping[str, Sequence[str]]) -> str:
    """A text of ASCII letters, which every database can store; empty if none was left out."""
    if not failed:
        return ""
    first = sorted(failed)[:STORED]
    jobs = [[name, "; ".join(failed[name])[:LENGTH]] for name in first]
    return json.dumps({"count": len(failed), "jobs": jobs})


def told(text: str) -> str | None:
    """In a sentence; None if none was left out."""
    if not text:
        return None
    found = json.loads(text)
    count, jobs = found["count"], found["jobs"][:TOLD]
    named = "; ".join(f"{name}: {why.rstrip('.')}" for name, why in jobs)
    more = f"; and {count - len(jobs):,} more" if count > len(jobs) else ""
    sentence = f"The last tick left out {number_of(count, 'job', 'jobs')}. {named}{more}."
    return sentence.encode("utf-8", "backslashreplace").decode()
