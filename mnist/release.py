"""Puts a trained network among the released ones (for maintainers).

    python -m mnist.release --name=A --runs=models/A --machine='2 cores of ...' --commit=abc1234
    python -m mnist.release --name=A --results=rows.json

The runs are those of `mnist.sources`, in their order.
"""

from common.programs import cli, release
from mnist.data_set import MNIST

main = cli.Door(release, MNIST)

if __name__ == '__main__':
    main()
