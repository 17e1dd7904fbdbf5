"""First look: attacks the released network A on every tenth test image, in about 20 seconds.

    python -m mnist

If MNIST is not available, it uses drawn digits instead and says so.
"""

from common.programs import cli, quick_start
from mnist.data_set import MNIST

main = cli.Door(quick_start, MNIST)

if __name__ == '__main__':
    main()
