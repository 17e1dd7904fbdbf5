"""First look: attacks the released network A on one test image in 40, in about 20 seconds.

    python -m cifar10

If CIFAR-10 is not available, it uses drawn patterns instead, which only show that everything works.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, quick_start

main = cli.Door(quick_start, CIFAR10)

if __name__ == '__main__':
    main()
