"""The challenges' attack on one network, as a class; each data set has it with its own defaults."""

from typing import Any

from common.attacks.compiled import CompiledAttack
from common.attacks.pgd import PGD
from common.losses import Loss, make_loss
from common.threat_model import LinfBall

KAPPA = 50.0
"""The confidence of the CW loss in the challenges' code."""


class LinfPGDAttack(CompiledAttack):
    """The challenges' `LinfPGDAttack`, compiled once and used for every batch.

    Args:
        network: a Keras model, which is computed as it was built, or anything else that
            `common.networks.logits.as_logits` takes.
        epsilon: radius of the l-inf ball, in pixel units.
        steps: gradient steps.
        step_size: length of a step, in pixel units.
        loss: what it maximizes: 'xent', 'cw' (with the kappa of the challenges' code), or one of
            `common.losses`.
        random_start: start from a random point of the ball, not from the image.
        bounds: range of pixels; images outside of it are refused.
    """

    def __init__(
        self,
        network: Any,
        epsilon: float,
        steps: int,
        step_size: float,
        loss: str | Loss,
        random_start: bool,
        bounds: tuple[float, float],
    ):
        ball = LinfBall(epsilon, *bounds)
        loss = make_loss(loss, kappa=KAPPA) if isinstance(loss, str) else loss
        super().__init__(PGD(ball, steps, step_size, loss, random_start), network)
