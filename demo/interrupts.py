"""Turns the signals that end the demo into one exception, raised only where clean-up is possible."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal has asked the demo to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Interrupts:
    """The first signal raises `Interrupted`; later ones are ignored, so that the clean-up can finish."""

    def __init__(self) -> None:
        self._signum: int | None = None
        self._held = False

    def __enter__(self) -> Interrupts:
        self._previous = {signum: signal.signal(signum, self._handle) for signum in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Delay signals until the block ends, so that everything that it starts can be cleaned up."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._signum is not None:
            raise Interrupted(self._signum)

    @contextmanager
    def clean_up_after(self) -> Iterator[None]:
        """After the block only the clean-up follows, which no signal may interrupt."""
        try:
            yield
        finally:
            self._held = True

    def _handle(self, signum: int, _: FrameType | None) -> None:
        if self._signum is None:
            self._signum = signum
            if not self._held:
                raise Interrupted(signum)
