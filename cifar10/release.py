"""Adds a trained network to the released ones (for maintainers).

    python -m cifar10.release --name=A --runs=models/A1,models/A2 --machine='...' --commit=abc1234
    python -m cifar10.release --name=A --results=rows.json

The runs must be those of `cifar10/sources.py`, in the same order.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, release

main = cli.Door(release, CIFAR10)

if __name__ == '__main__':
    main()
