"""Table 1 of the paper, as data."""

import dataclasses

from common.attack_table import AttackSettings

EPSILON, STEP_SIZE = 0.3, 0.01

@dataclasses.dataclass(frozen=True)
class PaperRow:
    """A row of Table 1: the adversarially trained network A at epsilon 0.3.

    Attributes:
        method: as in `common.methods`, or 'natural'.
        steps: PGD steps; 1 for FGSM, 0 for natural images.
        restarts: runs an example has to survive.
        source: whose gradients were followed.
        accuracy: 0 to 1.
    """

    method: str
    steps: int
    restarts: int
    source: str
    accuracy: float


# The row "CW, source B" gives no number of steps; like the rows around it, it is run with 40.
TABLE_1 = (
    PaperRow('natural', 0, 1, 'A', 0.988),
    PaperRow('fgsm', 1, 1, 'A', 0.956),
    PaperRow('pgd', 40, 1, 'A', 0.932),
    PaperRow('pgd', 100, 1, 'A', 0.918),
    PaperRow('pgd', 40, 20, 'A', 0.904),
    PaperRow('pgd', 100, 20, 'A', 0.893),
    PaperRow('targeted', 40, 1, 'A', 0.927),
    PaperRow('cw', 40, 1, 'A', 0.940),
    PaperRow('cw+', 40, 1, 'A', 0.939),
    PaperRow('fgsm', 1, 1, 'A_prime', 0.968),
    PaperRow('pgd', 40, 1, 'A_prime', 0.960),
    PaperRow('pgd', 100, 20, 'A_prime', 0.957),
    PaperRow('cw', 40, 1, 'A_prime', 0.970),
    PaperRow('cw+', 40, 1, 'A_prime', 0.964),
    PaperRow('fgsm', 1, 1, 'B', 0.954),
    PaperRow('pgd', 40, 1, 'B', 0.964),
    PaperRow('cw', 40, 1, 'B', 0.957),
)

# Section 5: a naturally trained network.
NATURALLY_TRAINED = (
    PaperRow('natural', 0, 1, 'A_nat', 0.992),
    PaperRow('fgsm', 1, 1, 'A_nat', 0.064),
)


def accuracy(
    method: str, steps: int, restarts: int, source: str, target: str, settings: AttackSettings
) -> float | None:
    """What the paper reports for this evaluation, 0 to 1; None if nothing."""
    if settings.ball.epsilon != EPSILON or settings.step_size != STEP_SIZE:
        return None
    if not settings.random_start:
        return None
    rows = {'A': TABLE_1, 'A_nat': NATURALLY_TRAINED}.get(target, ())
    for row in rows:
        if (row.method, row.steps, row.restarts, row.source) == (method, steps, restarts, source):
            return row.accuracy
    return None


def nothing(*_) -> None:
    """For data that are not MNIST: the paper reports nothing."""
