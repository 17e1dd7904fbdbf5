"""Evaluates an MNIST network naturally and under PGD (the challenge's eval.py).

    python -m mnist.eval                                 (the released network A)
    python -m mnist.eval --model_dir=models/my_network   (watches a folder while it is trained)

A model folder is watched: each new checkpoint is evaluated, and TensorBoard summaries are written
to its subfolder eval/. Anything else, or --once, is evaluated once.
"""

from common.programs import cli
from common.programs import eval as program
from mnist.data_set import MNIST

main = cli.Door(program, MNIST)

if __name__ == '__main__':
    main()
