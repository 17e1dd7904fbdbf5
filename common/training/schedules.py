"""Quantities that change over training, as functions of the step alone."""

import dataclasses
import math
from collections.abc import Callable

Schedule = Callable[[int], float]
"""Step, counted from 0 -> value at that step."""


@dataclasses.dataclass(frozen=True)
class Piecewise:
    """`values[i]` after step `boundaries[i - 1]`, as TF1's `piecewise_constant`.

    A single value is a constant.

    Raises:
        ValueError: not one more value than boundaries, or boundaries that do not increase.
    """

    values: tuple[float, ...]
    boundaries: tuple[int, ...] = ()

    def __post_init__(self):
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f'expected one value more than boundaries; found {len(self.values)} values and '
                f'{len(self.boundaries)} boundaries'
            )
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise ValueError(f'expected increasing boundaries; found {self.boundaries}')

    def __call__(self, step: int) -> float:
        return self.values[sum(step > boundary for boundary in self.boundaries)]


@dataclasses.dataclass(frozen=True)
class Cosine:
    """A linear rise over `rise` steps, then half a cosine from `peak` to 0 at `total` steps."""

    peak: float
    total: int
    rise: int = 0

    def __call__(self, step: int) -> float:
        if step < self.rise:
            return self.peak * (step + 1) / self.rise
        done = (step - self.rise) / max(1, self.total - self.rise)
        return self.peak * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@dataclasses.dataclass(frozen=True)
class LinearRise:
    """Rises linearly to 1 over the first `steps` steps and stays there."""

    steps: int = 0

    def __call__(self, step: int) -> float:
        return min(1.0, (step + 1) / self.steps) if self.steps else 1.0
