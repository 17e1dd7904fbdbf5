"""Attacks CIFAR-10's test set with PGD and writes a submission (the challenge's pgd_attack.py).

    python -m cifar10.pgd_attack --output=attack.npy
    python -m cifar10.run_attack --input=attack.npy

In Python, `PGDAttack` is the challenge's `LinfPGDAttack`, for any Keras model that returns logits.
"""

from typing import Any

from cifar10.data_set import CIFAR10
from common.attacks import PGD, CompiledAttack
from common.losses import CWMargin, Loss
from common.programs import cli, pgd_attack

challenge_pgd = CIFAR10.pgd
"""The challenge's PGD for CIFAR-10's pixel range, as `DataSet.pgd` describes it."""


class PGDAttack(CompiledAttack):
    """The challenge's attack on one network, compiled once and used for every batch.

    Args:
        network: [batch, 32, 32, 3] float32 -> [batch, 10] logits: a Keras model, which is computed
            as it was built, or anything else that `common.networks.logits.as_logits` takes.
        epsilon: radius of the l-inf ball, in pixel units.
        steps: gradient steps.
        step_size: length of a step, in pixel units.
        loss: what it maximizes: 'xent', 'cw' (with the kappa = 50 of the challenge's code), or one
            of `common.losses`.
        random_start: start from a random point of the ball, not from the image.
        bounds: range of pixels; images outside of it are refused.
    """

    def __init__(
        self,
        network: Any,
        epsilon: float = CIFAR10.epsilon,
        steps: int = CIFAR10.steps,
        step_size: float = CIFAR10.step_size,
        loss: str | Loss = 'xent',
        random_start: bool = True,
        bounds: tuple[float, float] = (CIFAR10.lower, CIFAR10.upper),
    ):
        if loss == 'cw':
            loss = CWMargin(50.0)
        ball = CIFAR10.kind_of_ball(epsilon, *bounds)
        super().__init__(PGD(ball, steps, step_size, loss, random_start), network)


main = cli.Door(pgd_attack, CIFAR10)

if __name__ == '__main__':
    main()
