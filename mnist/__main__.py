"""Quick start: attacks the released network A, in about two minutes.

    python -m mnist

If MNIST is not available, it uses drawn patterns instead and says so.
"""

from common.programs import cli, quick_start
from mnist.data_set import MNIST

main = cli.Door(quick_start, MNIST)

if __name__ == '__main__':
    main()
