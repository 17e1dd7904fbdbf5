"""Checks and scores adversarial CIFAR-10 images (the challenge's run_attack.py).

    python -m cifar10.run_attack --input=attack.npy --predictions=pred.npy

The input holds one image of 32 x 32 x 3 pixels in [0, 255], of any real dtype, for each test image,
in the original order and within epsilon of it. An invalid file is refused: the program says why and
exits with status 1. The challenge's own checker accepts NaN and lets uint8 differences wrap around;
this one does neither.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, run_attack

main = cli.Door(run_attack, CIFAR10)

if __name__ == '__main__':
    main()
