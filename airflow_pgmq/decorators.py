"""`@task.pgmq`: a function as a task that drains a queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

from airflow_pgmq.core.signature import Signature
from airflow_pgmq.operators.consume import PgmqConsumeOperator

__all__ = ["pgmq_task"]


class _PgmqDecoratedOperator(DecoratedOperator, PgmqConsumeOperator):  # type: ignore[misc]  # op_args
    """`PgmqConsumeOperator` whose function is the decorated one."""

    template_fields: Sequence[str] = PgmqConsumeOperator.template_fields
    template_fields_renderers = PgmqConsumeOperator.template_fields_renderers
    custom_operator_name = "@task.pgmq"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Any = None,
        op_kwargs: Any = None,
        transactional: bool = False,
        **kwargs: Any,
    ) -> None:
        # A mapped task is created again from the stored arguments, in which the function is wrapped already.
        function = getattr(python_callable, "__pgmq_function__", python_callable)
        wrapped = Signature.of(function, transactional=transactional).without_ours()
        wrapped.__pgmq_function__ = function  # type: ignore[attr-defined]
        super().__init__(
            kwargs_to_upstream={"python_callable": wrapped, "op_args": op_args, "op_kwargs": op_kwargs},
            python_callable=wrapped,
            op_args=op_args,
            op_kwargs=op_kwargs,
            transactional=transactional,
            **kwargs,
        )

    @property
    def _function(self) -> Callable[..., Any]:
        function: Callable[..., Any] = self.python_callable.__pgmq_function__  # type: ignore[attr-defined]
        return function


def pgmq_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Turn a function into a task that drains a queue; parameters as for `PgmqConsumeOperator`.

    :param python_callable: takes `message` or `messages`, with `transactional=True` also `conn`
    """
    return task_decorator_factory(
        python_callable=python_callable,
        # A return annotation describes outcomes, but the task's result is one dict of counts.
        multiple_outputs=False,
        decorated_operator_class=_PgmqDecoratedOperator,
        **kwargs,
    )
