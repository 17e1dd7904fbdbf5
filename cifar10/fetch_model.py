"""Downloads a model released by the CIFAR-10 challenge (the challenge's fetch_model.py).

    python -m cifar10.fetch_model --name=secret

The zip must have the SHA-256 recorded here before anything is unpacked. The TF1 checkpoint is put
at models/<name>/checkpoint-<step>, as in the challenge; its weights are also written beside it as
last.weights.h5, which all programs here read.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, fetch_model

main = cli.Door(fetch_model, CIFAR10)

if __name__ == '__main__':
    main()
