"""Which arguments a consuming function gets: messages by name, the rest as in Airflow's tasks."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_pgmq.errors import InvalidArgument

#: The name of its parameter says whether the function takes one message at a time, or a list of them.
ONE, MANY, CONNECTION = "message", "messages", "conn"


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's parameters: those that we pass, and the rest, from the Dag's author and the context."""

    function: Callable[..., Any]
    together: bool
    wants_connection: bool
    rest: inspect.Signature

    @classmethod
    def of(cls, function: Callable[..., Any], *, transactional: bool) -> Signature:
        """Check the function at Dag parse."""
        name = getattr(function, "__name__", repr(function))
        signature = inspect.signature(function)
        given = set(signature.parameters) & {ONE, MANY}
        if len(given) != 1:
            raise InvalidArgument(
                f"{name} must have a parameter {ONE!r}, to get one message at a time, or {MANY!r}, to get a "
                "list of them."
            )
        if inspect.iscoroutinefunction(function):
            raise InvalidArgument(f"{name} is a coroutine function; call asyncio.run() inside a plain one.")
        if transactional and CONNECTION not in signature.parameters:
            raise InvalidArgument(
                f"{name} must have a parameter {CONNECTION!r}: transactional work is done on that connection."
            )
        ours = given | ({CONNECTION} if transactional else set())
        kept = [each for each in signature.parameters.values() if each.name not in ours]
        if any(
            each.kind in (each.POSITIONAL_ONLY, each.VAR_POSITIONAL) for each in signature.parameters.values()
        ):
            raise InvalidArgument(f"{name} must take its parameters by name: no '*args' and no '/'.")
        return cls(function, MANY in given, transactional, signature.replace(parameters=kept))

    def without_ours(self) -> Callable[..., Any]:
        """The function with the parameters that its caller in a Dag passes: Airflow binds only these."""

        @functools.wraps(self.function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self.function(*args, **kwargs)

        call.__signature__ = self.rest  # type: ignore[attr-defined]
        return call

    def bind(
        self, op_args: Sequence[Any], op_kwargs: Mapping[str, Any], context: Mapping[str, Any]
    ) -> Callable[[list[Any], Any], Any]:
        """A function that needs only messages and connection; the author's values win over the context's."""
        parameters = self.rest.parameters
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        positional = dict(zip(parameters, op_args, strict=False))
        values = {**context, **op_kwargs}
        named = {name: values[name] for name in (values if takes_all else parameters) if name in values}
        arguments = {**named, **positional}

        def call(messages: list[Any], conn: Any) -> Any:
            ours: dict[str, Any] = {MANY: messages} if self.together else {ONE: messages[0]}
            if self.wants_connection:
                ours[CONNECTION] = conn
            return self.function(**{**arguments, **ours})

        return call
