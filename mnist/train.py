"""Trains an MNIST network against an adversary (the challenge's train.py).

    python -m mnist.train --epsilon=0.3 --steps=40

The defaults are the challenge's: 100,000 training steps of batch 50, about 14 hours on two cores.
--recipe=fast takes 40 to 60 minutes. The same command resumes an interrupted run.
"""

from common.programs import cli, train
from mnist.data_set import MNIST

main = cli.Door(train, MNIST)

if __name__ == '__main__':
    main()
