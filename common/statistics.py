"""Measured numbers with their intervals, and tests of differences."""

import math
from typing import NamedTuple

import numpy as np

_Z = 1.959963984540054  # 97.5% quantile of the standard normal distribution


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95% score interval of a proportion (Wilson 1927), which stays inside [0, 1].

    Args:
        successes: from 0 to `n`.
        n: trials, at least 1.

    Returns:
        Its lower and upper end, which include successes / n.
    """
    p = successes / n
    centre = (p + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z / (1 + _Z * _Z / n) * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))
    # Exact at 0 and at n, where rounding must not exclude the proportion itself.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high


def counted(n: int, noun: str) -> str:
    """A number of things: '1 image', '1,000 images'."""
    return f'{n:,} {noun}' if n == 1 else f'{n:,} {noun}s'


class Measured(NamedTuple):
    """A number with the ends of its 95% interval."""

    value: float
    low: float
    high: float

    @classmethod
    def share(cls, holds: np.ndarray) -> 'Measured':
        """The share of [n] bool that holds, with Wilson's interval; NaN for a share of none."""
        count, n = int(np.sum(holds)), len(holds)
        return cls(count / n, *wilson_interval(count, n)) if n else cls(math.nan, 0.0, 1.0)

    @classmethod
    def mean(cls, values: np.ndarray, quantile: float = _Z) -> 'Measured':
        """The mean of [n] values that were drawn independently; NaN for no values.

        Args:
            values: the numbers.
            quantile: 97.5% quantile of the mean's distribution; by default the normal one, for
                many values.
        """
        n = len(values)
        if not n:
            return cls(math.nan, math.nan, math.nan)
        deviation = float(np.std(values, ddof=1)) if n > 1 else math.inf
        mean, margin = float(np.mean(values)), quantile * deviation / math.sqrt(n)
        return cls(mean, mean - margin, mean + margin)

    @property
    def known(self) -> float | None:
        """The number; None for NaN, which JSON lacks."""
        return None if math.isnan(self.value) else self.value

    def above(self, other: 'Measured') -> bool:
        """Whether it is greater, and the intervals do not meet."""
        return self.low > other.high

    def ends(self, form: str = '.1%') -> str:
        """The interval in words, such as '1.5% to 2.5%'."""
        return f'{self.low:{form}} to {self.high:{form}}'

    def shown(self, form: str = '.2%') -> str | None:
        """The number with its interval, such as '2.00% (1.50% to 2.50%)'; None for NaN."""
        return None if self.known is None else f'{self.value:{form}} ({self.ends(form)})'


def paired_difference(a: np.ndarray, b: np.ndarray) -> Measured:
    """How much greater the share of `b` is than that of `a`, both [n] bool on the same images.

    The interval is Agresti and Min's (2005): Wald's with half an image added to each of the four
    cells, so that it has a width where the two differ in no image.
    """
    gained, lost = disagreements(a, b)
    net, n = gained - lost, len(a) + 2
    half = _Z / n * math.sqrt(gained + lost + 1 - net * net / n)
    return Measured(net / len(a), max(net / n - half, -1.0), min(net / n + half, 1.0))


def disagreements(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    """How many of [n] bool are true only in `b`, and only in `a`."""
    return int(np.sum(b & ~a)), int(np.sum(a & ~b))


def sign_test(a: int, b: int) -> float:
    """Two-sided probability of so uneven a split, or a more uneven one, by fair coins."""
    n, term, total = a + b, 1, 0
    for k in range(min(a, b) + 1):
        total += term  # n over k
        term = term * (n - k) // (k + 1)
    return min(1.0, 2 * total / 2**n)
