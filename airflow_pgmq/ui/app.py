"""The application that Airflow's API server mounts at `/pgmq`."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from airflow_pgmq.ui import api_actions, api_jobs, api_messages, api_queues, asking, pages
from airflow_pgmq.ui.headers import Surrounding

# No OpenAPI: its pages would be routes without a guard, with inline scripts.
# No redirects but ours: Starlette's lead to whatever host the request names.
app = FastAPI(title="PGMQ", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
app.add_middleware(Surrounding)
app.add_exception_handler(RequestValidationError, asking.refuse)
for _part in (api_queues, api_messages, api_jobs, api_actions):
    app.include_router(_part.router)
pages.attach(app)
