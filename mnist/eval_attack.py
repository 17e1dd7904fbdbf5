"""Measures an MNIST network's accuracy under an attack, white box or black box.

    python -m mnist.eval_attack                          (PGD on the released network A)
    python -m mnist.eval_attack --source=A_nat           (black box: gradients of A_nat)
    python -m mnist.eval_attack --table                  (Table 1 of the paper)
    python -m mnist.eval_attack --method=worst_case      (a cascade, then sanity checks)

Tables and cascades keep what they have computed: the same command resumes an interrupted run.
"""

from common.programs import cli, eval_attack
from mnist.data_set import MNIST

main = cli.Door(eval_attack, MNIST)

if __name__ == '__main__':
    main()
