"""The loss along random directions and in linear subspaces (the paper's section 6).

If adversarial examples filled linear subspaces, linear combinations of the perturbations that PGD
finds would be adversarial too.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from common.evaluation.loss_landscape import image_gradient
from common.report.claims import Case, Claim
from common.report.exhibit import Exhibit, Line, Picture, Table
from common.report.figures.study import CHOSEN, Study
from common.statistics import Measured, wilson_interval

_DRAWS = 200  # random directions, and random combinations, of each image
_SHARES = np.linspace(0, 1, 11)  # of epsilon
_DIMENSIONS = (1, 2, 4, 8, 16, 32)
_SHOWN = (1, 4, 32)  # of _DIMENSIONS, in the claim
_MAXIMA, _SIGNS = 'maxima', 'random signs'


@dataclasses.dataclass(frozen=True)
class _Measured:
    """Means over images and draws of one network."""

    images: int
    n: int  # combinations of each kind and dimension, of all images together
    along: dict[str, list[float]]  # kind of direction -> loss at each of _SHARES
    # Kind of vectors combined -> mean loss and share misclassified at each of _DIMENSIONS.
    combined: dict[str, list[tuple[float, float]]]

    def share(self, kind: str, position: int) -> Measured:
        """Share misclassified of the combinations of one of _DIMENSIONS."""
        _, wrong = self.combined[kind][position]
        return Measured(wrong, *wilson_interval(round(wrong * self.n), self.n))


def directions(study: Study) -> Exhibit:
    """Losses along single directions, and in the span of several maxima.

    Args:
        study: the data set.

    Raises:
        UserError: a network is missing, or there are too few images.
    """
    images = study.images()
    measured = {name: _measure(study, name, images) for name in study.compared}
    in_words = study.in_words(measured)
    along, spans = {}, {}
    for name, m in measured.items():
        for kind, losses in m.along.items():
            along[f'{name}, {kind}'] = [f'{loss:.4g}' for loss in losses]
        for kind, results in m.combined.items():
            for i, k in enumerate(_DIMENSIONS):
                share = m.share(kind, i).shown('.1%')
                spans[f'{name}, {k} {kind}'] = f'{results[i][0]:.4g}', share, f'{m.n:,}'
    shares = [f'{share:.1f} epsilon' for share in _SHARES]
    return study.exhibit(
        'directions',
        'random directions and linear subspaces',
        setting=f'{study.pgd}, images {study.numbers(images)}, {CHOSEN}, {_DRAWS} '
        'random directions and combinations each',
        claims=[_subspaces(in_words)],
        remarks=[
            'Combinations have the l-inf length epsilon, images are clipped to the pixel range, '
            'and with a single vector one of the two points leads away from the maximum.'
        ],
        tables=[
            Table.matrix('Mean loss along directions', shares, along),
            Table.matrix(
                'Random combinations, stretched to epsilon',
                ('mean loss', 'misclassified', 'n'),
                spans,
            ),
        ],
        pictures=_pictures(study, in_words),
        data={name: dataclasses.asdict(m) for name, m in measured.items()},
    )


def _measure(study: Study, name: str, images: list[int]) -> _Measured:
    restarting = study.restarting(name, max(_DIMENSIONS))
    epsilon = study.pgd.ball.epsilon
    along = {'PGD': [], "sign of the image's gradient": [], _SIGNS: []}
    combined = {_MAXIMA: [], _SIGNS: []}
    for image in images:
        rng = np.random.default_rng([study.seed, image])
        maxima = restarting.maxima(study.test, image, max(_DIMENSIONS))
        gradient = image_gradient(study.network(name).model, study.test, image)
        signs = epsilon * rng.choice((-1.0, 1.0), (_DRAWS, maxima.shape[1]))
        kinds = (maxima, epsilon * np.sign(gradient)[None], signs)
        for losses, vectors in zip(along.values(), kinds, strict=True):
            losses.append([_judged(study, name, image, share * vectors)[0] for share in _SHARES])
        # Combinations of many vectors are shorter in l2 when stretched to epsilon in l-inf, so
        # those of maxima are compared with those of as many random vectors.
        for results, vectors in zip(combined.values(), (maxima, signs), strict=True):
            draws = (_combinations(vectors[:k], epsilon, rng) for k in _DIMENSIONS)
            results.append([_judged(study, name, image, of) for of in draws])
    means = (
        {kind: np.mean(values, axis=0).tolist() for kind, values in of.items()}
        for of in (along, combined)
    )
    return _Measured(len(images), len(images) * _DRAWS, *means)


def _combinations(vectors: np.ndarray, epsilon: float, rng: np.random.Generator) -> np.ndarray:
    """[draws, pixels]: random linear combinations, stretched to the l-inf length epsilon."""
    sums = rng.standard_normal((_DRAWS, len(vectors))) @ vectors
    return sums * (epsilon / np.maximum(np.abs(sums).max(axis=1, keepdims=True), 1e-12))


def _judged(study: Study, name: str, image: int, perturbations: np.ndarray) -> tuple[float, float]:
    """Mean loss, and share misclassified, of one image under [m, pixels] perturbations."""
    ball, x = study.pgd.ball, study.test.x[image]
    moved = np.clip(x + perturbations.reshape(-1, *x.shape), ball.lower, ball.upper)
    labels = np.full(len(moved), study.test.y[image], np.int32)
    predictions, losses = study.judge(name)(moved.astype(np.float32), labels)
    return float(losses.mean()), float(np.mean(predictions != labels))


def _subspaces(measured: Mapping[str, _Measured]) -> Claim:
    """Whether some combinations of maxima are surely not adversarial, by networks' training."""
    cases = []
    for words, m in measured.items():
        shares = [m.share(_MAXIMA, _DIMENSIONS.index(k)) for k in _SHOWN]
        cases.append(Case.of(words, *shares, held=shares[-1].high < 1))
    of = next(iter(measured.values()))
    return Claim.of(
        'The structure of adversarial examples cannot be described fully by the linear subspace '
        'view.',
        'section 6',
        cases,
        f'{of.n:,} combinations ({_DRAWS} of each of {of.images} images)',
        f'misclassified under random combinations of {", ".join(map(str, _SHOWN))} maxima (not '
        f'fully: the interval of {_SHOWN[-1]} lies below 100%; intervals are over combinations, '
        'not over other images)',
    )


def _pictures(study: Study, measured: Mapping[str, _Measured]) -> list[Picture]:
    radii = _SHARES * study.pgd.ball.epsilon
    along, combined = [], []
    for words, m in measured.items():
        along.append((words, [Line(kind, radii, losses) for kind, losses in m.along.items()]))
        spans = {kind: [wrong for _, wrong in results] for kind, results in m.combined.items()}
        lines = [Line(f'of {kind}', _DIMENSIONS, wrong) for kind, wrong in spans.items()]
        combined.append((words, lines))
    return [
        *study.draw(
            'directions',
            'Mean loss along three kinds of directions',
            'lines',
            along,
            xlabel=f'l-inf distance ({study.unit})',
            ylabel='cross-entropy',
        ),
        *study.draw(
            'directions_subspaces',
            'Share misclassified of random combinations',
            'lines',
            combined,
            xlabel='vectors combined',
            ylabel='misclassified',
            percent=True,
            xscale='log',
            xticks=_DIMENSIONS,
        ),
    ]
