"""Section 3.1's text in numbers: how distinct the maxima are, and where they lie."""

import dataclasses

import numpy as np
import tqdm

from common.attacks import PGD
from common.exhibits import Exhibit, Picture, Table
from common.figures.restarts import NETWORKS
from common.figures.study import Study, draw
from common.landscape import (
    BATCH_SIZE,
    Restarting,
    correlations,
    image_gradient,
    pairs,
    random_perturbations,
)

_IMAGES = 4
_RANDOM, _CLIPPED = 'random points of the ball', 'the same, clipped'
_MOST = 1000  # restarts: pairs, and memory, grow with their square
_RADII = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)  # shares of epsilon


@dataclasses.dataclass(frozen=True)
class _Found:
    """All images' statistics of one network, pooled; 'random' are points of the ball."""

    distances: np.ndarray
    angles: np.ndarray
    correlations: list[np.ndarray]  # for each of _RADII


def landscape(study: Study, restarts: int | None = None) -> Exhibit:
    """Distances and angles between maxima, and their correlation with the image's gradient.

    Args:
        study: the data set.
        restarts: maxima an image; by default 200, or 40 on a quick budget. At most 1,000, whose
            half a million pairs an image show the distribution.

    Raises:
        UserError: a network is not there, or there are too few images.
    """
    restarts = min(restarts or (40 if study.quick else 200), _MOST)
    images = study.images(_IMAGES)
    found = {name: _measure(study, name, images, restarts) for name in NETWORKS}
    references = {words: _random(study, images, restarts, clipped)
                  for words, clipped in ((_RANDOM, False), (_CLIPPED, True))}
    return study.exhibit(
        'landscape', "section 3.1, the maxima's geometry",
        setting=f'{study.pgd}, {restarts} restarts of each of the images '
                f'{[study.number(i) for i in images]}',
        networks=list(NETWORKS), remarks=_remarks(found, references),
        tables=_tables(study.pgd, found, references),
        pictures=_pictures(study, found, references),
        data={name: {'distances': _quantiles(f.distances), 'angles': _quantiles(f.angles),
                     'correlations': [_quantiles(c) for c in f.correlations]}
              for name, f in {**found, **references}.items()})


def _measure(study: Study, name: str, images: list[int], restarts: int) -> _Found:
    maxima = {}
    for share in tqdm.tqdm(_RADII, desc=f'{name}, radii', unit='radius', leave=False):
        maxima[share] = _maxima(study, name, _scaled(study.pgd, share), images, restarts)
    gradients = [image_gradient(study.network(name).model, study.test, i) for i in images]
    apart = [pairs(perturbations) for perturbations in maxima[1]]
    return _Found(
        np.concatenate([p.distances for p in apart]), np.concatenate([p.angles for p in apart]),
        [np.concatenate([correlations(m, g) for m, g in zip(maxima[share], gradients, strict=True)])
         for share in _RADII])


def _maxima(
    study: Study, name: str, attack: PGD, images: list[int], restarts: int
) -> list[np.ndarray]:
    """[restarts, pixels] perturbations of each image."""
    restarting = Restarting(attack, study.crafting(name), study.judge(name), seed=study.seed,
                            batch_size=min(restarts, BATCH_SIZE))
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
    random = [pairs(random_perturbations(
        study.pgd, study.test, i, restarts, study.seed, clipped=clipped)) for i in images]
    return _Found(np.concatenate([p.distances for p in random]),
                  np.concatenate([p.angles for p in random]), [])


def _scaled(attack: PGD, share: float) -> PGD:
    ball = dataclasses.replace(attack.ball, epsilon=attack.ball.epsilon * share)
    return dataclasses.replace(attack, ball=ball, step_size=attack.step_size * share)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {f'{q}%': float(np.percentile(values, q)) for q in (1, 5, 25, 50, 75, 95, 99)}


def _remarks(found: dict[str, _Found], references: dict[str, _Found]) -> list[str]:
    random, clipped = references.values()
    apart = '; '.join(
        f'{NETWORKS[name]}, {np.median(f.distances) / np.median(random.distances):.2f} times as '
        f'far apart as random points of the ball ('
        f'{np.median(f.distances) / np.median(clipped.distances):.2f} times, where these are '
        f'clipped to the pixel range as the maxima are), at {np.median(f.angles):.0f} degrees'
        for name, f in found.items())
    against = '; '.join(
        f'{NETWORKS[name]}, {np.mean(f.correlations[-1] < 0):.1%} of the perturbations have a '
        f"negative inner product with the image's gradient, and the mean correlation goes from "
        f'{np.mean(f.correlations[0]):.3f} at an eighth of the radius to '
        f'{np.mean(f.correlations[-1]):.3f} at the whole' for name, f in found.items())
    return [
        f'Where PGD ends, in the median over all pairs: {apart}. Random points are at '
        f'{np.median(random.angles):.0f} degrees, clipped ones at {np.median(clipped.angles):.0f}: '
        'pixels at the end of the range can only move one way, which all pairs share. The paper: '
        'distances close to those of random points, angles close to 90 degrees.',
        f'Inner products: {against}. The paper: some inner products are negative, and the '
        'correlation deteriorates with the scale of the perturbation.']


def _tables(
    attack: PGD, found: dict[str, _Found], references: dict[str, _Found]
) -> list[Table]:
    apart = [{
        'points': name, 'pairs': f'{len(f.distances):,}',
        'distance, 5%': f'{np.percentile(f.distances, 5):.4g}',
        'median': f'{np.median(f.distances):.4g}', '95%': f'{np.percentile(f.distances, 95):.4g}',
        'angle, median': f'{np.median(f.angles):.1f}'}
        for name, f in {**found, **references}.items()]
    against = [{
        'maxima of': name, 'epsilon': f'{attack.ball.epsilon * share:g}',
        'mean correlation': f'{np.mean(values):.4f}', 'least': f'{values.min():.4f}',
        'negative': f'{np.mean(values < 0):.1%}'}
        for name, f in found.items()
        for share, values in zip(_RADII, f.correlations, strict=True)]
    return [Table.of('l2 distances (pixel units) and angles (degrees) between maxima', apart),
            Table.of("Correlation of the perturbation with the image's gradient", against)]


def _pictures(
    study: Study, found: dict[str, _Found], references: dict[str, _Found]
) -> list[Picture]:
    series = {**{NETWORKS[name]: f for name, f in found.items()}, **references}
    drawn = []
    for subject, xlabel in (('distances', f'l2 distance ({study.unit})'),
                            ('angles', 'angle (degrees)')):
        values = {words: getattr(f, subject) for words, f in series.items()}
        drawn += draw(
            study.path(f'landscape_{subject}'),
            f'Histograms of the {subject} between maxima, and between random points',
            lambda plots, path, values=values, xlabel=xlabel: plots.histograms(
                path, [('all pairs of restarts', values)], xlabel=xlabel, ylabel='density',
                density=True, width=5.5))
    radii = [study.pgd.ball.epsilon * share for share in _RADII]
    return drawn + draw(
        study.path('landscape_correlations'),
        "Correlation of perturbations with the image's gradient over epsilon",
        lambda plots, path: plots.lines(
            path, [('mean, and 5% to 95%', [plots.Line(
                NETWORKS[name], radii, [c.mean() for c in f.correlations],
                [np.percentile(c, 5) for c in f.correlations],
                [np.percentile(c, 95) for c in f.correlations]) for name, f in found.items()])],
            xlabel=f'epsilon ({study.unit})', ylabel='correlation', width=5.5))
