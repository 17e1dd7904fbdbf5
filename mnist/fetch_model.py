"""Downloads a model released by the MNIST challenge (the challenge's fetch_model.py).

    python -m mnist.fetch_model --name=secret

The zip must have the SHA-256 recorded here before anything is unpacked. The TF1 checkpoint is put
at models/<name>/checkpoint-<step>, as in the challenge; its weights are also written beside it as
last.weights.h5, which all programs here read.
"""

from common.programs import cli, fetch_model
from mnist.data_set import MNIST

main = cli.Door(fetch_model, MNIST)

if __name__ == '__main__':
    main()
