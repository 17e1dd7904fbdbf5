"""What training minimizes: the paper's saddle point, or TRADES' bound."""

import dataclasses
from typing import Any, Protocol

import tensorflow as tf

from common.attacks import PGD
from common.errors import UserError
from common.losses import CrossEntropy, Divergence
from common.networks.logits import LogitsFn
from common.training.setting import Choice, setting


class Objective(Protocol):
    """How examples are crafted for a step of training, and what the step minimizes."""

    def craft(
        self, attack: PGD, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """Adversarial images [batch, ...] float32, by default the attack's own.

        Arguments as in `Attack`.
        """
        return attack.perturb(logits_fn, x, y, seed=seed)

    def losses(
        self, logits_fn: LogitsFn, x: tf.Tensor, x_adv: tf.Tensor, y: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch] float32 losses, and the [batch, classes] logits of `x_adv`.

        Args:
            logits_fn: the network that is trained.
            x: [batch, ...] float32 natural images.
            x_adv: [batch, ...] float32 adversarial images.
            y: [batch] integer labels.
        """


@dataclasses.dataclass(frozen=True)
class SaddlePoint(Objective):
    """The cross-entropy of adversarial images alone (paper, equation 2.1)."""

    def losses(
        self, logits_fn: LogitsFn, x: tf.Tensor, x_adv: tf.Tensor, y: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Objective`."""
        logits = logits_fn(x_adv)
        return CrossEntropy()(logits, y), logits


@dataclasses.dataclass(frozen=True)
class Trades(Objective):
    """Natural cross-entropy, plus `beta` times how far the adversary moves the probabilities.

    Zhang, Yu, Jiao, Xing, El Ghaoui and Jordan 2019, equation 5. The adversary maximizes the
    divergence, whose gradient is zero at the image itself, so it needs a random start; ours is
    uniform in the ball, theirs a small normal one.

    Attributes:
        beta: 1 / lambda in their notation.
    """

    beta: float

    def craft(
        self, attack: PGD, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """See `Objective`; the attack's own loss is replaced."""
        moved = dataclasses.replace(attack, loss=Divergence(tf.stop_gradient(logits_fn(x))))
        return moved.perturb(logits_fn, x, y, seed=seed)

    def losses(
        self, logits_fn: LogitsFn, x: tf.Tensor, x_adv: tf.Tensor, y: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Objective`."""
        natural, logits = logits_fn(x), logits_fn(x_adv)
        return CrossEntropy()(natural, y) + self.beta * Divergence(natural)(logits, y), logits


def _trades(config: Any) -> Trades:
    for flag, wanted in (
        ('adversary', ('pgd', 'fgsm_rs')),
        ('random_start', (True,)),
        ('loss', ('xent',)),
    ):
        found = getattr(config, flag)
        if found not in wanted:
            raise UserError(
                f'--{flag}: expected {" or ".join(map(str, wanted))} with --objective=trades, '
                'whose adversary maximizes a divergence from a random start; found '
                f'{found}. Drop one of the two flags.'
            )
    return Trades(config.trades_beta)


OBJECTIVES = {
    'pgd': Choice(
        "the loss of adversarial examples (the paper's saddle point), whatever crafts them",
        lambda config: SaddlePoint(),
    ),
    'trades': Choice(
        "TRADES' natural loss plus a multiple of the divergence under attack, with examples "
        'crafted in evaluation mode by default, as its authors do',
        _trades,
        prefers={'crafting': 'eval'},
    ),
}
"""Name -> config -> what training minimizes."""


@dataclasses.dataclass(frozen=True)
class ObjectiveSettings:
    """What training minimizes."""

    objective: str = setting('What training minimizes.', 'pgd', choices=OBJECTIVES)
    trades_beta: float = setting(
        "TRADES' multiple of the divergence (1/lambda in its paper).", 6.0, least=0.0
    )


def training_objective(config: Any) -> Objective:
    """What training minimizes.

    Args:
        config: a TrainingConfig.

    Raises:
        UserError: TRADES with an adversary that it cannot have.
    """
    return OBJECTIVES[config.objective].make(config)
