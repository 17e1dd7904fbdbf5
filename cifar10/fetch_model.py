"""Downloads a model that the CIFAR-10 challenge released (the challenge's fetch_model.py).

    python -m cifar10.fetch_model --name=secret

The zip is compared with its published SHA-256 before anything is unpacked. As in the challenge the
TF1 checkpoint comes to models/<name>/checkpoint-<step>; beside it the weights are written once more
as last.weights.h5, which all programs here read.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, fetch_model

main = cli.Door(fetch_model, CIFAR10)

if __name__ == '__main__':
    main()
