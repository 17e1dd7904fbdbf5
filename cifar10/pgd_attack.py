"""The challenge's PGD attack on CIFAR-10; as a program it writes a submission.

    python -m cifar10.pgd_attack --output=attack.npy
    python -m cifar10.run_attack --input=attack.npy

In Python, `PGDAttack` is the challenge's `LinfPGDAttack` for any Keras model that returns logits.
"""

from cifar10.data_set import CIFAR10
from common.attacks import PGD, CompiledAttack
from common.networks.logits import LogitsFn
from common.programs import cli, pgd_attack


def challenge_pgd(**settings) -> PGD:
    """The challenge's PGD inside CIFAR-10's pixel range.

    Args:
        **settings: epsilon, steps, step_size, loss and random_start of `DataSet.pgd`; the
            challenge's own by default.
    """
    return CIFAR10.pgd(**settings)


class PGDAttack(CompiledAttack):
    """The challenge's attack on one network, compiled once for all batches.

    Args:
        logits_fn: [batch, 32, 32, 3] float32 -> [batch, 10] logits: a Keras model or ModelLogits.
        **settings: as for `challenge_pgd`.
    """

    def __init__(self, logits_fn: LogitsFn, **settings):
        super().__init__(challenge_pgd(**settings), logits_fn)


main = cli.Door(pgd_attack, CIFAR10)

if __name__ == '__main__':
    main()
