"""Queues as assets: `pgmq://<connection id>/<queue>`, the same asset for senders and consumers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from airflow.sdk import Asset

from airflow_pgmq import lineage
from airflow_pgmq.core import names
from airflow_pgmq.errors import InvalidArgument

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.sdk import AssetWatcher

__all__ = ["convert_asset_to_openlineage", "create_asset", "queue_asset", "sanitize_uri"]


def queue_asset(
    queue_name: str,
    *,
    pgmq_conn_id: str = "pgmq_default",
    watchers: list[AssetWatcher] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Asset:
    """The asset of a queue: an outlet of the tasks that send to it, the schedule of the Dag that consumes it.

    Airflow's asset graph joins the two by the URI. A successful send task updates the asset, as the trigger's
    doorbell does, and so starts the consuming Dag at once.

    :param queue_name: the queue
    :param pgmq_conn_id: the Airflow connection
    :param watchers: `AssetWatcher`s with a `PgmqEventTrigger`, where the consuming Dag is declared
    :param extra: more details for Airflow to show
    """
    return Asset(
        names.uri(pgmq_conn_id, queue_name), watchers=watchers or [], extra=dict(extra) if extra else None
    )


def create_asset(
    *, queue_name: str, pgmq_conn_id: str = "pgmq_default", extra: Mapping[str, Any] | None = None
) -> Asset:
    """Create an asset for Airflow's lineage collectors."""
    return queue_asset(queue_name, pgmq_conn_id=pgmq_conn_id, extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check a URI when a Dag file is parsed, and write the queue as PGMQ stores it: in lower case.

    :raises InvalidArgument: the URI has no connection or no queue
    """
    path = uri.path.strip("/")
    if not uri.netloc or not path or "/" in path:
        raise InvalidArgument("A pgmq URI must be pgmq://<connection id>/<queue>.")
    queue_name = names.lower(names.queue(unquote(path)))
    return uri._replace(path=f"/{quote(queue_name, safe='')}", query="", fragment="")


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """The OpenLineage dataset of a queue: the same that tasks report."""
    from airflow_pgmq.hooks import PgmqHook

    parsed = urlsplit(asset.uri)
    arguments = lineage.connection_arguments(PgmqHook(parsed.netloc))
    return lineage.queue_dataset(unquote(parsed.path.strip("/")), parsed.netloc, arguments)
