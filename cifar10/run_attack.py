"""Checks and scores adversarial CIFAR-10 images (the challenge's run_attack.py).

    python -m cifar10.run_attack --input=attack.npy --predictions=pred.npy

The input holds one image of 32 x 32 x 3 pixels in [0, 255], of any real dtype, for every test
image, in the original order, each within epsilon of its test image. An invalid file is refused with
the reason and exit status 1. The challenge's own checker accepted NaN, and let differences of uint8
wrap around; both are mended here.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, run_attack

main = cli.Door(run_attack, CIFAR10)

if __name__ == '__main__':
    main()
