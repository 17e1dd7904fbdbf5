"""The paper's tables as data, to stand beside what is measured here."""

import dataclasses
from collections.abc import Collection

from common.evaluation.attack_table import AttackSettings, AttackTable
from common.evaluation.rows import Row, table


@dataclasses.dataclass(frozen=True)
class PaperRow:
    """What the paper reports of one network under one attack.

    Attributes:
        method: as in `common.attacks.by_name`, or 'natural'.
        steps: PGD steps; 1 for FGSM, 0 for natural images.
        restarts: runs an example has to survive.
        source: whose gradients were followed.
        accuracy: 0 to 1; None for a row that the paper has not.
        target: the network judged.
    """

    method: str
    steps: int
    restarts: int
    source: str
    accuracy: float | None
    target: str = 'A'


@dataclasses.dataclass(frozen=True)
class PaperTable:
    """Rows that share a threat model.

    Attributes:
        rows: in the paper's order.
        epsilon: radius of the ball, in pixel units.
        step_size: of PGD, likewise.
        why: sentences that explain where the released networks' numbers differ.
        kinds: name of a source -> the kind of black-box attack that it makes for the paper, which
            marks the strongest of each kind.
    """

    rows: tuple[PaperRow, ...]
    epsilon: float
    step_size: float
    why: tuple[str, ...] = ()
    kinds: dict[str, str] = dataclasses.field(default_factory=dict)

    def accuracy(
        self,
        method: str,
        steps: int,
        restarts: int,
        source: str,
        target: str,
        settings: AttackSettings,
    ) -> float | None:
        """What the paper reports for this evaluation, 0 to 1; None if nothing."""
        if settings.ball.epsilon != self.epsilon or settings.step_size != self.step_size:
            return None
        if not settings.random_start:
            return None
        for row in self.rows:
            if (row.method, row.steps, row.restarts, row.source, row.target) == (
                method,
                steps,
                restarts,
                source,
                target,
            ):
                return row.accuracy
        return None

    def run(
        self,
        attacks: AttackTable,
        target: str,
        released: Collection[str],
        most_restarts: int | None = None,
    ) -> list[Row]:
        """Measures the rows, each printed when it is done.

        Args:
            attacks: makes the rows of the network judged.
            target: that network. It takes A's place; the paper's rows of other networks are
                measured beside the released A only.
            released: names of networks that are there; rows that need others are left out.
            most_restarts: rows of more have so many; None for as many as the paper.
        """
        rows = []
        for wanted in self.rows:
            if wanted.target != 'A' and target != 'A':
                continue
            if wanted.source == target != 'A':
                continue  # it attacks itself already, in A's place
            if {wanted.source, wanted.target} - {'A', *released}:
                print(
                    f'{wanted.method} from {wanted.source}: left out, that network is not released'
                )
                continue
            judged = attacks if wanted.target == 'A' else attacks.on(wanted.target)
            source = target if wanted.source == 'A' else wanted.source
            restarts = min(wanted.restarts, most_restarts or wanted.restarts)
            rows.append(judged.row(wanted.method, wanted.steps, restarts, source))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
        return rows


def nothing(*_) -> None:
    """For other data than the paper's: it reports nothing."""
