"""What figure 3 measures: networks of several widths and trainings, and transfer between them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from common.evaluation.accuracy import Outcome
from common.statistics import Measured

ADVERSARIES = {'none': 'natural', 'fgsm': 'FGSM', 'pgd': 'PGD'}
"""A config's `adversary` -> its name in the paper's figure, from the weakest to the strongest."""

NATURAL, FGSM, EXACT, PGD = JUDGED = ('natural', 'FGSM', 'FGSM, exact gradients', 'PGD')
"""What networks are judged by. The cross-entropy's FGSM loses gradients of very sure networks."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """One network and its numbers.

    Attributes:
        width: its name.
        adversary: of its training, one of ADVERSARIES.
        outcomes: for each of JUDGED, on the same images in the same order.
        training_loss: mean cross-entropy on training images under the training's adversary.
        reference: by which the network is loaded.
    """

    width: str
    adversary: str
    outcomes: dict[str, Outcome]
    training_loss: float
    reference: str = ''

    @property
    def words(self) -> str:
        """The network by its training."""
        return f'{ADVERSARIES[self.adversary]} training, width {self.width}'

    @property
    def at(self) -> str:
        """The network among those of its training."""
        return f'width {self.width}'

    @property
    def mark(self) -> str:
        """What a number of a collapsed network ends with; empty for others."""
        return ' (collapsed)' if self.collapsed else ''

    @property
    def collapsed(self) -> bool:
        """Whether it predicts one class for all natural images, which are not all of that class."""
        natural = self.outcomes[NATURAL]
        return bool(
            np.all(natural.predictions == natural.predictions[0]) and not np.all(natural.correct)
        )

    def measured(self, judged: str) -> Measured:
        """Its accuracy."""
        return self.outcomes[judged].measured


@dataclasses.dataclass(frozen=True)
class Transferred:
    """What PGD examples of one network do to another one.

    Attributes:
        source: the network whose gradients were followed.
        target: the network judged.
        fooled: share of the images that the target classifies correctly when they are natural.
        n: number of such images.
        cosine: mean, between the two networks' input gradients.
    """

    source: Trained
    target: Trained
    fooled: Measured
    n: int
    cosine: Measured

    @property
    def is_evidence(self) -> bool:
        """Whether neither network collapsed."""
        return not (self.source.collapsed or self.target.collapsed)

    @property
    def known_cosine(self) -> float | None:
        """The mean cosine; None where a network collapsed or no image has both gradients."""
        return self.cosine.known if self.is_evidence else None


@dataclasses.dataclass(frozen=True)
class Findings:
    """All that figure 3 measured.

    Attributes:
        widths: names, from the narrowest.
        epsilon: radius of training and judgement, in pixel units.
        trained: a network for each adversary and width, from the narrowest.
        transferred: examples of some of them on the others.
        longer: the widest network, trained naturally for longer; None for no such training.
        times: how many times longer.
        large_epsilon: whether the paper calls this radius large, where it expects nothing of FGSM
            training against iterative attacks.
    """

    widths: Sequence[str]
    epsilon: float
    trained: Sequence[Trained]
    transferred: Sequence[Transferred] = ()
    longer: Trained | None = None
    times: int = 1
    large_epsilon: bool = False

    @property
    def everyone(self) -> list[Trained]:
        """All networks."""
        return [*self.trained, *([self.longer] if self.longer else [])]

    def of(self, adversary: str) -> list[Trained]:
        """The networks trained against that adversary, from the narrowest."""
        return [t for t in self.trained if t.adversary == adversary]
