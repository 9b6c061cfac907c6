"""The page in Airflow's navigation, and macros. Each process of Airflow loads it, so it imports little."""

from __future__ import annotations

from typing import Any

from airflow_pgmq.macros import run_key

try:
    from airflow.sdk.plugins_manager import AirflowPlugin
except ImportError:  # before 3.2
    from airflow.plugins_manager import AirflowPlugin  # type: ignore[assignment]

__all__ = ["PgmqPlugin"]

# Relative, so that they work below any base URL.
_ICONS = {"icon": "pgmq/static/icons/pgmq.svg", "icon_dark_mode": "pgmq/static/icons/pgmq_dark.svg"}


def _tab(destination: str, url_route: str, query: str) -> dict[str, str]:
    return {
        "name": "PGMQ",
        "href": f"pgmq/ui/sent?{query}",
        "destination": destination,
        "url_route": url_route,
        **_ICONS,
    }


class PgmqPlugin(AirflowPlugin):
    """PGMQ in the menu Browse, as a tab of Dags, runs and tasks, and as `macros.pgmq` in templates.

    The views are frames, so that an error in them cannot break a page of Airflow.
    """

    name = "pgmq"
    macros = [run_key]  # noqa: RUF012 - as Airflow declares it
    external_views = [  # noqa: RUF012 - as Airflow declares it
        {
            "name": "PGMQ",
            "href": "pgmq/ui/",
            "destination": "nav",
            "category": "browse",
            "url_route": "pgmq",
            **_ICONS,
        },
        _tab("dag", "pgmq-dag", "dag_id={DAG_ID}"),
        _tab("dag_run", "pgmq-run", "dag_id={DAG_ID}&run_id={RUN_ID}"),
        _tab(
            "task_instance",
            "pgmq-ti",
            "dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
        ),
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Read only by the API server, so that workers and triggerers never import a web framework."""
        from airflow_pgmq.ui.app import app

        return [{"app": app, "url_prefix": "/pgmq", "name": "PGMQ"}]
