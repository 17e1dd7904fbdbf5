"""Ctrl-C ends long work without losing any of it."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """A block in which the first Ctrl-C or SIGTERM calls `stop`, and a second one ends it."""
    previous: dict[int, Any] = {}

    def handle(number: int, _: Any) -> None:
        stop()
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # not in the main thread, where none arrives anyway
            previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for caught, handler in previous.items():
            signal.signal(caught, handler)
