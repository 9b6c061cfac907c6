"""Queues in OpenLineage: tasks report the queues that they read and write as datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_pgmq.core import names

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage


class ReportsQueues:
    """Mixin: OpenLineage's provider calls it when a task has ended; nothing of it is imported earlier.

    Must come after an operator in the list of bases: Airflow maps a task by the parameters of the first base.
    """

    hook: Any
    pgmq_conn_id: str

    def queues_read(self) -> Iterable[str]:
        """The queues that the task takes messages from."""
        return ()

    def queues_written(self) -> Iterable[str]:
        """The queues that the task sends to."""
        return ()

    def tables_written(self) -> Iterable[str]:
        """Tables of the queues' database that the task fills."""
        return ()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """The task's inputs and outputs; also after a failure, which may have come after the work."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        arguments = connection_arguments(self.hook)
        return OperatorLineage(
            inputs=[queue_dataset(name, self.pgmq_conn_id, arguments) for name in self.queues_read()],
            outputs=[
                *(queue_dataset(name, self.pgmq_conn_id, arguments) for name in self.queues_written()),
                *(table_dataset(name, arguments) for name in self.tables_written() if arguments is not None),
            ],
        )


def connection_arguments(hook: Any) -> Mapping[str, Any] | None:
    """The connection arguments of a hook's database; None if the connection is not available."""
    try:
        arguments: Mapping[str, Any] = hook.connection_arguments()
    except Exception:
        return None
    return arguments


def queue_dataset(queue_name: str, pgmq_conn_id: str, arguments: Mapping[str, Any] | None) -> Dataset:
    """The queue's table, named as OpenLineage names Postgres tables, so that it matches that of SQL tasks.

    If the connection is not available, only the asset's URI is known.
    """
    if arguments is not None:
        return table_dataset(".".join(names.table(queue_name)), arguments)
    from airflow.providers.common.compat.openlineage.facet import Dataset

    return Dataset(namespace=f"pgmq://{pgmq_conn_id}", name=queue_name)


def table_dataset(table: str, arguments: Mapping[str, Any]) -> Dataset:
    """A table's dataset; without a schema, `public` is assumed."""
    # Called only where OpenLineage is installed.
    from airflow.providers.common.compat.openlineage.facet import Dataset

    host, port = arguments.get("host", "localhost"), arguments.get("port", 5432)
    path = table if "." in table else f"public.{table}"
    # libpq's default for the database is the user's name.
    database = arguments.get("dbname") or arguments.get("user", "")
    return Dataset(namespace=f"postgres://{host}:{port}", name=f"{database}.{path}")
