"""The paper's tables as data, for comparison with what is measured here."""

import dataclasses
from collections.abc import Collection

from common.evaluation.attack_table import AttackSettings, AttackTable
from common.evaluation.rows import Row, table


@dataclasses.dataclass(frozen=True)
class PaperRow:
    """The paper's accuracy of one network under one attack.

    Attributes:
        method: as in `common.attacks.by_name`, or 'natural'.
        steps: PGD steps; 1 for FGSM, 0 for natural images.
        restarts: runs that an image has to survive.
        source: the network whose gradients were followed.
        accuracy: 0 to 1; None for a row that the paper lacks.
        target: the network judged; None for the table's own.
    """

    method: str
    steps: int
    restarts: int
    source: str
    accuracy: float | None
    target: str | None = None


@dataclasses.dataclass(frozen=True)
class PaperTable:
    """Rows that share a threat model.

    Attributes:
        rows: in the paper's order.
        epsilon: radius of the ball, in pixel units.
        step_size: of PGD, in pixel units.
        network: the table's own network. Another one that is judged takes its place.
        why: sentences that explain where the released networks' numbers differ.
        kinds: name of a source -> the kind of black-box attack that it makes for the paper, which
            marks the strongest of each kind.
    """

    rows: tuple[PaperRow, ...]
    epsilon: float
    step_size: float
    network: str
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
        """The paper's accuracy for this evaluation, 0 to 1; None if it reports none."""
        measured = (settings.ball.epsilon, settings.step_size, settings.random_start)
        if measured != (self.epsilon, self.step_size, True):
            return None
        asked = (method, steps, restarts, source, target)
        for row in self.rows:
            judged = row.target or self.network
            if (row.method, row.steps, row.restarts, row.source, judged) == asked:
                return row.accuracy
        return None

    def run(
        self,
        attacks: AttackTable,
        target: str,
        released: Collection[str],
        most_restarts: int | None = None,
    ) -> list[Row]:
        """Measures the rows and prints each when it is done.

        Args:
            attacks: makes the rows of the network judged.
            target: that network. If it is not the table's own, it takes that one's place, and the
                paper's rows of other networks are left out.
            released: names of networks that are available; rows that need others are left out.
            most_restarts: the most restarts of a row; None for as many as the paper.
        """
        own, rows = self.network, []
        for wanted in self.rows:
            judged = wanted.target or own
            if judged != own and target != own:
                continue
            if wanted.source == target != own:
                continue  # it attacks itself already, in the place of the table's own network
            if {wanted.source, judged} - {own, *released}:
                print(
                    f'{wanted.method} from {wanted.source}: left out, that network is not released'
                )
                continue
            table_of_judged = attacks if judged == own else attacks.on(judged)
            source = target if wanted.source == own else wanted.source
            restarts = min(wanted.restarts, most_restarts or wanted.restarts)
            rows.append(table_of_judged.row(wanted.method, wanted.steps, restarts, source))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
        return rows
