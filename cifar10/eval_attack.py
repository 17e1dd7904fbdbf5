"""Accuracy of a CIFAR-10 network under an attack, white box or transferred from another network.

    python -m cifar10.eval_attack                          (PGD on the released network A)
    python -m cifar10.eval_attack --source=A_nat           (black box: examples made for A_nat)
    python -m cifar10.eval_attack --table                  (Table 2 of the paper)
    python -m cifar10.eval_attack --method=worst_case      (a cascade of attacks, and its checks)

What is computed for a table or a cascade is kept, so that an interrupted command goes on.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, eval_attack

main = cli.Door(eval_attack, CIFAR10)

if __name__ == '__main__':
    main()
