"""Checks and scores adversarial MNIST images (the challenge's run_attack.py).

    python -m mnist.run_attack --input=attack.npy --predictions=pred.npy

The input holds one image of 784 pixels in [0, 1] for each test image, in the original order and
within epsilon of it. An invalid file is refused: the program says why and exits with status 1.
"""

from common.programs import cli, run_attack
from mnist.data_set import MNIST

main = cli.Door(run_attack, MNIST)

if __name__ == '__main__':
    main()
