"""JSON lines: a value on each line of a file or of standard input, read in bounded memory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from airflow_pgmq.core import json_types
from airflow_pgmq.core.message_stream import STEP
from airflow_pgmq.errors import InvalidInput

#: Bytes of a line. The JSON of a message may be longer than the message: escapes, spaces.
LONGEST = 64 * 1024 * 1024


class BadLine(Exception):
    """A line that cannot be sent."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"Line {number}: {reason}")


class JsonLines:
    """The values, one after the other; empty lines are left out.

    :param first: the number of the line to begin with
    """

    def __init__(self, stream: BinaryIO, first: int = 1) -> None:
        self._stream = stream
        self._first = first
        #: The line that was read last.
        self.number = 0
        #: Bytes that were read.
        self.size = 0
        # Those that are checked together: an error does not say which of them it is about.
        self._recent: deque[tuple[int, Any]] = deque(maxlen=STEP)

    def __iter__(self) -> Iterator[Any]:
        """Read on.

        :raises BadLine: it is not JSON
        """
        while line := self._stream.readline(LONGEST):
            self.number += 1
            self.size += len(line)
            if len(line) == LONGEST and not line.endswith(b"\n"):
                raise BadLine(self.number, f"it is longer than {LONGEST:,} bytes.")
            if self.number < self._first or not line.strip():
                continue
            value = self._parsed(line)
            self._recent.append((self.number, value))
            yield value

    def find_bad(self, check: Callable[[Any], object]) -> BadLine | None:
        """The line that this check refuses, among those that were read last."""
        for number, value in self._recent:
            try:
                check(value)
            except InvalidInput as exc:
                return BadLine(number, exc.text)
        return None

    def _parsed(self, line: bytes) -> Any:
        try:
            # Windows begins a file with a byte order mark.
            text = line.decode("utf-8-sig" if self.number == 1 else "utf-8")
            return json.loads(text, object_pairs_hook=json_types.once)
        except UnicodeDecodeError as exc:
            raise BadLine(self.number, f"it is not UTF-8 ({exc.reason} at byte {exc.start + 1}).") from None
        except (ValueError, RecursionError) as exc:
            raise BadLine(self.number, f"it is not JSON ({exc}).") from None
