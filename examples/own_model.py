"""Your own Keras model: its worst-case accuracy in two lines.

    python examples/own_model.py                  (the released network A, as if it were yours)
    python examples/own_model.py my_model.keras   (any Keras model that returns MNIST's 10 logits)

It attacks every hundredth test image of MNIST with the quick cascade, in two minutes on two cores.
"""

import sys

from common import robust_accuracy
from common.errors import UserError
from common.networks.own import load_network
from mnist import dataset
from mnist import model as released


def main(arguments: list[str], every: int = 100, **settings) -> None:
    """Prints the verdict.

    Args:
        arguments: the model's file, or nothing.
        every: the step between the images.
        **settings: other arguments of `robust_accuracy`.
    """
    model = load_network(arguments[0]) if arguments else released.load('A')
    test = dataset.load('test').subset(slice(None, None, every))
    x, y = test.x, test.y

    verdict = robust_accuracy(model, x, y, epsilon=0.3, bounds=(0, 1), preset='quick', **settings)
    print(verdict)


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f'error: {error}')
