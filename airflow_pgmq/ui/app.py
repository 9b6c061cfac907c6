"""The application that Airflow's API server mounts at `/pgmq`."""

from __future__ import annotations

from fastapi import FastAPI

from airflow_pgmq.ui import api_queues, pages
from airflow_pgmq.ui.headers import SecurityHeaders

# No OpenAPI: its pages would be routes without a guard, with inline scripts.
app = FastAPI(title="PGMQ", openapi_url=None, docs_url=None, redoc_url=None)
app.add_middleware(SecurityHeaders)
app.include_router(api_queues.router)
pages.attach(app)
