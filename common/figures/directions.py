"""The loss along random directions and in linear subspaces (paper, section 6's remark).

If adversarial examples filled linear subspaces, linear combinations of the perturbations that PGD
finds would be adversarial too.
"""

import dataclasses

import numpy as np

from common.evaluation import Judge
from common.exhibits import Exhibit, Picture, Table
from common.figures.restarts import NETWORKS
from common.figures.study import Study, draw
from common.landscape import Restarting, image_gradient

_IMAGES = 4
_DRAWS = 200  # random directions, and random combinations, of each image
_SHARES = np.linspace(0, 1, 11)  # of epsilon
_DIMENSIONS = (1, 2, 4, 8, 16, 32)


@dataclasses.dataclass(frozen=True)
class _Measured:
    """Means over images and draws of one network."""

    along: dict[str, list[float]]  # kind of direction -> loss at each of _SHARES
    subspaces: list[tuple[float, float]]  # loss and share misclassified at each of _DIMENSIONS
    random: tuple[float, float]  # the same of random sign vectors


def directions(study: Study) -> Exhibit:
    """Losses along single directions, and in the span of several maxima.

    Args:
        study: the data set.

    Raises:
        UserError: a network is not there, or there are too few images.
    """
    images = study.images(_IMAGES)
    measured = {name: _measure(study, name, images) for name in NETWORKS}
    return study.exhibit(
        'directions', 'random directions and linear subspaces',
        setting=f'{study.pgd}, images {[study.number(i) for i in images]}, {_DRAWS} random '
                'directions and combinations each',
        networks=list(NETWORKS), remarks=_remarks(measured), tables=_tables(measured),
        pictures=_pictures(study, measured),
        data={name: dataclasses.asdict(m) for name, m in measured.items()})


def _measure(study: Study, name: str, images: list[int]) -> _Measured:
    judge = Judge(study.network(name).model)
    restarting = Restarting(study.pgd, study.crafting(name), seed=study.seed,
                            batch_size=max(_DIMENSIONS))
    epsilon = study.pgd.ball.epsilon
    along = {'PGD': [], "sign of the image's gradient": [], 'random signs': []}
    subspaces, random = [], []
    for image in images:
        rng = np.random.default_rng([study.seed, image])
        maxima = restarting.maxima(study.test, image, max(_DIMENSIONS))
        gradient = image_gradient(study.network(name).model, study.test, image)
        signs = epsilon * rng.choice((-1.0, 1.0), (_DRAWS, maxima.shape[1]))
        kinds = (maxima, epsilon * np.sign(gradient)[None], signs)
        for losses, vectors in zip(along.values(), kinds, strict=True):
            losses.append([_judged(study, judge, image, share * vectors)[0] for share in _SHARES])
        subspaces.append([
            _judged(study, judge, image, _combinations(maxima[:k], epsilon, rng))
            for k in _DIMENSIONS])
        random.append(_judged(study, judge, image, signs))
    return _Measured(
        {kind: np.mean(losses, axis=0).tolist() for kind, losses in along.items()},
        [tuple(pair) for pair in np.mean(subspaces, axis=0).tolist()],
        tuple(np.mean(random, axis=0).tolist()))


def _combinations(vectors: np.ndarray, epsilon: float, rng: np.random.Generator) -> np.ndarray:
    """[draws, pixels]: random linear combinations, stretched to the l-inf length epsilon."""
    sums = rng.standard_normal((_DRAWS, len(vectors))) @ vectors
    return sums * (epsilon / np.maximum(np.abs(sums).max(axis=1, keepdims=True), 1e-12))


def _judged(
    study: Study, judge: Judge, image: int, perturbations: np.ndarray
) -> tuple[float, float]:
    """Mean loss, and share misclassified, of one image under [m, pixels] perturbations."""
    ball, x = study.pgd.ball, study.test.x[image]
    moved = x + perturbations.reshape(-1, *x.shape)
    labels = np.full(len(moved), study.test.y[image], np.int32)
    predictions, losses = judge(np.clip(moved, ball.lower, ball.upper).astype(np.float32), labels)
    return float(losses.mean()), float(np.mean(predictions != labels))


def _remarks(measured: dict[str, _Measured]) -> list[str]:
    parts = [
        f'{NETWORKS[name]}: {m.subspaces[0][1]:.0%} of the images at the ends of a line through '
        f'one maximum are misclassified, {m.subspaces[-1][1]:.0%} of random combinations of '
        f'{_DIMENSIONS[-1]} maxima, and {m.random[1]:.0%} under random signs'
        for name, m in measured.items()]
    return ['; '.join(parts) + '. A line has two ends, and its far one leads away from the '
            'maximum.',
            'The paper: the structure of adversarial examples cannot be described fully by the '
            'linear subspace view.']


def _tables(measured: dict[str, _Measured]) -> list[Table]:
    along = [{'network': name, 'direction': kind, **{
        f'{share:.1f} epsilon': f'{losses[i]:.4g}' for i, share in enumerate(_SHARES)
        if i in (0, 2, 5, 8, 10)}} for name, m in measured.items()
        for kind, losses in m.along.items()]
    spans = [{'network': name, 'maxima combined': k, 'mean loss': f'{loss:.4g}',
              'misclassified': f'{wrong:.1%}'}
             for name, m in measured.items()
             for k, (loss, wrong) in zip(
                 (*_DIMENSIONS, 'random signs instead'), (*m.subspaces, m.random), strict=True)]
    return [Table.of('Mean loss along directions', along),
            Table.of('In the span of maxima', spans)]


def _pictures(study: Study, measured: dict[str, _Measured]) -> list[Picture]:
    return [
        *draw(study.path('directions'), 'Mean loss along three kinds of directions',
              lambda plots, path: plots.lines(
                  path, [(NETWORKS[name], [
                      plots.Line(kind, _SHARES * study.pgd.ball.epsilon, losses)
                      for kind, losses in m.along.items()]) for name, m in measured.items()],
                  xlabel=f'distance ({study.unit})', ylabel='cross-entropy', sharey=False)),
        *draw(study.path('directions_subspaces'), 'Share misclassified in the span of maxima',
              lambda plots, path: plots.lines(
                  path, [('random combinations of maxima', [
                      plots.Line(NETWORKS[name], _DIMENSIONS, [wrong for _, wrong in m.subspaces])
                      for name, m in measured.items()])],
                  xlabel='maxima combined', ylabel='misclassified', percent=True, xscale='log',
                  xticks=_DIMENSIONS, width=5.5))]
