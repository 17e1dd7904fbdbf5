"""Attacks MNIST's test set with PGD and writes a submission (the challenge's pgd_attack.py).

    python -m mnist.pgd_attack --output=attack.npy
    python -m mnist.run_attack --input=attack.npy

In Python, `PGDAttack` is the challenge's `LinfPGDAttack`, for any Keras model that returns logits.
"""

from typing import Any

from common.attacks.challenge import LinfPGDAttack
from common.losses import Loss
from common.programs import cli, pgd_attack
from mnist.data_set import MNIST

challenge_pgd = MNIST.pgd
"""The challenge's PGD for MNIST's pixel range, as `DataSet.pgd` describes it."""


class PGDAttack(LinfPGDAttack):
    """The challenge's attack on one network: [batch, 28, 28, 1] float32 -> [batch, 10] logits.

    Arguments are those of `LinfPGDAttack`.
    """

    def __init__(
        self,
        network: Any,
        epsilon: float = MNIST.epsilon,
        steps: int = MNIST.steps,
        step_size: float = MNIST.step_size,
        loss: str | Loss = 'xent',
        random_start: bool = True,
        bounds: tuple[float, float] = (MNIST.lower, MNIST.upper),
    ):
        super().__init__(network, epsilon, steps, step_size, loss, random_start, bounds)


main = cli.Door(pgd_attack, MNIST)

if __name__ == '__main__':
    main()
