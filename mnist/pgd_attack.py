"""Attacks MNIST's test set with PGD and writes a submission (the challenge's pgd_attack.py).

    python -m mnist.pgd_attack --output=attack.npy
    python -m mnist.run_attack --input=attack.npy

In Python, `PGDAttack` is the challenge's `LinfPGDAttack`, for any Keras model that returns logits.
"""

from typing import Any

from common.attacks import PGD, CompiledAttack
from common.losses import CWMargin, Loss
from common.programs import cli, pgd_attack
from mnist.data_set import MNIST

challenge_pgd = MNIST.pgd
"""The challenge's PGD for MNIST's pixel range, as `DataSet.pgd` describes it."""


class PGDAttack(CompiledAttack):
    """The challenge's attack on one network, compiled once and used for every batch.

    Args:
        network: [batch, 28, 28, 1] float32 -> [batch, 10] logits: a Keras model, which is computed
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
        epsilon: float = MNIST.epsilon,
        steps: int = MNIST.steps,
        step_size: float = MNIST.step_size,
        loss: str | Loss = 'xent',
        random_start: bool = True,
        bounds: tuple[float, float] = (MNIST.lower, MNIST.upper),
    ):
        if loss == 'cw':
            loss = CWMargin(50.0)
        ball = MNIST.kind_of_ball(epsilon, *bounds)
        super().__init__(PGD(ball, steps, step_size, loss, random_start), network)


main = cli.Door(pgd_attack, MNIST)

if __name__ == '__main__':
    main()
