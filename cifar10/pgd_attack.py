"""Attacks CIFAR-10's test set with PGD and writes a submission (the challenge's pgd_attack.py).

    python -m cifar10.pgd_attack --output=attack.npy
    python -m cifar10.run_attack --input=attack.npy

In Python, `PGDAttack` is the challenge's `LinfPGDAttack`, for any Keras model that returns logits.
"""

from cifar10.data_set import CIFAR10
from common.attacks import CompiledAttack
from common.networks.logits import LogitsFn
from common.programs import cli, pgd_attack

challenge_pgd = CIFAR10.pgd
"""The challenge's PGD for CIFAR-10's pixel range, as `DataSet.pgd` describes it."""


class PGDAttack(CompiledAttack):
    """The challenge's attack on one network, compiled once and used for every batch.

    Args:
        logits_fn: [batch, 32, 32, 3] float32 -> [batch, 10] logits: a Keras model or ModelLogits.
        **settings: epsilon, steps, step_size, loss and random_start, as for `challenge_pgd`.
    """

    def __init__(self, logits_fn: LogitsFn, **settings):
        super().__init__(challenge_pgd(**settings), logits_fn)


main = cli.Door(pgd_attack, CIFAR10)

if __name__ == '__main__':
    main()
