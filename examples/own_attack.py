"""An attack of your own: a dataclass with `perturb` and `gradients`, used like any other.

    python examples/own_attack.py

It compares NI-FGSM (Lin et al. 2020), written here, with plain PGD on the released network A.
"""

import dataclasses

from common.attacks import PGD, Attack, CompiledAttack
from common.attacks.steps import with_gradient
from common.losses import CrossEntropy, Loss
from common.threat_model import Ball, LinfBall
from mnist import dataset, model

# isort: split
import tensorflow as tf  # after this project, which imports it quietly


@dataclasses.dataclass(frozen=True)
class NIFGSM(Attack):
    """Momentum whose gradients are taken where the momentum leads (Nesterov's look-ahead).

    Attributes:
        ball: the threat model. Images outside of its pixel range are refused for you.
        steps: number of gradients.
        step_size: in pixel units.
        loss: what is maximized.
        decay: factor of the old momentum at each step.
    """

    ball: Ball
    steps: int = 10
    step_size: float = 0.03
    loss: Loss = CrossEntropy()
    decay: float = 1.0

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image."""
        return self.steps

    def perturb(self, logits_fn, x, y, *, seed):
        """The attack on one batch; see `Attack`. It draws nothing, so `seed` is not used."""
        x_adv, momentum = x, tf.zeros_like(x)
        axes = list(range(1, len(x.shape)))
        for _ in range(self.steps):
            ahead = x_adv + self.decay * self.step_size * momentum
            _, gradient = with_gradient(lambda x: self.loss(logits_fn(x), y), ahead)
            scale = tf.reduce_mean(tf.abs(gradient), axis=axes, keepdims=True)
            momentum = self.decay * momentum + tf.math.divide_no_nan(gradient, scale)
            moved = x_adv + self.step_size * self.ball.steepest(momentum)
            x_adv = self.ball.project(moved, x)
        return x_adv


def main(every: int = 50) -> None:
    """Prints the accuracy of A under both attacks.

    Args:
        every: the step between the images.
    """
    network = model.load('A')
    test = dataset.load('test').subset(slice(None, None, every))
    ball = LinfBall(0.3)
    for attack in (NIFGSM(ball), PGD(ball, steps=10, step_size=0.03)):
        x_adv = CompiledAttack(attack, network)(test.x, test.y)
        right = network.predict(x_adv, verbose=0).argmax(axis=1) == test.y
        print(f'{type(attack).__name__}: {right.mean():.2%} survive, n = {len(test)}')


if __name__ == '__main__':
    main()
