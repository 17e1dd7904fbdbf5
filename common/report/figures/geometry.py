"""Section 3.1's text in numbers: how distinct the maxima are, and where they lie."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tqdm

from common.errors import UserError
from common.evaluation.loss_landscape import (
    correlations,
    image_gradient,
    pairs,
    random_perturbations,
)
from common.report.claims import CONTRADICTED, PARTLY, REPRODUCED, Case, Claim
from common.report.exhibit import Exhibit, Line, Picture, Table
from common.report.figures.strength import at_radius
from common.report.figures.study import CHOSEN, Study
from common.statistics import Measured

_RANDOM, _CLIPPED = 'random points of the ball', 'the same, clipped'
_MOST = 1000  # restarts: pairs, and memory, grow with their square
_RADII = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)  # shares of epsilon
_STATISTICS = {
    'distances': 'l2 distance of two',
    'angles': 'angle of two, in degrees',
    'same_signs': 'share moved the same way, of the pixels that both move',
    'lengths': 'l2 length',
}

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
    correlations: Sequence[np.ndarray] = ()  # [points] for each of _RADII; none of random points

    @classmethod
    def of(cls, points: list[np.ndarray], correlations: Sequence[np.ndarray] = ()) -> '_Points':
        """Statistics of [m, pixels] perturbations of each image."""
        apart = [pairs(p) for p in points]
        of_images = (
            [p.distances for p in apart],
            [p.angles for p in apart],
            [p.same_signs for p in apart],
            [np.linalg.norm(p.astype(np.float64), axis=1) for p in points],
        )
        return cls(*map(np.concatenate, of_images), correlations)

    def apart(self, reference: '_Points') -> float:
        """How many times as far apart as the reference's points, in the median over all pairs."""
        return float(np.median(self.distances) / np.median(reference.distances))

    @property
    def angle(self) -> float:
        """Median over all pairs, in degrees."""
        return float(np.median(self.angles))


def landscape(study: Study, restarts_of_an_image: int | None = None) -> Exhibit:
    """Distances and angles between maxima, and their correlation with the image's gradient.

    Args:
        study: the data set.
        restarts_of_an_image: maxima; by default 200, or 40 on a quick budget. At most 1,000, whose
            half a million pairs an image show the distribution.

    Raises:
        UserError: a network is missing, there are too few images, or there is a single maximum and
            so no pair.
    """
    restarts = min(restarts_of_an_image or (40 if study.quick else 200), _MOST)
    if restarts < 2:
        raise UserError(
            f'expected at least 2 restarts, whose ends are pairs; found {restarts}. '
            'Raise --restarts.'
        )
    images = study.images()
    maxima = {name: _measure(study, name, images, restarts) for name in study.compared}
    references = {}
    for name in (_RANDOM, _CLIPPED):
        points = [
            random_perturbations(
                study.pgd, study.test, image, restarts, study.seed, clipped=name == _CLIPPED
            )
            for image in images
        ]
        references[name] = _Points.of(points)
    everything = {**maxima, **references}
    in_words = study.in_words(maxima)
    return study.exhibit(
        'landscape',
        "section 3.1, the maxima's geometry",
        setting=f'{study.pgd}, {restarts} restarts of each of the images '
        f'{study.numbers(images)}, {CHOSEN}',
        claims=_claims(in_words, references),
        remarks=[_EXPLANATION],
        tables=[_table(study.pgd.ball.epsilon, everything)],
        pictures=_pictures(study, in_words, references),
        data={
            name: {
                **{statistic: _quantiles(getattr(points, statistic)) for statistic in _STATISTICS},
                'correlations': [_quantiles(c) for c in points.correlations],
            }
            for name, points in everything.items()
        },
    )


def _measure(study: Study, name: str, images: list[int], restarts: int) -> _Points:
    gradients = [image_gradient(study.network(name).model, study.test, i) for i in images]
    epsilon, correlated = study.pgd.ball.epsilon, []
    for share in tqdm.tqdm(_RADII, desc=f'{name}, radii', unit='radius', leave=False):
        attack, points = at_radius(study.pgd, share * epsilon), []
        restarting = study.restarting(name, restarts, attack)
        for image in images:
            partial = study.partial('maxima', name, attack, image, restarts, restarting.batch_size)
            maxima = partial.read({'maxima': None})['maxima']
            if maxima is None:
                maxima = restarting.maxima(study.test, image, restarts)
                partial.write({'maxima': maxima})
            points.append(maxima)
        correlated.append(np.concatenate(list(map(correlations, points, gradients))))
    return _Points.of(points, correlated)  # those of the whole radius, the last


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {f'{q}%': float(np.percentile(values, q)) for q in (1, 5, 25, 50, 75, 95, 99)}


_EXPLANATION = (
    'Maxima that move pixels the same way have smaller angles, maxima with longer perturbations '
    '(towards the corners of the ball) lie further apart, and clipped points share signs because a '
    'pixel at an end of the range can only move one way.'
)


def _claims(maxima: dict[str, _Points], references: dict[str, _Points]) -> list[Claim]:
    """Each claim of section 3.1's text; `maxima` by how the network was trained, in words."""
    distances, angles, negative, correlated, judged = [], [], [], [], set()
    for words, points in maxima.items():
        for name, reference in references.items():
            ratio = points.apart(reference)
            near = abs(ratio - 1) <= _NEAR_RATIO
            distances.append(Case(f'{words}, beside {name}', f'{ratio:.2f} times', held=near))
        near = abs(points.angle - 90) <= _NEAR_DEGREES
        angles.append(Case(words, f'{points.angle:.0f} degrees', held=near))
        least, whole = points.correlations[0], points.correlations[-1]
        count, share = int(np.sum(whole < 0)), Measured.share(whole < 0)
        judged.add(REPRODUCED if share.low > _SOME else PARTLY if count else CONTRADICTED)
        numbers = f'{count:,} of {len(whole):,}, the least correlation {whole.min():.4f}'
        negative.append(Case(words, numbers, share.ends('.2%')))
        means = Measured.mean(least), Measured.mean(whole)
        held = means[0].above(means[1])
        correlated.append(Case.of(words, *means, held=held, form='.3f'))
    angles += [Case(words, f'{p.angle:.0f} degrees') for words, p in references.items()]
    any_of_them = next(iter(maxima.values()))
    both = f'{len(any_of_them.distances):,} pairs a network'
    each = f'{len(any_of_them.lengths):,} maxima a network'
    where = 'section 3.1'
    return [
        Claim.of(
            'Distances between maxima are close to those between random points of the ball.',
            where,
            distances,
            both,
            f'median distance (close: within {_NEAR_RATIO:.0%})',
        ),
        Claim.of(
            'Angles between maxima are close to 90 degrees.',
            where,
            angles,
            both,
            f'median angle (close: within {_NEAR_DEGREES:g})',
        ),
        Claim.of(
            "Some maxima have a negative inner product with the image's gradient.",
            where,
            negative,
            each,
            f'negative ones (some: the interval, over restarts of these images, is above '
            f'{_SOME:.0%})',
            judged.pop() if len(judged) == 1 else PARTLY,
        ),
        Claim.of(
            "The perturbation's correlation with the image's gradient deteriorates with its scale.",
            where,
            correlated,
            each,
            'mean correlation at an eighth of the radius and at the whole (intervals: over '
            'restarts of these images)',
        ),
    ]


def _table(epsilon: float, everything: dict[str, _Points]) -> Table:
    rows, columns = {}, ()
    for name, points in everything.items():
        statistics = {words: getattr(points, s) for s, words in _STATISTICS.items()}
        for share, values in zip(_RADII, points.correlations, strict=False):
            words = f"correlation with the image's gradient, epsilon {epsilon * share:g}"
            statistics[words] = values
        for words, values in statistics.items():
            numbers = {'least': values.min(), 'mean': values.mean(), **_quantiles(values)}
            columns = *numbers, 'negative'
            negative = f'{np.mean(values < 0):.1%}'
            rows[f'{name}: {words}'] = *(f'{x:.4g}' for x in numbers.values()), negative
    return Table.matrix('Maxima and random points: l2 in pixel units, and quantiles', columns, rows)


def _pictures(
    study: Study, maxima: dict[str, _Points], references: dict[str, _Points]
) -> list[Picture]:
    pictures = []
    labels = {'distances': f'l2 distance ({study.unit})', 'angles': 'angle (degrees)'}
    for subject, label in labels.items():
        series = {words: getattr(p, subject) for words, p in {**maxima, **references}.items()}
        pictures += study.draw(
            f'landscape_{subject}',
            f'Histograms of the {subject} between maxima, and between random points',
            'histograms',
            [('all pairs of restarts', series)],
            xlabel=label,
        )
    radii = [study.pgd.ball.epsilon * share for share in _RADII]
    lines = []
    for words, points in maxima.items():
        spread = [(c.mean(), *np.percentile(c, (5, 95))) for c in points.correlations]
        lines.append(Line.of(words, radii, spread))
    return pictures + study.draw(
        'landscape_correlations',
        "Correlation of perturbations with the image's gradient over epsilon",
        'lines',
        [('mean, and 5% to 95%', lines)],
        xlabel=f'epsilon ({study.unit})',
        ylabel='correlation',
    )
