"""Held-out images, and the attack that they are judged under while a network is trained."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras

from common.attacks import PGD, Attack, CompiledAttack
from common.attacks.by_name import diversified
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.accuracy import Judge, Outcome, natural_accuracy
from common.evaluation.cascade import compiled_accuracy
from common.evaluation.crafting import Crafting
from common.networks.logits import ModelLogits
from common.training.setting import Choice, Subject, setting

VALIDATION_ATTACKS = {
    'pgd': Choice("the challenge's PGD", lambda pgd: pgd),
    'odi': Choice(
        'as many steps of Auto-PGD on the margin from an output-diversified start, nearer to the '
        'worst case at the same cost',
        lambda pgd: diversified(pgd.ball, pgd.steps),
    ),
}
"""Name -> the challenge's PGD, which gives ball and steps -> the attack."""


_held_out = functools.partial(setting, subject=Subject.VALIDATION)


@dataclasses.dataclass(frozen=True)
class ValidationSettings:
    """Which images are held out, and how they are evaluated."""

    validation_size: int = _held_out('How many training images are held out.', 0, least=0)
    validate_every: int = _held_out(
        'Steps between evaluations on held-out images, by which best.weights.h5 is chosen; 0 '
        'evaluates at the end only.',
        0,
        least=0,
    )
    validation_attack: str = _held_out(
        'The attack on held-out images.', 'pgd', choices=VALIDATION_ATTACKS
    )
    validation_epsilon: float | None = _held_out(
        'Radius of the attack on held-out images; by default --epsilon.', None, least=0.0
    )
    validation_examples: int = _held_out('How many held-out images are evaluated.', 1000, least=0)


@dataclasses.dataclass(frozen=True)
class Validation:
    """Held-out images and the attack they are judged under; the best weights are kept by it.

    Attributes:
        examples: the images.
        attack: None judges natural accuracy alone.
        batch_size: images per batch.
    """

    examples: Examples
    attack: Attack | None
    batch_size: int = 200


def validation_of(
    config: Any, held_out: Examples, pgd: Callable[[float], PGD]
) -> Validation | None:
    """What is evaluated while the network is trained.

    Args:
        config: a TrainingConfig.
        held_out: the images held out.
        pgd: radius -> the challenge's PGD, which judges them or gives ball and steps to the attack
            that does; natural training is judged naturally.

    Returns:
        None without such images.

    Raises:
        UserError: evaluations were asked for without images.
    """
    examples = held_out.subset(slice(config.validation_examples))
    if not len(examples):
        if config.validate_every:
            raise UserError(
                '--validate_every: expected held-out images to go with it; found none '
                f'({len(held_out)} held out, --validation_examples={config.validation_examples}). '
                'Raise --validation_size and --validation_examples, or drop --validate_every.'
            )
        return None
    if config.adversary == 'none':
        return Validation(examples, None)
    epsilon = config.validation_epsilon
    attack = pgd(config.epsilon if epsilon is None else epsilon)
    return Validation(examples, VALIDATION_ATTACKS[config.validation_attack].make(attack))


class Validator:
    """Evaluates one network, whose weights may change, on held-out images.

    Args:
        network: the network.
        validation: the images, and their attack.
        attack_dtype: precision in which the attack is computed.
        seed: seed of the attack.
    """

    def __init__(self, network: keras.Model, validation: Validation, attack_dtype: str, seed: int):
        self._examples = validation.examples
        self._crafting = Crafting(validation.batch_size, seed, attack_dtype)
        self._judge = Judge(ModelLogits(network))
        self._perturb = (
            None
            if validation.attack is None
            else CompiledAttack(validation.attack, self._crafting.logits(network))
        )

    def accuracies(self) -> tuple[Outcome, Outcome | None]:
        """The natural accuracy, and the one under attack; None without an attack."""
        examples, crafting = self._examples, self._crafting
        natural = natural_accuracy(self._judge, examples, batch_size=crafting.batch_size)
        if self._perturb is None:
            return natural, None
        return natural, compiled_accuracy(self._perturb, self._judge, examples, crafting=crafting)
