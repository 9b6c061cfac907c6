"""The application that Airflow's API server mounts at `/pgmq`."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from airflow_pgmq.ui import (
    api_actions,
    api_calendars,
    api_groups,
    api_health,
    api_job,
    api_jobs,
    api_live_jobs,
    api_messages,
    api_queues,
    pages,
    requests,
)
from airflow_pgmq.ui.headers import HeadersMiddleware

# No OpenAPI: its pages would need no permission, and they have inline scripts.
# No redirects by Starlette: they lead to any host that the request names.
app = FastAPI(title="PGMQ", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
app.add_middleware(HeadersMiddleware)
app.add_exception_handler(RequestValidationError, requests.validation_error)
for _part in (
    api_queues,
    api_groups,
    api_messages,
    api_jobs,
    api_job,
    api_live_jobs,
    api_calendars,
    api_actions,
    api_health,
):
    app.include_router(_part.router)
pages.attach(app)
