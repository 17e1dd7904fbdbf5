"""Downloads a model that the MNIST challenge released (the challenge's fetch_model.py).

    python -m mnist.fetch_model --name=secret

The zip is compared with its published SHA-256 before anything is unpacked. As in the challenge the
TF1 checkpoint comes to models/<name>/checkpoint-<step>; beside it the weights are written once more
as last.weights.h5, which all programs here read.
"""

from common.programs import cli, fetch_model
from mnist.data_set import MNIST

main = cli.Door(fetch_model, MNIST)

if __name__ == '__main__':
    main()
