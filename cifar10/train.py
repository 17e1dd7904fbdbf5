"""Trains a CIFAR-10 network against an adversary (the challenge's train.py).

    python -m cifar10.train --epsilon=8 --steps=7

The defaults are the challenge's, with the 7 PGD steps of the paper: 80,000 steps of batch 128 of
the wide network, which needs GPUs. `--recipe=fast` trains the simple one on a CPU. The same command
again goes on where it stopped.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, train

main = cli.Door(train, CIFAR10)

if __name__ == '__main__':
    main()
