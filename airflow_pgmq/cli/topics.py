"""The commands for topics: `airflow pgmq bind`, `unbind` and `topics`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from airflow_pgmq.cli.session import audited, hook_of, note, read_only, say, show
from airflow_pgmq.errors import QueueNotFound

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_pgmq.hooks import PgmqHook


@audited
def bind(args: Namespace) -> None:
    """Bind a pattern to a queue."""
    hook_of(args).bind_topic(args.pattern, args.queue_name)
    say(f"Queue {args.queue_name} gets what is sent to {args.pattern}.")


@audited
def unbind(args: Namespace) -> None:
    """Undo a binding."""
    hook = hook_of(args)
    was_bound = hook.unbind_topic(args.pattern, args.queue_name)
    if not was_bound:
        _check(hook, args.queue_name)
    no_longer = f"no longer gets what is sent to {args.pattern}"
    say(f"Queue {args.queue_name} {no_longer if was_bound else f'was not bound to {args.pattern}'}.")


@read_only
def topics(args: Namespace) -> None:
    """List bindings, of one queue or of all."""
    hook = hook_of(args)
    name = args.queue_name
    if name is not None:
        _check(hook, name)
    found = hook.topics(name)
    show(args, [dataclasses.asdict(each) for each in found])
    if not found:
        note("No pattern is bound. Bind one with `airflow pgmq bind PATTERN QUEUE`.")


def _check(hook: PgmqHook, queue_name: str) -> None:
    if queue_name not in {queue.queue_name for queue in hook.list_queues()}:
        raise QueueNotFound(queue_name)
