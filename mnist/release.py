"""Puts a trained network among the released ones (for maintainers).

    python -m mnist.release --name=A --runs=models/A --machine='2 cores of ...' --commit=abc1234
    python -m mnist.release --name=A --results=rows.json

The runs are those of `mnist.sources`, in their order.
"""

from common.networks import release
from common.programs import cli
from common.programs import flags as shared_flags
from mnist import model


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_release(list(model.NETWORKS.origins))


def main() -> None:
    """Reads the flags and writes weights and manifest."""
    release.put(model.NETWORKS, **shared_flags.release_settings())


if __name__ == '__main__':
    cli.run(main, define_flags)
