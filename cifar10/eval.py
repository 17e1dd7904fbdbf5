"""Measures a CIFAR-10 network's accuracy, natural and under PGD (the challenge's eval.py).

    python -m cifar10.eval                                 (the released network A)
    python -m cifar10.eval --model_dir=models/my_network   (watches a folder during training)

Given a model folder, it evaluates each new checkpoint and writes TensorBoard summaries to the
subfolder eval/, until Ctrl-C. With --once, or given any other network, it evaluates once.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli
from common.programs import eval as program

main = cli.Door(program, CIFAR10)

if __name__ == '__main__':
    main()
