"""Accuracy of an MNIST network under an attack, white box or transferred from another network.

    python -m mnist.eval_attack                          (PGD on the released network A)
    python -m mnist.eval_attack --source=A_nat           (black box: examples made for A_nat)
    python -m mnist.eval_attack --table                  (Table 1 of the paper)
    python -m mnist.eval_attack --method=worst_case      (a cascade of attacks, and its checks)

What is computed for a table or a cascade is kept, so that an interrupted command goes on.
"""

from common.programs import cli, eval_attack
from mnist.data_set import MNIST

main = cli.Door(eval_attack, MNIST)

if __name__ == '__main__':
    main()
