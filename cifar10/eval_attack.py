"""Measures a CIFAR-10 network's accuracy under an attack, white box or black box.

    python -m cifar10.eval_attack                          (PGD on the released network A)
    python -m cifar10.eval_attack --source=A_nat           (black box: gradients of A_nat)
    python -m cifar10.eval_attack --table                  (Table 2 of the paper)
    python -m cifar10.eval_attack --method=worst_case      (a cascade, then sanity checks)

Tables and cascades keep what they have computed: the same command resumes an interrupted run.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, eval_attack

main = cli.Door(eval_attack, CIFAR10)

if __name__ == '__main__':
    main()
