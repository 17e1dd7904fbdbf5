"""Evaluates a CIFAR-10 network naturally and under PGD (the challenge's eval.py).

    python -m cifar10.eval                                 (the released network A)
    python -m cifar10.eval --model_dir=models/my_network   (watches a folder while it is trained)

A model folder is watched: each new checkpoint is evaluated, and TensorBoard summaries are written
to its subfolder eval/. Anything else, or --once, is evaluated once.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli
from common.programs import eval as program

main = cli.Door(program, CIFAR10)

if __name__ == '__main__':
    main()
