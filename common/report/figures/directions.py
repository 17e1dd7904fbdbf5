"""The loss along random directions and in linear subspaces (the paper's section 6).

If adversarial examples filled linear subspaces, linear combinations of the perturbations that PGD
finds would be adversarial too.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from common.evaluation.accuracy import Judge
from common.evaluation.loss_landscape import Restarting, image_gradient
from common.report.claims import Case, Claim, between
from common.report.exhibit import Exhibit, Picture, Table
from common.report.figures.study import CHOSEN, Study
from common.report.series import Line
from common.statistics import wilson_interval

_IMAGES = 4
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

    def interval(self, share: float) -> tuple[float, float]:
        """95% interval of a share of the combinations."""
        return wilson_interval(round(share * self.n), self.n)


def directions(study: Study) -> Exhibit:
    """Losses along single directions, and in the span of several maxima.

    Args:
        study: the data set.

    Raises:
        UserError: a network is missing, or there are too few images.
    """
    images = study.images(_IMAGES)
    measured = {name: _measure(study, name, images) for name in study.compared}
    in_words = {study.compared[name]: m for name, m in measured.items()}
    return study.exhibit(
        'directions',
        'random directions and linear subspaces',
        setting=f'{study.pgd}, images {[study.number(i) for i in images]}, {CHOSEN}, {_DRAWS} '
        'random directions and combinations each',
        networks=list(study.compared),
        claims=[_subspaces(in_words)],
        remarks=[
            'Combinations have the l-inf length epsilon, images are clipped to the pixel range, '
            'and with a single vector one of the two points leads away from the maximum.'
        ],
        tables=_tables(measured),
        pictures=[*_along_picture(study, in_words), *_combined_picture(study, in_words)],
        data={name: dataclasses.asdict(m) for name, m in measured.items()},
    )


def _measure(study: Study, name: str, images: list[int]) -> _Measured:
    judge = study.judge(name)
    restarting = Restarting(
        study.pgd, study.logits(name), judge, seed=study.seed, batch_size=max(_DIMENSIONS)
    )
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
            losses.append([_judged(study, judge, image, share * vectors)[0] for share in _SHARES])
        # Combinations of many vectors are shorter in l2 when stretched to epsilon in l-inf, so
        # those of maxima are compared with those of as many random vectors.
        for results, vectors in zip(combined.values(), (maxima, signs), strict=True):
            results.append(
                [
                    _judged(study, judge, image, _combinations(vectors[:k], epsilon, rng))
                    for k in _DIMENSIONS
                ]
            )
    return _Measured(
        len(images),
        len(images) * _DRAWS,
        {kind: np.mean(losses, axis=0).tolist() for kind, losses in along.items()},
        {kind: np.mean(results, axis=0).tolist() for kind, results in combined.items()},
    )


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


def _subspaces(measured: Mapping[str, _Measured]) -> Claim:
    """Whether some combinations of maxima are surely not adversarial, by networks' training."""
    shown = [_DIMENSIONS.index(k) for k in _SHOWN]
    cases = []
    for words, m in measured.items():
        maxima, signs = ([wrong for _, wrong in m.combined[kind]] for kind in (_MAXIMA, _SIGNS))
        cases.append(
            Case(
                words,
                f'{", ".join(f"{maxima[i]:.1%}" for i in shown)} '
                f'(random signs: {", ".join(f"{signs[i]:.1%}" for i in shown)})',
                ', '.join(between(*m.interval(maxima[i])) for i in shown),
                m.interval(maxima[-1])[1] < 1,
            )
        )
    return Claim.of(
        'The structure of adversarial examples cannot be described fully by the linear subspace '
        'view.',
        'section 6',
        cases,
        f'{m.n:,} combinations ({_DRAWS} of each of {m.images} images)',
        f'misclassified under random combinations of {", ".join(map(str, _SHOWN))} maxima (not '
        f'fully: the interval of {_DIMENSIONS[-1]} lies below 100%; intervals are over '
        'combinations, not over other images)',
    )


def _tables(measured: Mapping[str, _Measured]) -> list[Table]:
    along = [
        {
            'network': name,
            'direction': kind,
            **{f'{_SHARES[i]:.1f} epsilon': f'{losses[i]:.4g}' for i in (0, 2, 5, 8, 10)},
        }
        for name, m in measured.items()
        for kind, losses in m.along.items()
    ]
    spans = [
        {
            'network': name,
            'combined': kind,
            'how many': k,
            'mean loss': f'{loss:.4g}',
            'misclassified': f'{wrong:.1%}',
            '95% interval': between(*m.interval(wrong)),
            'n': f'{m.n:,}',
        }
        for name, m in measured.items()
        for kind, results in m.combined.items()
        for k, (loss, wrong) in zip(_DIMENSIONS, results, strict=True)
    ]
    return [
        Table.of('Mean loss along directions', along),
        Table.of('Random combinations, stretched to epsilon', spans),
    ]


def _along_picture(study: Study, in_words: Mapping[str, _Measured]) -> list[Picture]:
    radii = _SHARES * study.pgd.ball.epsilon
    panels = [
        (words, [Line(kind, radii, losses) for kind, losses in m.along.items()])
        for words, m in in_words.items()
    ]
    return study.draw(
        'directions',
        'Mean loss along three kinds of directions',
        'lines',
        panels,
        xlabel=f'l-inf distance ({study.unit})',
        ylabel='cross-entropy',
        sharey=False,
    )


def _combined_picture(study: Study, in_words: Mapping[str, _Measured]) -> list[Picture]:
    def line(kind: str, results: list[tuple[float, float]]) -> Line:
        return Line(f'of {kind}', _DIMENSIONS, [wrong for _, wrong in results])

    panels = [
        (words, [line(*combined) for combined in m.combined.items()])
        for words, m in in_words.items()
    ]
    return study.draw(
        'directions_subspaces',
        'Share misclassified of random combinations',
        'lines',
        panels,
        xlabel='vectors combined',
        ylabel='misclassified',
        percent=True,
        xscale='log',
        xticks=_DIMENSIONS,
    )
