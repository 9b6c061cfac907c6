"""What functions that consume take and return: `Message` and `Outcome`."""

from __future__ import annotations

from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.outcomes import Outcome

__all__ = ["Message", "Outcome"]
