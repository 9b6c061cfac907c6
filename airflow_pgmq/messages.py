"""What consuming functions take and return; `Unreadable` is content that Python cannot load."""

from __future__ import annotations

from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.outcomes import Outcome
from airflow_pgmq.core.payload import Unreadable

__all__ = ["Message", "Outcome", "Unreadable"]
