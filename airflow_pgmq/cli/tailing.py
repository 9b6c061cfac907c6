"""`airflow pgmq tail`: one line for each new message."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import Collection, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from airflow_pgmq import settings
from airflow_pgmq.cli.session import fail, hook_of, note, plain, read_only
from airflow_pgmq.core import message_view
from airflow_pgmq.services.tailing import Tail
from airflow_pgmq.services.waiting.timing import end

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_pgmq.hooks import PgmqHook

#: What a shell says of a program that a signal has ended.
_SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@read_only
def tail(args: Namespace) -> None:
    """Print messages as they come, until a limit, a signal or a closed pipe."""
    for option in ("limit", "last"):
        if (given := getattr(args, option)) is not None and given < 1:
            fail(f"--{option} must be at least 1, not {given}.")
    if args.from_start and args.last is not None:
        fail("Give --from-start or --last, not both.")
    hook = hook_of(args)
    followed = Tail(hook.client, args.queue_name, from_start=args.from_start, last=args.last or 0, tell=note)
    hook.close()
    try:
        code = asyncio.run(_until_end(args, hook, followed))
    except BrokenPipeError:
        code = _stop_writing()
    except KeyboardInterrupt:
        code = _SIGNALS[signal.SIGINT]
    if code:
        raise SystemExit(code)


async def _until_end(args: Namespace, hook: PgmqHook, followed: Tail) -> int:
    """Print until something ends it; the exit code."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def stop(code: int) -> None:
        if not ended.done():
            ended.set_result(code)
        # A second signal ends it at once.
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number, code in _SIGNALS.items():
        loop.add_signal_handler(number, stop, code)
    pipe = _pipe()
    if pipe is not None:
        loop.add_reader(pipe, lambda: stop(_stop_writing()))
    printing = asyncio.create_task(_print_all(args, hook, followed))
    reasons: list[asyncio.Future[Any]] = [printing, ended]
    try:
        await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        if printing.done():
            printing.result()
            return 0
        await end([printing])
        return ended.result()
    finally:
        if pipe is not None:
            loop.remove_reader(pipe)
        stop(0)


async def _print_all(args: Namespace, hook: PgmqHook, followed: Tail) -> None:
    keys = frozenset() if args.unredacted else settings.redact_keys()
    left = args.limit
    batches = followed.batches(
        hook.connection_arguments(),
        name=args.conn_id,
        refresh=sync_to_async(hook.connection_arguments),
        limits=settings.limits(),
    )
    async with aclosing(batches):
        async for rows in batches:
            for row in rows[:left]:
                print(_line(args, row, keys), flush=True)  # noqa: T201 - a command's own output
            if left is not None:
                left -= min(left, len(rows))
                if not left:
                    return


def _line(args: Namespace, row: Mapping[str, Any], keys: Collection[str]) -> str:
    shown = message_view.message(row, row["now"], peek=True, keys=keys)
    if args.json:
        return _json(shown)
    state = f"delayed until {shown['vt'].isoformat()}" if shown["state"] == "delayed" else shown["state"]
    content = f"(large: peek --msg-id {shown['msg_id']})" if shown["too_large"] else _json(shown["message"])
    parts = [shown["enqueued_at"].isoformat(), str(shown["msg_id"]), state, content]
    return " ".join([*parts, _json(shown["headers"])] if shown["headers"] else parts)


def _json(value: Any) -> str:
    """In one line; what could move a terminal's cursor is escaped, as JSON allows."""
    text = json.dumps(plain(value), ensure_ascii=False)
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _pipe() -> int | None:
    """Standard output, if it is a pipe: then an event says that nobody reads it any more."""
    with suppress(OSError, ValueError):
        number = sys.stdout.fileno()
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            return number
    return None


def _stop_writing() -> int:
    """Let what is still written go nowhere, without an error at the end of the process."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return 0
