"""Section 3.1's text in numbers: how distinct the maxima are, and where they lie."""

import dataclasses

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
from common.report.exhibit import Exhibit, Picture, Table
from common.report.figures.study import CHOSEN, NETWORKS, Study, draw

_IMAGES = 4
_RANDOM, _CLIPPED = 'random points of the ball', 'the same, clipped'
_MOST = 1000  # restarts: pairs, and memory, grow with their square
_RADII = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)  # shares of epsilon

# What the paper's 'close to' is taken for.
_NEAR_RATIO = 0.1  # of distances
_NEAR_DEGREES = 10.0
# Differences that are worth explaining.
_CLIPPING_DEGREES = 2.0
_BELOW_DEGREES = 5.0
_FURTHER = 0.02


@dataclasses.dataclass(frozen=True)
class _Found:
    """All images' statistics of one network, pooled; 'random' are points of the ball."""

    distances: np.ndarray  # [pairs] in pixel units
    angles: np.ndarray  # [pairs] in degrees
    same_signs: np.ndarray  # [pairs] shares of the pixels that both of a pair move
    lengths: np.ndarray  # [points] l2, in pixel units
    correlations: list[np.ndarray]  # [points] for each of _RADII; none of random points

    @classmethod
    def of(cls, points: list[np.ndarray], correlations: list[np.ndarray]) -> '_Found':
        """Statistics of [m, pixels] perturbations of each image."""
        apart = [pairs(perturbations) for perturbations in points]
        return cls(
            np.concatenate([p.distances for p in apart]),
            np.concatenate([p.angles for p in apart]),
            np.concatenate([same_signs(perturbations) for perturbations in points]),
            np.concatenate([np.linalg.norm(p.astype(np.float64), axis=1) for p in points]),
            correlations,
        )


def landscape(study: Study, restarts: int | None = None) -> Exhibit:
    """Distances and angles between maxima, and their correlation with the image's gradient.

    Args:
        study: the data set.
        restarts: maxima an image; by default 200, or 40 on a quick budget. At most 1,000, whose
            half a million pairs an image show the distribution.

    Raises:
        UserError: a network is not there, there are too few images, or there is a single maximum
            and so no pair.
    """
    restarts = min(restarts or (40 if study.quick else 200), _MOST)
    if restarts < 2:
        raise UserError(
            f'expected at least 2 restarts, whose ends are pairs; found {restarts}. '
            'Raise --restarts.'
        )
    images = study.images(_IMAGES)
    found = {name: _measure(study, name, images, restarts) for name in NETWORKS}
    references = {
        words: _random(study, images, restarts, clipped)
        for words, clipped in ((_RANDOM, False), (_CLIPPED, True))
    }
    return study.exhibit(
        'landscape',
        "section 3.1, the maxima's geometry",
        setting=f'{study.pgd}, {restarts} restarts of each of the images '
        f'{[study.number(i) for i in images]}, {CHOSEN}',
        networks=list(NETWORKS),
        remarks=_remarks(found, references),
        tables=_tables(study.pgd, found, references),
        pictures=_pictures(study, found, references),
        data={
            name: {
                'distances': _quantiles(f.distances),
                'angles': _quantiles(f.angles),
                'same_signs': _quantiles(f.same_signs),
                'lengths': _quantiles(f.lengths),
                'correlations': [_quantiles(c) for c in f.correlations],
            }
            for name, f in {**found, **references}.items()
        },
    )


def _measure(study: Study, name: str, images: list[int], restarts: int) -> _Found:
    maxima = {}
    for share in tqdm.tqdm(_RADII, desc=f'{name}, radii', unit='radius', leave=False):
        maxima[share] = _maxima(study, name, _scaled(study.pgd, share), images, restarts)
    gradients = [image_gradient(study.network(name).model, study.test, i) for i in images]
    return _Found.of(
        maxima[1],
        [
            np.concatenate(
                [correlations(m, g) for m, g in zip(maxima[share], gradients, strict=True)]
            )
            for share in _RADII
        ],
    )


def same_signs(perturbations: np.ndarray) -> np.ndarray:
    """How many pixels all pairs of [m, pixels] perturbations move the same way.

    Returns:
        [m (m - 1) / 2] float32 shares of the pixels that both of a pair move; 0 where they share
        none.
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
    found = []
    for image in images:
        partial = study.partial('maxima', name, attack, image, restarts, restarting.batch_size)
        maxima = partial.read({'maxima': None})['maxima']
        if maxima is None:
            maxima = restarting.maxima(study.test, image, restarts)
            partial.write({'maxima': maxima})
        found.append(maxima)
    return found


def _random(study: Study, images: list[int], restarts: int, clipped: bool) -> _Found:
    return _Found.of(
        [
            random_perturbations(study.pgd, study.test, i, restarts, study.seed, clipped=clipped)
            for i in images
        ],
        [],
    )


def _scaled(attack: PGD, share: float) -> PGD:
    ball = dataclasses.replace(attack.ball, epsilon=attack.ball.epsilon * share)
    return dataclasses.replace(attack, ball=ball, step_size=attack.step_size * share)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {f'{q}%': float(np.percentile(values, q)) for q in (1, 5, 25, 50, 75, 95, 99)}


def _remarks(found: dict[str, _Found], references: dict[str, _Found]) -> list[str]:
    random, clipped = references.values()
    apart = '; '.join(
        f'{NETWORKS[name]}, {_ratio(f, random):.2f} times as far apart as random points of the '
        f'ball ({_ratio(f, clipped):.2f} times, where these are clipped to the pixel range as the '
        f'maxima are), at {np.median(f.angles):.0f} degrees'
        for name, f in found.items()
    )
    return [
        f'Where PGD ends, in the median over all pairs: {apart}. Random points are at '
        f'{np.median(random.angles):.0f} degrees, clipped ones at {np.median(clipped.angles):.0f}'
        + (
            ': pixels at the end of the range can only move one way, which all pairs share.'
            if abs(np.median(random.angles) - np.median(clipped.angles)) > _CLIPPING_DEGREES
            else '.'
        ),
        *_explained(found, clipped),
        'The paper: distances close to those of random points, angles close to 90 degrees. '
        f'Measured, where close is within {_NEAR_RATIO:.0%} and {_NEAR_DEGREES:g} degrees: '
        + '; '.join(
            f'{NETWORKS[name]}, {_closeness(f, random, clipped)}' for name, f in found.items()
        )
        + '.',
        "The paper: some inner products with the image's gradient are negative, and the "
        'correlation deteriorates with the scale of the perturbation. Measured: '
        + '; '.join(f'{NETWORKS[name]}, {_against_gradient(f)}' for name, f in found.items())
        + '.',
    ]


def _ratio(found: _Found, reference: _Found) -> float:
    return float(np.median(found.distances) / np.median(reference.distances))


def _explained(found: dict[str, _Found], clipped: _Found) -> list[str]:
    """Why maxima are closer in direction, or further apart, than clipped random points."""
    same = {name: float(np.median(f.same_signs)) for name, f in found.items()}
    chance = float(np.median(clipped.same_signs))
    closer = [
        f'{NETWORKS[name]}, {same[name]:.0%}'
        for name, f in found.items()
        if np.median(f.angles) < np.median(clipped.angles) - _BELOW_DEGREES and same[name] > chance
    ]
    longer = {
        name: float(np.median(f.lengths) / np.median(clipped.lengths)) for name, f in found.items()
    }
    further = [
        f'{NETWORKS[name]}, {longer[name]:.2f} times as long as those of clipped random points'
        for name, f in found.items()
        if _ratio(f, clipped) > 1 + _FURTHER and longer[name] > 1
    ]
    return [
        *(
            [
                'Smaller angles than between clipped random points come from shared signs. Of the '
                'pixels that both of a pair move, they move the same way, in the median: '
                f'{"; ".join(closer)} (random points: {chance:.0%}).'
            ]
            if closer
            else []
        ),
        *(
            [
                'Maxima further apart than random points lie towards the corners of the ball, '
                'which are further apart than its other points. Their perturbations are longer, in '
                f'the median: {"; ".join(further)}.'
            ]
            if further
            else []
        ),
    ]


def _closeness(found: _Found, random: _Found, clipped: _Found) -> str:
    """For or against the paper's 'close to'."""
    ratios = {'random points': _ratio(found, random), 'clipped ones': _ratio(found, clipped)}
    near = {words: abs(ratio - 1) <= _NEAR_RATIO for words, ratio in ratios.items()}
    if len(set(near.values())) == 1:
        distances = f'{_stance(near["random points"])} ({ratios["random points"]:.2f} times)'
    else:
        distances = ' and '.join(
            f'{_stance(is_near)} beside {words} ({ratios[words]:.2f} times)'
            for words, is_near in near.items()
        )
    angle = float(np.median(found.angles))
    return (
        f'the distances are {distances}, the angles {_stance(abs(angle - 90) <= _NEAR_DEGREES)}'
        f' ({angle:.0f} degrees)'
    )


def _against_gradient(found: _Found) -> str:
    least, most = (float(np.mean(found.correlations[i])) for i in (0, -1))
    negative = int(np.sum(found.correlations[-1] < 0))
    return (
        f'{negative:,} of {len(found.correlations[-1]):,} are negative '
        f'({_stance(negative > 0)}), and the mean correlation goes from {least:.3f} at an '
        f'eighth of the radius to {most:.3f} at the whole ({_stance(most < least)})'
    )


def _stance(agrees: bool) -> str:
    return 'for it' if agrees else 'against it'


def _tables(attack: PGD, found: dict[str, _Found], references: dict[str, _Found]) -> list[Table]:
    apart = [
        {
            'points': name,
            'pairs': f'{len(f.distances):,}',
            'distance, 5%': f'{np.percentile(f.distances, 5):.4g}',
            'median': f'{np.median(f.distances):.4g}',
            '95%': f'{np.percentile(f.distances, 95):.4g}',
            'angle, median': f'{np.median(f.angles):.1f}',
            'moved the same way, median': f'{np.median(f.same_signs):.1%}',
            'length, median': f'{np.median(f.lengths):.4g}',
        }
        for name, f in {**found, **references}.items()
    ]
    against = [
        {
            'maxima of': name,
            'epsilon': f'{attack.ball.epsilon * share:g}',
            'mean correlation': f'{np.mean(values):.4f}',
            'least': f'{values.min():.4f}',
            'negative': f'{np.mean(values < 0):.1%}',
        }
        for name, f in found.items()
        for share, values in zip(_RADII, f.correlations, strict=True)
    ]
    return [
        Table.of(
            'l2 distances (pixel units) and angles (degrees) between maxima, pixels that '
            'both of a pair move and move the same way, l2 lengths (pixel units)',
            apart,
        ),
        Table.of("Correlation of the perturbation with the image's gradient", against),
    ]


def _pictures(
    study: Study, found: dict[str, _Found], references: dict[str, _Found]
) -> list[Picture]:
    series = {**{NETWORKS[name]: f for name, f in found.items()}, **references}
    drawn = []
    for subject, xlabel in (
        ('distances', f'l2 distance ({study.unit})'),
        ('angles', 'angle (degrees)'),
    ):
        values = {words: getattr(f, subject) for words, f in series.items()}
        drawn += draw(
            study.path(f'landscape_{subject}'),
            f'Histograms of the {subject} between maxima, and between random points',
            lambda plots, path, values=values, xlabel=xlabel: plots.histograms(
                path,
                [('all pairs of restarts', values)],
                xlabel=xlabel,
                ylabel='density',
                density=True,
                width=5.5,
            ),
        )
    radii = [study.pgd.ball.epsilon * share for share in _RADII]
    return drawn + draw(
        study.path('landscape_correlations'),
        "Correlation of perturbations with the image's gradient over epsilon",
        lambda plots, path: plots.lines(
            path,
            [
                (
                    'mean, and 5% to 95%',
                    [
                        plots.Line(
                            NETWORKS[name],
                            radii,
                            [c.mean() for c in f.correlations],
                            [np.percentile(c, 5) for c in f.correlations],
                            [np.percentile(c, 95) for c in f.correlations],
                        )
                        for name, f in found.items()
                    ],
                )
            ],
            xlabel=f'epsilon ({study.unit})',
            ylabel='correlation',
            width=5.5,
        ),
    )
