"""Checks and scores adversarial MNIST images (the challenge's run_attack.py).

    python -m mnist.run_attack --input=attack.npy --predictions=pred.npy

The input holds one image of 784 pixels in [0, 1] for every test image, in the original order, each
within epsilon of its test image. An invalid file is refused with the reason and exit status 1.
"""

from common.programs import cli, run_attack
from mnist.data_set import MNIST

main = cli.Door(run_attack, MNIST)

if __name__ == '__main__':
    main()
