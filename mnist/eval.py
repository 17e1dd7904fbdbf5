"""Measures an MNIST network's accuracy, natural and under PGD (the challenge's eval.py).

    python -m mnist.eval                                 (the released network A)
    python -m mnist.eval --model_dir=models/my_network   (watches a folder during training)

Given a model folder, it evaluates each new checkpoint and writes TensorBoard summaries to the
subfolder eval/, until Ctrl-C. With --once, or given any other network, it evaluates once.
"""

from common.programs import cli
from common.programs import eval as program
from mnist.data_set import MNIST

main = cli.Door(program, MNIST)

if __name__ == '__main__':
    main()
