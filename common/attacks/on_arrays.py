"""One attack by name on arrays, in one call."""

import warnings
from typing import Any

import numpy as np

from common.arguments import checked_choice, checked_number
from common.attacks.base import BATCH_SIZE, as_seed, checked
from common.attacks.by_name import METHODS, make_attack
from common.attacks.compiled import CompiledAttack
from common.data.checked import Bounds, checked_images
from common.networks.logits import as_logits
from common.networks.probe import NetworkWarning, classes_of
from common.threat_model import make_ball

STEPS = 40
"""Gradient steps where callers do not say."""


def attack(
    model: Any,
    x: Any,
    y: Any,
    method: str = 'pgd',
    *,
    epsilon: float,
    bounds: Bounds,
    norm: str = 'linf',
    steps: int | None = None,
    step_size: float | None = None,
    restarts: int = 1,
    random_start: bool = True,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    output: str | int | None = None,
    verbose: bool = True,
) -> np.ndarray:
    """Adversarial images of a network.

    Args:
        model: a Keras model, a `tf.Module`, a SavedModel or a function that returns logits.
        x: [n, ...] images of any real dtype.
        y: [n] or [n, 1] labels, or [n, classes] one-hot.
        method: one of `common.attacks.by_name.METHODS`: 'pgd', 'fgsm', 'cw', 'apgd', 'square', ...
        epsilon: radius of the ball, in pixel units.
        bounds: smallest and largest pixel value; images outside of them are refused.
        norm: 'linf' or 'l2'.
        steps: gradient steps or queries; by default 40, or what the method's authors used.
        step_size: in pixel units; by default 2.5 epsilon / steps.
        restarts: how often the attack is run; each image's most adversarial result is returned.
        random_start: start from a random point of the ball, where the method has a choice.
        seed: of all randomness.
        batch_size: images per batch.
        output: name or number of the output that holds the logits, for models with several.
        verbose: whether to show a progress bar on standard error.

    Returns:
        [n, ...] float32.

    Raises:
        BadInput: something is not what it should be; the message says what.

    >>> import keras
    >>> import numpy as np
    >>> from common import attack
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[0.1, 0.0], [0.0, 0.1]]), np.array([0.0, 0.0])])
    >>> x, y = np.array([[150, 140], [90, 10]], np.uint8), [0, 0]
    >>> x_adv = attack(model, x, y, 'pgd', epsilon=8, bounds=(0, 255), verbose=False)
    >>> print(x_adv)
    [[142. 148.]
     [ 82.  18.]]
    >>> model.predict(x_adv, verbose=0).argmax(axis=1)
    array([1, 0])
    """
    checked_choice('method', method, METHODS)
    ball = make_ball(norm, epsilon, bounds)
    if steps is None:
        steps = METHODS[method].default_steps or STEPS
    steps = checked_number('steps', steps, least=0, whole=True)
    if step_size is None:
        step_size = default_step_size(ball.epsilon, steps)
    step_size = checked_number('step_size', step_size, least=0)
    restarts = checked_number('restarts', restarts, least=1, whole=True)
    batch_size = checked_number('batch_size', batch_size, least=1, whole=True)
    seed = as_seed(seed)
    logits = as_logits(model, output=output)
    images = checked_images(x, (ball.lower, ball.upper))
    made = make_attack(
        method,
        ball,
        steps=steps,
        step_size=step_size,
        num_classes=classes_of(logits, images),
        restarts=restarts,
        random_start=random_start,
    )
    images, labels = checked(logits, images, y, made, compiled=True)
    compiled = CompiledAttack(made, logits)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NetworkWarning)  # told just now
        return compiled(images, labels, seed=seed, batch_size=batch_size, verbose=verbose).numpy()


def default_step_size(epsilon: float, steps: int) -> float:
    """A step that leads across the ball with some to spare: 2.5 epsilon / steps."""
    return 2.5 * epsilon / max(steps, 1)
