"""Ctrl-C ends long work without losing any of it."""

import signal
from collections.abc import Callable
from typing import Any


class stopping_on_signals:
    """A `with` block in which the first Ctrl-C or SIGTERM calls `stop`, and a second one ends it.

    Args:
        stop: called with the signal's number.
    """

    def __init__(self, stop: Callable[[int], None]):
        self._stop = stop
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._handle)
            except ValueError:  # not in the main thread, where signals do not arrive anyway
                pass

    def _handle(self, number: int, _) -> None:
        self._stop(number)
        signal.signal(number, self._previous[number])

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
