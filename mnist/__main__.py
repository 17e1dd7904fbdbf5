"""The quick start: the released network A under attack, in about two minutes.

    python -m mnist

Without MNIST it falls back to drawn patterns, and says so.
"""

from common.programs import cli, quick_start
from mnist.data_set import MNIST

main = cli.Door(quick_start, MNIST)

if __name__ == '__main__':
    main()
