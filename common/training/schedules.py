"""Quantities that change over training, as functions of the step alone."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from common.errors import UserError
from common.training.setting import Choice, setting

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


def _piecewise(config: Any) -> Piecewise:
    boundaries = config.boundaries
    if not boundaries:
        raise UserError(
            '--boundaries: expected at least one step with --schedule=piecewise; found none. For '
            'example --boundaries=40000,60000.'
        )
    values = tuple(config.learning_rate * 0.1**i for i in range(len(boundaries) + 1))
    try:
        return Piecewise(values, boundaries)
    except ValueError as error:
        raise UserError(
            '--boundaries: expected increasing whole numbers separated by commas, found '
            f'{",".join(map(str, boundaries))!r}. For example --boundaries=40000,60000.'
        ) from error


SCHEDULES = {
    'constant': Choice('it does not', lambda config: Piecewise((config.learning_rate,))),
    'cosine': Choice(
        'half a cosine down to 0, after a linear rise over --learning_rate_warmup steps',
        lambda config: Cosine(
            config.learning_rate, config.train_steps, config.learning_rate_warmup
        ),
        uses=('learning_rate_warmup',),
    ),
    'piecewise': Choice(
        'multiplied by 0.1 at each of --boundaries', _piecewise, uses=('boundaries',)
    ),
}
"""Name -> config -> learning rate over training."""


@dataclasses.dataclass(frozen=True)
class ScheduleSettings:
    """Settings: the length of training, and the learning rate."""

    train_steps: int = setting('Optimizer steps in all.', least=1)
    learning_rate: float = setting('Learning rate (the peak, under a schedule).', least=0.0)
    schedule: str = setting(
        'How the learning rate changes over training.', 'constant', choices=SCHEDULES
    )
    learning_rate_warmup: int = setting(
        "Steps over which the 'cosine' schedule rises to its peak.", 0, least=0
    )
    boundaries: tuple[int, ...] = setting(
        "Steps at which the 'piecewise' schedule lowers the learning rate.", ()
    )


def learning_rate(config: Any) -> Schedule:
    """The learning rate over training.

    Args:
        config: a TrainingConfig.

    Raises:
        UserError: a piecewise schedule without boundaries, or with some that do not increase.
    """
    return SCHEDULES[config.schedule].make(config)
