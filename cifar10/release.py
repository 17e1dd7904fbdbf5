"""Puts a trained network among the released ones (for maintainers).

    python -m cifar10.release --name=A --runs=models/A1,models/A2 --machine='...' --commit=abc1234
    python -m cifar10.release --name=A --results=rows.json

The runs are those of `cifar10.sources`, in their order.
"""

from cifar10 import model
from common.networks import release
from common.programs import cli
from common.programs import flags as shared_flags


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_release(list(model.NETWORKS.origins))


def main() -> None:
    """Reads the flags and writes weights and manifest."""
    release.put(model.NETWORKS, **shared_flags.release_settings())


if __name__ == '__main__':
    cli.run(main, define_flags)
