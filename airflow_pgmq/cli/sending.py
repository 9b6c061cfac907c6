"""The commands that send: `airflow pgmq send` and `send-batch`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_pgmq import metrics, settings
from airflow_pgmq.cli.json_lines import BadLine, JsonLines
from airflow_pgmq.cli.progress import progress
from airflow_pgmq.cli.session import audited, fail, hook_of, json_of, note, object_of, read_only, show
from airflow_pgmq.core import message_stream
from airflow_pgmq.core.batch import Batch, prepare
from airflow_pgmq.db.client import DriverError
from airflow_pgmq.errors import BrokenOff, InvalidInput, InvalidMessage, PgmqError
from airflow_pgmq.services import sending_stream

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_pgmq.core.send_results import SendResult


@read_only
def send(args: Namespace) -> None:
    """Send a message and print the result. Not in the audit log: a row there would contain the message."""
    text = sys.stdin.read() if args.message == "-" else args.message
    result = hook_of(args).send(
        args.queue_name,
        json_of(text, "The message"),
        headers=object_of(args.headers, "--headers"),
        delay=args.delay,
        ttl=args.ttl,
        group=args.group,
        dedup_key=args.dedup_key,
        dedup_scope=args.dedup_scope,
        on_duplicate=args.on_duplicate,
    )
    show(args, [result.as_dict()])


@audited
def send_batch(args: Namespace) -> None:
    """Send JSON lines in parts that are committed one by one; an error says which lines are sent."""
    if args.from_line < 1:
        fail(f"--from-line must be at least 1, not {args.from_line}.")
    options: dict[str, Any] = {
        "headers": object_of(args.headers, "--headers"),
        "delays": args.delay,
        "ttl": args.ttl,
    }
    options |= {"group": args.group, "max_bytes": settings.max_message_bytes()}
    # Mistakes of the options are told before anything is read.
    prepare([], **options)
    if args.dedup_field is not None:
        options["dedup_keys"] = _key_of(args.dedup_field)
    hook = hook_of(args)
    with _opened(args.file) as (stream, size), progress(size) as advance:
        lines = JsonLines(stream, args.from_line)
        sent = _Sent(lines, advance, args.queue_name)
        with sent.told(lambda message: list(message_stream.batches([message], **options))):
            counts = sending_stream.send(
                hook.client,
                args.queue_name,
                sent.watched(message_stream.batches(lines, **options)),
                tell=sent.tell,
                scope=args.dedup_scope,
                on_duplicate=args.on_duplicate,
            )
    show(args, [counts])


class _Sent:
    """Which lines are sent, for the end and for what may come before it."""

    def __init__(self, lines: JsonLines, advance: Callable[[int, int], None], queue_name: str) -> None:
        self._lines = lines
        self._advance = advance
        self._queue_name = queue_name
        self._count = 0
        #: The last line that is sent, and the last one of the part that is being sent.
        self._line = self._until = 0

    def watched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same parts."""
        for batch in batches:
            self._until = self._lines.number
            yield batch

    def tell(self, results: Sequence[SendResult]) -> None:
        """Note that a part is committed."""
        self._line = self._until
        self._count += len(results)
        counts = Counter(result.status for result in results)
        metrics.sent(self._queue_name, counts["sent"], counts["duplicate"])
        self._advance(self._count, self._lines.size)

    @contextmanager
    def told(self, check: Callable[[Any], object]) -> Iterator[None]:
        """Let no error end the block without a word about the lines that are sent."""
        try:
            yield
        except BadLine as exc:
            fail(str(exc), self._said())
        except InvalidInput as exc:
            if (bad := self._lines.find_bad(check)) is not None:
                fail(str(bad), self._said())
            self._note(exc)
            raise
        except (PgmqError, DriverError) as exc:
            self._note(exc)
            raise
        except OSError as exc:
            fail(f"The input cannot be read: {exc}.", self._said())
        except KeyboardInterrupt as exc:
            note(self._said(exc))
            raise SystemExit(130) from None

    def _note(self, exc: BaseException) -> None:
        if self._line or self._is_unknown(exc):
            note(self._said(exc))

    def _is_unknown(self, exc: BaseException | None) -> bool:
        """Whether the part that was being sent may be committed."""
        return self._until > self._line and isinstance(exc, (BrokenOff, DriverError, KeyboardInterrupt))

    def _said(self, exc: BaseException | None = None) -> str:
        sent = f"Sent up to line {self._line}" if self._line else ""
        if self._is_unknown(exc):
            also = f"{sent}; whether also" if sent else "Whether"
            return f"{also} up to line {self._until} is not known."
        return f"{sent}; go on with --from-line {self._line + 1}." if sent else "Nothing is sent."


def _key_of(field: str) -> Callable[[Any], str]:
    """The dedup key of a message is this field of it."""

    def key(message: Any) -> str:
        value = message.get(field) if isinstance(message, dict) else None
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise InvalidMessage(
                f"its field {field!r} should be the dedup key, and is no text and no whole number."
            )
        return str(value)

    return key


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The bytes of a file, or of standard input for `-`; and how many, if that is known."""
    if file == "-" and sys.stdin.isatty():
        note("Type a JSON value on each line, and Ctrl-D at the end.")
    if file == "-":
        yield sys.stdin.buffer, None
        return
    try:
        stream = open(file, "rb")  # noqa: SIM115 - an error of the block is another one
    except OSError as exc:
        fail(f"{file} cannot be read: {exc}.")
    with stream:
        yield stream, os.fstat(stream.fileno()).st_size or None
