"""Trains a CIFAR-10 network against an adversary (the challenge's train.py).

    python -m cifar10.train --epsilon=8 --steps=7

The defaults are the challenge's, with the paper's 7 PGD steps: 80,000 training steps of batch 128
for the wide network, which needs GPUs. --recipe=fast trains the simple network on a CPU. The same
command resumes an interrupted run.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, train

main = cli.Door(train, CIFAR10)

if __name__ == '__main__':
    main()
