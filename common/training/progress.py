"""What a training tells whoever waits for it: its speed, and how long it will still take."""

import contextlib
import time
from collections.abc import Callable, Iterator

_EARLY = (0, 1, 2, 5, 10, 20, 50)  # steps of a run that get a line besides those of the log
_MEASURED = 10  # steps, or seconds, that a first estimate rests on
_SILENCE = 60.0  # seconds after which a line is due where no progress bar is seen


class Progress:
    """The speed of a training, measured from its second step on: the first one is compiled.

    Args:
        start: first step of this run.
        total: steps of the whole training.
        batch_size: examples in a step.
        clock: returns seconds.
    """

    def __init__(
        self,
        start: int,
        total: int,
        batch_size: int,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._total, self._batch_size, self._clock = total, batch_size, clock
        self._left = total - start
        self._timed = -1  # steps since the first one
        self._began = self._told = clock()
        self._paused = 0.0
        self._estimated = False

    def is_early(self) -> bool:
        """Whether the coming step is one of the first that get a line on the terminal."""
        return self._timed + 1 in _EARLY

    def stepped(self) -> None:
        """Counts a step that is done."""
        self._left -= 1
        self._timed += 1
        if self._timed == 0:
            self._began, self._paused = self._clock(), 0.0

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """A block beside the steps, such as validation: it delays the end, but not the steps."""
        start = self._clock()
        yield
        self._paused += self._clock() - start

    def told(self) -> None:
        """Notes that a line was printed."""
        self._told = self._clock()

    def is_silent(self) -> bool:
        """Whether nothing was printed for so long that a line is due."""
        return self._clock() - self._told >= _SILENCE

    @property
    def rate(self) -> float | None:
        """Examples a second; None before there is a step to measure."""
        if self._timed < 1:
            return None
        return self._timed * self._batch_size / (self._clock() - self._began - self._paused)

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at this pace; None before there is a step to measure."""
        if self._timed < 1:
            return None
        return self._left * (self._clock() - self._began) / self._timed

    def first_estimate(self) -> tuple[str, float] | None:
        """Once, as soon as enough was measured: how long the rest takes, in words, and seconds."""
        measured = self._timed >= _MEASURED or (
            self._timed >= 1 and self._clock() - self._began >= _MEASURED
        )
        rate = self.rate
        if self._estimated or not measured or not self._left or rate is None:
            return None
        self._estimated = True
        seconds = self._left * self._batch_size / rate
        return f'{self._left:,} steps at {rate:,.0f} examples/s: about {duration(seconds)}', seconds


def duration(seconds: float) -> str:
    """A duration in words: '40 seconds', '59 minutes', '6.6 hours', '3.1 days'."""
    for unit, length, most, digits in (
        ('second', 1, 90, 0),
        ('minute', 60, 90, 0),
        ('hour', 3600, 48, 1),
        ('day', 86400, float('inf'), 1),
    ):
        number = f'{seconds / length:.{digits}f}'
        if float(number) <= most:
            return f'{number} {unit}{"" if number == "1" else "s"}'
    raise ValueError(f'expected a number of seconds; found {seconds}')
