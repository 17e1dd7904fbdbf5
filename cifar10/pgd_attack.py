"""Attacks CIFAR-10's test set with PGD and writes a submission (the challenge's pgd_attack.py).

    python -m cifar10.pgd_attack --output=attack.npy
    python -m cifar10.run_attack --input=attack.npy

In Python, `PGDAttack` is the challenge's `LinfPGDAttack`, for any Keras model that returns logits.
"""

from typing import Any

from cifar10.data_set import CIFAR10
from common.attacks.challenge import LinfPGDAttack
from common.losses import Loss
from common.programs import cli, pgd_attack

challenge_pgd = CIFAR10.pgd
"""The challenge's PGD for CIFAR-10's pixel range, as `DataSet.pgd` describes it."""


class PGDAttack(LinfPGDAttack):
    """The challenge's attack on one network: [batch, 32, 32, 3] float32 -> [batch, 10] logits.

    Arguments are those of `LinfPGDAttack`.
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
        super().__init__(network, epsilon, steps, step_size, loss, random_start, bounds)


main = cli.Door(pgd_attack, CIFAR10)

if __name__ == '__main__':
    main()
