"""Section 3.1's text in numbers: how distinct the maxima are, and where they lie."""

import dataclasses
import itertools

import numpy as np
import tqdm

from common.attacks import PGD
from common.errors import UserError
from common.evaluation.loss_landscape import (
    BATCH_SIZE,
    Restarting,
    correlations,
    image_gradient,
    pairs,
    random_perturbations,
)
from common.report.claims import CONTRADICTED, PARTLY, REPRODUCED, Case, Claim, Measured, between
from common.report.exhibit import Exhibit, Picture, Table
from common.report.figures.study import CHOSEN, Study
from common.report.series import Line

_IMAGES = 4
_RANDOM, _CLIPPED = 'random points of the ball', 'the same, clipped'
_MOST = 1000  # restarts: pairs, and memory, grow with their square
_RADII = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)  # shares of epsilon

# What the paper's 'close to' and 'some' are taken to mean.
_NEAR_RATIO = 0.1  # of distances
_NEAR_DEGREES = 10.0
_SOME = 0.01  # share of the maxima


@dataclasses.dataclass(frozen=True)
class _Points:
    """Statistics of one network's maxima, or of points of the ball, pooled over all images."""

    distances: np.ndarray  # [pairs] in pixel units
    angles: np.ndarray  # [pairs] in degrees
    same_signs: np.ndarray  # [pairs] shares of the pixels that both of a pair move
    lengths: np.ndarray  # [points] l2, in pixel units
    correlations: list[np.ndarray]  # [points] for each of _RADII; none of random points

    @classmethod
    def of(cls, points: list[np.ndarray], correlations: list[np.ndarray]) -> '_Points':
        """Statistics of [m, pixels] perturbations of each image."""
        apart = [pairs(perturbations) for perturbations in points]
        return cls(
            np.concatenate([p.distances for p in apart]),
            np.concatenate([p.angles for p in apart]),
            np.concatenate([same_signs(perturbations) for perturbations in points]),
            np.concatenate([np.linalg.norm(p.astype(np.float64), axis=1) for p in points]),
            correlations,
        )

    def apart(self, reference: '_Points') -> float:
        """How many times as far apart as the reference's points, in the median over all pairs."""
        return float(np.median(self.distances) / np.median(reference.distances))

    @property
    def angle(self) -> float:
        """Median over all pairs, in degrees."""
        return float(np.median(self.angles))


def landscape(study: Study, restarts: int | None = None) -> Exhibit:
    """Distances and angles between maxima, and their correlation with the image's gradient.

    Args:
        study: the data set.
        restarts: maxima an image; by default 200, or 40 on a quick budget. At most 1,000, whose
            half a million pairs an image show the distribution.

    Raises:
        UserError: a network is missing, there are too few images, or there is a single maximum and
            so no pair.
    """
    restarts = min(restarts or (40 if study.quick else 200), _MOST)
    if restarts < 2:
        raise UserError(
            f'expected at least 2 restarts, whose ends are pairs; found {restarts}. '
            'Raise --restarts.'
        )
    images = study.images(_IMAGES)
    maxima = {name: _measure(study, name, images, restarts) for name in study.compared}
    references = {
        _RANDOM: _random(study, images, restarts, clipped=False),
        _CLIPPED: _random(study, images, restarts, clipped=True),
    }
    in_words = {study.compared[name]: points for name, points in maxima.items()}
    return study.exhibit(
        'landscape',
        "section 3.1, the maxima's geometry",
        setting=f'{study.pgd}, {restarts} restarts of each of the images '
        f'{[study.number(i) for i in images]}, {CHOSEN}',
        networks=list(study.compared),
        claims=_claims(in_words, references),
        remarks=[_EXPLANATION],
        tables=[
            _apart_table({**maxima, **references}),
            _correlation_table(study.pgd.ball.epsilon, maxima),
        ],
        pictures=[
            *_histograms(study, {**in_words, **references}),
            *_correlation_lines(study, in_words),
        ],
        data={
            name: {
                'distances': _quantiles(points.distances),
                'angles': _quantiles(points.angles),
                'same_signs': _quantiles(points.same_signs),
                'lengths': _quantiles(points.lengths),
                'correlations': [_quantiles(c) for c in points.correlations],
            }
            for name, points in {**maxima, **references}.items()
        },
    )


def _measure(study: Study, name: str, images: list[int], restarts: int) -> _Points:
    maxima = {}
    for share in tqdm.tqdm(_RADII, desc=f'{name}, radii', unit='radius', leave=False):
        maxima[share] = _maxima(study, name, _scaled(study.pgd, share), images, restarts)
    gradients = [image_gradient(study.network(name).model, study.test, i) for i in images]

    def correlated(share: float) -> np.ndarray:
        each = zip(maxima[share], gradients, strict=True)
        return np.concatenate([correlations(m, gradient) for m, gradient in each])

    return _Points.of(maxima[1], [correlated(share) for share in _RADII])


def same_signs(perturbations: np.ndarray) -> np.ndarray:
    """How many pixels all pairs of [m, pixels] perturbations move the same way.

    Returns:
        [m (m - 1) / 2] float32 shares of the pixels that both of a pair move; 0 where there are no
        such pixels.
    """
    up, down = ((sign * perturbations > 0).astype(np.float32) for sign in (1, -1))
    pair = np.triu_indices(len(perturbations), k=1)
    same = (up @ up.T + down @ down.T)[pair]
    both = ((up + down) @ (up + down).T)[pair]
    return np.divide(same, both, out=np.zeros_like(same), where=both > 0)


def _maxima(
    study: Study, name: str, attack: PGD, images: list[int], restarts: int
) -> list[np.ndarray]:
    """[restarts, pixels] perturbations of each image."""
    restarting = Restarting(
        attack,
        study.logits(name),
        study.judge(name),
        seed=study.seed,
        batch_size=min(restarts, BATCH_SIZE),
    )
    of_images = []
    for image in images:
        partial = study.partial('maxima', name, attack, image, restarts, restarting.batch_size)
        maxima = partial.read({'maxima': None})['maxima']
        if maxima is None:
            maxima = restarting.maxima(study.test, image, restarts)
            partial.write({'maxima': maxima})
        of_images.append(maxima)
    return of_images


def _random(study: Study, images: list[int], restarts: int, *, clipped: bool) -> _Points:
    points = [
        random_perturbations(study.pgd, study.test, i, restarts, study.seed, clipped=clipped)
        for i in images
    ]
    return _Points.of(points, [])


def _scaled(attack: PGD, share: float) -> PGD:
    ball = dataclasses.replace(attack.ball, epsilon=attack.ball.epsilon * share)
    return dataclasses.replace(attack, ball=ball, step_size=attack.step_size * share)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {f'{q}%': float(np.percentile(values, q)) for q in (1, 5, 25, 50, 75, 95, 99)}


_EXPLANATION = (
    'Maxima that move pixels the same way have smaller angles, maxima with longer perturbations '
    '(towards the corners of the ball) lie further apart, and clipped points share signs because a '
    'pixel at an end of the range can only move one way.'
)


def _claims(maxima: dict[str, _Points], references: dict[str, _Points]) -> list[Claim]:
    """Each claim of section 3.1's text; `maxima` by how the network was trained, in words."""
    return [
        _distances(maxima, references),
        _angles(maxima, references),
        _negative(maxima),
        _deteriorating(maxima),
    ]


def _distances(maxima: dict[str, _Points], references: dict[str, _Points]) -> Claim:
    cases = []
    for (words, points), (name, reference) in itertools.product(maxima.items(), references.items()):
        ratio = points.apart(reference)
        near = abs(ratio - 1) <= _NEAR_RATIO
        cases.append(Case(f'{words}, beside {name}', f'{ratio:.2f} times', held=near))
    return Claim.of(
        'Distances between maxima are close to those between random points of the ball.',
        'section 3.1',
        cases,
        f'{_size(maxima, "distances"):,} pairs a network',
        f'median distance (close: within {_NEAR_RATIO:.0%})',
    )


def _angles(maxima: dict[str, _Points], references: dict[str, _Points]) -> Claim:
    cases = [
        Case(words, f'{p.angle:.0f} degrees', held=abs(p.angle - 90) <= _NEAR_DEGREES)
        for words, p in maxima.items()
    ]
    cases += [Case(words, f'{p.angle:.0f} degrees') for words, p in references.items()]
    return Claim.of(
        'Angles between maxima are close to 90 degrees.',
        'section 3.1',
        cases,
        f'{_size(maxima, "angles"):,} pairs a network',
        f'median angle (close: within {_NEAR_DEGREES:g})',
    )


def _negative(maxima: dict[str, _Points]) -> Claim:
    cases, judged = [], set()
    for words, points in maxima.items():
        values = points.correlations[-1]
        count = int(np.sum(values < 0))
        share = Measured.share(count, len(values))
        judged.add(REPRODUCED if share.low > _SOME else PARTLY if count else CONTRADICTED)
        numbers = f'{count:,} of {len(values):,}, the least correlation {values.min():.4f}'
        cases.append(Case(words, numbers, between(*share[1:], '.2%')))
    return Claim.of(
        "Some maxima have a negative inner product with the image's gradient.",
        'section 3.1',
        cases,
        f'{_size(maxima, "lengths"):,} maxima a network',
        f'negative ones (some: the interval, over restarts of these images, is above {_SOME:.0%})',
        judged.pop() if len(judged) == 1 else PARTLY,
    )


def _deteriorating(maxima: dict[str, _Points]) -> Claim:
    cases = []
    for words, points in maxima.items():
        least, whole = (Measured.mean(points.correlations[i]) for i in (0, -1))
        cases.append(
            Case(
                words,
                f'{least.value:.3f} to {whole.value:.3f}',
                f'{between(*least[1:], ".3f")}, then {between(*whole[1:], ".3f")}',
                least.above(whole),
            )
        )
    return Claim.of(
        "The perturbation's correlation with the image's gradient deteriorates with its scale.",
        'section 3.1',
        cases,
        f'{_size(maxima, "lengths"):,} maxima a network',
        'mean correlation at an eighth of the radius and at the whole (intervals: over restarts of '
        'these images)',
    )


def _size(maxima: dict[str, _Points], statistic: str) -> int:
    return len(getattr(next(iter(maxima.values())), statistic))


def _apart_table(named: dict[str, _Points]) -> Table:
    rows = [
        {
            'points': name,
            'pairs': f'{len(points.distances):,}',
            'distance, 5%': f'{np.percentile(points.distances, 5):.4g}',
            'median': f'{np.median(points.distances):.4g}',
            '95%': f'{np.percentile(points.distances, 95):.4g}',
            'angle, median': f'{points.angle:.1f}',
            'moved the same way, median': f'{np.median(points.same_signs):.1%}',
            'length, median': f'{np.median(points.lengths):.4g}',
        }
        for name, points in named.items()
    ]
    return Table.of(
        'l2 distances (pixel units) and angles (degrees) between maxima, pixels that '
        'both of a pair move and move the same way, l2 lengths (pixel units)',
        rows,
    )


def _correlation_table(epsilon: float, maxima: dict[str, _Points]) -> Table:
    rows = [
        {
            'maxima of': name,
            'epsilon': f'{epsilon * share:g}',
            'mean correlation': f'{np.mean(values):.4f}',
            'least': f'{values.min():.4f}',
            'negative': f'{np.mean(values < 0):.1%}',
        }
        for name, points in maxima.items()
        for share, values in zip(_RADII, points.correlations, strict=True)
    ]
    return Table.of("Correlation of the perturbation with the image's gradient", rows)


def _histograms(study: Study, in_words: dict[str, _Points]) -> list[Picture]:
    labels = {'distances': f'l2 distance ({study.unit})', 'angles': 'angle (degrees)'}
    pictures = []
    for subject, label in labels.items():
        values = {words: getattr(points, subject) for words, points in in_words.items()}
        pictures += study.draw(
            f'landscape_{subject}',
            f'Histograms of the {subject} between maxima, and between random points',
            'histograms',
            [('all pairs of restarts', values)],
            xlabel=label,
            ylabel='density',
            density=True,
            width=5.5,
        )
    return pictures


def _correlation_lines(study: Study, in_words: dict[str, _Points]) -> list[Picture]:
    radii = [study.pgd.ball.epsilon * share for share in _RADII]
    lines = [
        Line(
            words,
            radii,
            [c.mean() for c in points.correlations],
            [np.percentile(c, 5) for c in points.correlations],
            [np.percentile(c, 95) for c in points.correlations],
        )
        for words, points in in_words.items()
    ]
    return study.draw(
        'landscape_correlations',
        "Correlation of perturbations with the image's gradient over epsilon",
        'lines',
        [('mean, and 5% to 95%', lines)],
        xlabel=f'epsilon ({study.unit})',
        ylabel='correlation',
        width=5.5,
    )
