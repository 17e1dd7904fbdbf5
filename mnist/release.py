"""Adds a trained network to the released ones (for maintainers).

    python -m mnist.release --name=A --runs=models/A --machine='2 cores of ...' --commit=abc1234
    python -m mnist.release --name=A --results=rows.json

The runs must be those of `mnist/sources.py`, in the same order.
"""

from common.programs import cli, release
from mnist.data_set import MNIST

main = cli.Door(release, MNIST)

if __name__ == '__main__':
    main()
