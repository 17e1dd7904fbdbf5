"""The worst-case accuracy of anybody's network in one call."""

import contextlib
import dataclasses
import hashlib
import itertools
import os
import pathlib
import sys
import tempfile
import textwrap
import warnings
import weakref
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from common.arguments import checked_choice, checked_number
from common.attacks import PGD
from common.attacks.on_arrays import STEPS, default_step_size
from common.attacks.steps import with_gradient
from common.data.batches import Examples
from common.data.checked import Bounds, checked_images, checked_labels, require_shape
from common.data.spool import spooled
from common.distribution import hosts
from common.errors import BadInput, UserError
from common.evaluation.accuracy import Judge, Outcome, natural_accuracy
from common.evaluation.cascade import worst_case
from common.evaluation.cascades_by_name import PRESETS
from common.evaluation.cascades_by_name import preset as make_stages
from common.evaluation.crafting import Crafting
from common.evaluation.images_on_disk import ImagesOnDisk
from common.evaluation.resumable import PartialResult
from common.evaluation.sanity_checks import Check, Suspect, cascade_checks, checks
from common.evaluation.verdict import SURVIVES, Verdict, records, table
from common.losses import LogOdds
from common.networks.logits import LogitsFn, as_logits, input_shape
from common.networks.probe import SAMPLE, NetworkWarning, probe
from common.networks.weights import weights_digest
from common.threat_model import Ball, LinfBall, make_ball

_WIDTH = 100  # of a printed verdict
_CHECKED = 200  # images that the sanity checks use
_ENOUGH = 20  # images, to say that a natural accuracy is no better than guessing


@dataclasses.dataclass(frozen=True, repr=False)
class RobustAccuracy:
    """What `robust_accuracy` found; printed, it is a report.

    Attributes:
        natural: predictions on the natural images.
        cascade: the attacks, stage by stage and image by image.
        checks: signs that the accuracy is not what it seems.
        x_adv: [n, ...] float32, the worst example of each image.
        ball: the threat model.
        preset: name of the cascade.
        settings: how it was computed, in words.
        kept: the file with its state, where `folder` was given.
    """

    natural: Outcome
    cascade: Verdict
    checks: tuple[Check, ...]
    x_adv: np.ndarray
    ball: Ball
    preset: str
    settings: str
    kept: tuple[pathlib.Path, ...] = ()

    @property
    def n(self) -> int:
        """Number of images."""
        return self.cascade.n

    @property
    def accuracy(self) -> float:
        """Share of images that the network classifies correctly whatever the attacks do, 0 to 1."""
        return self.cascade.accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the accuracy (Wilson), 0 to 1."""
        return self.cascade.interval

    @property
    def survived(self) -> np.ndarray:
        """[n] bool: images that no attack has broken."""
        return self.cascade.survived

    @property
    def broken_by(self) -> np.ndarray:
        """[n] str: what broke each image: 'natural' (misclassified as it is), a stage, or ''."""
        names = np.array([*(stage.name for stage in self.cascade.stages), ''])
        found = names[np.where(self.survived, SURVIVES, self.cascade.broken_by)]
        return np.where(self.natural.correct, found, np.array('natural'))

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Everything but the images, as values for JSON."""
        return {
            'n': self.n,
            'natural': self.natural.accuracy,
            'natural_interval': self.natural.interval,
            'accuracy': self.accuracy,
            'interval': self.interval,
            'norm': self.ball.norm,
            'epsilon': self.ball.epsilon,
            'bounds': (self.ball.lower, self.ball.upper),
            'preset': self.preset,
            'settings': self.settings,
            'seconds': round(float(self.cascade.seconds.sum()), 3),
            **self._records(),
            'checks': [dataclasses.asdict(check) for check in self.checks],
        }

    def _records(self) -> dict[str, Any]:
        found = records(self.cascade)
        found['images']['broken_by'] = [name or None for name in self.broken_by.tolist()]
        return found

    def forget(self) -> None:
        """Removes what was kept in `folder` so that the same call could resume."""
        for path in self.kept:
            for part in path.parent.glob(f'{path.stem}*'):
                part.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # others' results lie there
                path.parent.rmdir()

    def __str__(self) -> str:
        ball = self.ball
        return '\n'.join(
            [
                f'natural accuracy  {_accuracy(self.natural)}, n = {self.n:,}',
                f'robust accuracy   {_accuracy(self)}, n = {self.n:,}',
                f'in the {ball.norm} ball of radius {ball.epsilon:g}, pixels {ball.lower:g} to '
                f'{ball.upper:g}',
                '',
                f"The cascade '{self.preset}', each attack on the images that are left:",
                table(self.cascade),
                f'spent {self.cascade.spent} ({self.settings})',
                *self._left_out,
                *(['', *map(_wrapped, self.checks)] if self.checks else []),
            ]
        )

    @property
    def _left_out(self) -> list[str]:
        if isinstance(self.ball, LinfBall):
            return []
        return ['without the attacks that know the l-inf ball only: Adam, FAB, Square']

    def __repr__(self) -> str:
        low, high = self.interval
        failed = sum(not check.passed for check in self.checks)
        told = f', {failed} of {len(self.checks)} checks failed' if failed else ''
        return (
            f'<{self.accuracy:.2%} robust ({low:.2%} to {high:.2%}), natural '
            f'{self.natural.accuracy:.2%}, n = {self.n:,}, {self.ball.norm} epsilon '
            f"{self.ball.epsilon:g}, '{self.preset}'{told}>"
        )


def _wrapped(check: Check) -> str:
    return textwrap.fill(str(check), _WIDTH, subsequent_indent=' ' * len('WARNING '))


def _accuracy(found: Outcome | RobustAccuracy) -> str:
    low, high = found.interval
    return f'{found.accuracy:.2%} (95% interval {low:.2%} to {high:.2%})'


def robust_accuracy(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    epsilon: float,
    bounds: Bounds,
    norm: str = 'linf',
    preset: str = 'standard',
    steps: int = STEPS,
    step_size: float | None = None,
    seed: int = 0,
    batch_size: int = 100,
    dtype: str = 'float32',
    output: str | int | None = None,
    check: bool = True,
    folder: str | os.PathLike | None = None,
    verbose: bool = True,
) -> RobustAccuracy:
    """The accuracy of a network in the worst case: a cascade of attacks, and checks of honesty.

    Args:
        model: a Keras model of any kind, which is called with training=False, as `predict` does; a
            `tf.Module`, a SavedModel, one of its signatures, or a function, which returns logits.
            A single logit is that of class 1 of two.
        x: [n, ...] images of any real dtype, or a `tf.data.Dataset` of (images, labels) batches.
        y: [n] or [n, 1] labels, or [n, classes] one-hot; None if `x` has them.
        epsilon: radius of the ball, in pixel units.
        bounds: smallest and largest pixel value; images outside of them are refused.
        norm: 'linf' or 'l2'.
        preset: 'quick', 'standard' or 'leaderboard' (docs/attacks.md has their cost).
        steps: of the cascade's first attack, plain PGD.
        step_size: of that, in pixel units; by default 2.5 epsilon / steps.
        seed: of all randomness.
        batch_size: images per batch.
        dtype: 'bfloat16' computes the gradients of a Keras model faster on hardware that has it;
            images are judged as `predict` would.
        output: name or number of the output that holds the logits, for models with several.
        check: whether to run the checks.
        folder: where an interrupted evaluation leaves its state, and the same call resumes it; None
            keeps nothing.
        verbose: whether to show progress on standard error.

    Raises:
        BadInput: something is not what it should be; the message says what.
        UserError: the network returns NaN.

    Warns:
        UserWarning: the network is no better than guessing on the natural images, returns
            probabilities, is random or has no gradients; or the radius looks like a mistake.

    >>> import keras
    >>> import numpy as np
    >>> from common import robust_accuracy
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, 0.0])])
    >>> x, y = np.array([[150, 140], [90, 10], [30, 60], [80, 70]], np.uint8), [0, 0, 1, 1]
    >>> settings = {'preset': 'quick', 'check': False, 'verbose': False}
    >>> verdict = robust_accuracy(model, x, y, epsilon=8, bounds=(0, 255), **settings)
    >>> verdict
    <50.00% robust (15.00% to 85.00%), natural 75.00%, n = 4, l-inf epsilon 8, 'quick'>
    >>> verdict.broken_by.tolist()
    ['pgd', '', '', 'natural']
    """
    ball = make_ball(norm, epsilon, bounds)
    steps = checked_number('steps', steps, least=0, whole=True)
    if not (ball.epsilon > 0 and steps > 0):
        raise BadInput(f'expected epsilon and steps above 0; found {epsilon:g} and {steps}.')
    if step_size is None:
        step_size = default_step_size(ball.epsilon, steps)
    if not checked_number('step_size', step_size, least=0):
        raise BadInput('expected step_size above 0; found 0.')
    checked_choice('preset', preset, PRESETS)
    if not isinstance(folder, str | os.PathLike | None):
        raise BadInput(f'expected folder as the path of a folder, or None; found {folder!r}.')
    for words in ball.warnings():
        warnings.warn(words, stacklevel=2)
    crafting = Crafting(batch_size, seed, dtype)
    judged = as_logits(model, dtype=None, output=output)
    examples, classes = _checked(judged, x, y, ball)
    source = crafting.logits(model, output)
    probe(source, examples.batch(slice(SAMPLE))[0])  # told at every call
    judge = Judge(judged)
    natural = natural_accuracy(judge, examples, batch_size=batch_size)
    if verbose:
        print(f'natural accuracy  {_accuracy(natural)}, n = {natural.n:,}', file=sys.stderr)
    if natural.interval[0] <= 1 / classes and natural.n >= _ENOUGH:
        warnings.warn(
            f'natural accuracy is {natural.accuracy:.2%}, no better than guessing one of {classes} '
            'classes: check the pixel range that the network was trained on, and the labels.',
            stacklevel=2,
        )
    stages = make_stages(preset, ball, steps=steps, step_size=step_size, num_classes=classes)
    key = (stages, _identity(model, judged, source, examples), examples.digest(), seed, batch_size)
    kept, temporary = _folder(folder)
    partial = PartialResult.of(kept, 'robust_accuracy', *key, crafting.precision)
    resumed = partial.path.exists()
    images = ImagesOnDisk(partial, examples)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NetworkWarning)  # told already
        cascade = worst_case(
            stages,
            source,
            judge,
            examples,
            crafting=crafting,
            progress='attacking' if verbose else None,
            on_batch=images.keep,
            partial=partial if folder is not None else None,
        )
        checked = _checks(judged, cascade, examples, crafting, verbose) if check else ()
    other = images.disagreement(judge, ball, examples, cascade.survived, batch_size)
    if other and resumed:
        raise UserError(
            f'expected the state in {partial.path} to be of this network; found {other}. Remove '
            'the folder and run the same again.'
        )
    again = f'judged again, the worst examples hold {other or "what the cascade says"}'
    on_disk = isinstance(examples.x, np.memmap)
    verdict = RobustAccuracy(
        natural,
        cascade,
        (Check('worst examples', not other, again), *checked),
        images.images if on_disk else np.array(images.images),
        ball,
        preset,
        str(crafting),
        () if folder is None else (partial.path,),
    )
    if temporary is not None:
        if on_disk:
            weakref.finalize(verdict, temporary.cleanup)
        else:
            temporary.cleanup()
    return verdict


def _checked(judged: LogitsFn, x: Any, y: Any, ball: Ball) -> tuple[Examples, int]:
    """Images and labels, and the number of the network's classes."""
    if isinstance(x, tf.data.Dataset):
        if y is not None or x.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise BadInput(
                'expected a finite tf.data.Dataset of (images, labels) batches, and y=None with it.'
            )
        spool = spooled(x)
        x, y = spool.x, spool.y
    images = checked_images(x, (ball.lower, ball.upper))
    require_shape(images.shape[1:], input_shape(judged))
    classes = probe(judged, images, gradients=False, compiled=True)
    return Examples(images, checked_labels(y, len(images), classes), 'images'), classes


def _identity(model: Any, judged: LogitsFn, source: LogitsFn, examples: Examples) -> str:
    """A digest of the network: of its weights where it has any, and of some logits and gradients.

    Code that computes something else with the same weights is another network.
    """
    chosen = np.linspace(0, len(examples) - 1, num=min(SAMPLE, len(examples)), dtype=int)
    x = tf.constant(examples.batch(chosen)[0])
    logits = judged(x).numpy()
    digest = hashlib.sha256(_rounded(logits))
    _, gradient = with_gradient(
        lambda x: LogOdds()(source(x), tf.constant(logits.argmax(axis=1), tf.int32)), x
    )
    digest.update(_rounded(gradient.numpy()))
    if getattr(model, 'variables', None):
        digest.update(weights_digest(model).encode())
    return digest.hexdigest()


def _rounded(values: np.ndarray) -> bytes:
    """Numbers without what differs between runs on some devices."""
    return np.round(values / max(np.abs(values).max(), 1e-30), 2).tobytes()


def _folder(
    folder: str | os.PathLike | None,
) -> tuple[pathlib.Path, tempfile.TemporaryDirectory | None]:
    if folder is not None:
        return pathlib.Path(folder).expanduser(), None
    if hosts().count > 1:
        raise BadInput(
            f'expected folder=, one that all {hosts().count} hosts see; found None. They put '
            'their results together there.'
        )
    temporary = tempfile.TemporaryDirectory(prefix='robust_accuracy_')
    return pathlib.Path(temporary.name), temporary


def _checks(
    judged: LogitsFn, cascade: Verdict, examples: Examples, crafting: Crafting, verbose: bool
) -> tuple[Check, ...]:
    """The checks of the cascade's record, and of the network on a sample, evenly spaced."""
    chosen = slice(None, None, -(-len(examples) // _CHECKED))
    pgd = cascade.stages[0].attack
    assert isinstance(pgd, PGD)  # every cascade begins with it
    suspect = Suspect(
        judged,
        pgd,
        examples.subset(chosen),
        Crafting(crafting.batch_size, crafting.seed),  # float32: the checks look at gradients
    )
    found = itertools.chain(
        cascade_checks(cascade), checks(suspect, survived=cascade.survived[chosen])
    )
    return tuple(tqdm.tqdm(found, 'checking', unit='check', disable=not verbose, leave=False))
