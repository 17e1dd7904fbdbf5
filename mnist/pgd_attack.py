"""Attacks MNIST's test set with PGD and writes a submission (the challenge's pgd_attack.py).

    python -m mnist.pgd_attack --output=attack.npy
    python -m mnist.run_attack --input=attack.npy

In Python, `PGDAttack` is the challenge's `LinfPGDAttack`, for any Keras model that returns logits.
"""

from common.attacks import CompiledAttack
from common.networks.logits import LogitsFn
from common.programs import cli, pgd_attack
from mnist.data_set import MNIST

challenge_pgd = MNIST.pgd
"""The challenge's PGD for MNIST's pixel range, as `DataSet.pgd` describes it."""


class PGDAttack(CompiledAttack):
    """The challenge's attack on one network, compiled once and used for every batch.

    Args:
        logits_fn: [batch, 28, 28, 1] float32 -> [batch, 10] logits: a Keras model or ModelLogits.
        **settings: epsilon, steps, step_size, loss and random_start, as for `challenge_pgd`.
    """

    def __init__(self, logits_fn: LogitsFn, **settings):
        super().__init__(challenge_pgd(**settings), logits_fn)


main = cli.Door(pgd_attack, MNIST)

if __name__ == '__main__':
    main()
