"""Fixtures for tests of your own Dags, on a real Postgres with PGMQ; pytest finds them by itself."""

from __future__ import annotations

from airflow_pgmq.testing.database import PgmqDatabase

__all__ = ["PgmqDatabase"]
