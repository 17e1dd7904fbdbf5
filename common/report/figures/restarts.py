"""Figures 1 and 2: the losses that many random restarts of PGD reach around one image."""

from collections.abc import Mapping, Sequence

import numpy as np
import tqdm

from common.evaluation.loss_landscape import BATCH_SIZE, Curves
from common.report.claims import Case, Claim
from common.report.exhibit import Exhibit, Line, Table
from common.report.figures.study import CHOSEN, Study
from common.statistics import counted

_LOSS = 'cross-entropy'
_MOST = 2000  # losses of an image in the exhibit

# What the paper's words are taken to mean.
_CONCENTRATED = 2.0  # ratio of the 99% to the 1% quantile, and of the greatest loss to the median
_MUCH = 10.0  # ratio of losses
_LEVEL = 0.1  # share of the rise in the last quarter of the steps


def figure_1(study: Study, restarts_of_an_image: int | None = None) -> Exhibit:
    """Distribution of the loss that PGD ends at.

    Args:
        study: the data set.
        restarts_of_an_image: for each network; by default the paper's 200, or 40 on a quick budget.

    Raises:
        UserError: a network is missing, or there are too few images.
    """
    restarts = restarts_of_an_image or (40 if study.quick else 200)
    images = study.images()
    numbers = study.numbers(images)
    losses = {name: _losses(study, name, images, restarts) for name in study.compared}
    rows, panels = {}, []
    for name, words in study.compared.items():
        for image, values in zip(numbers, losses[name], strict=True):
            quantiles = np.percentile(values, (0, 1, 50, 99, 100))
            rows[f'{name}, image {image}'] = [f'{loss:.4g}' for loss in quantiles]
            # A panel each, since the losses differ by orders of magnitude.
            panels.append((f'{name}, image {image}', {words: values}))
    return study.exhibit(
        'figure_1',
        'figure 1, losses of the maxima that PGD finds',
        setting=f'{study.pgd}, {restarts:,} restarts of images {CHOSEN}',
        claims=_small(study.in_words(losses)),
        tables=[Table.matrix('', ('least', '1%', 'median', '99%', 'greatest'), rows)],
        pictures=study.draw(
            'figure_1',
            'Histograms of the final losses, four images and two networks',
            'histograms',
            panels,
            xlabel=f'{_LOSS} at the end of PGD',
        ),
        data={
            'images': numbers,
            'losses': {name: [_thinned(v) for v in values] for name, values in losses.items()},
        },
    )


def _losses(study: Study, name: str, images: list[int], restarts: int) -> list[np.ndarray]:
    """[restarts] final losses of each image."""
    restarting = study.restarting(name, restarts)
    losses = []
    for image, number in zip(images, study.numbers(images), strict=True):
        partial = study.partial('restarts', name, study.pgd, image, restarting.batch_size)
        words = f'{name}, image {number}'
        with tqdm.tqdm(total=restarts, desc=words, unit='restart', leave=False) as bar:
            losses.append(restarting.final_losses(study.test, image, restarts, partial, bar.update))
    return losses


def _thinned(values: np.ndarray) -> list[float]:
    """Enough of the values to draw them again, both ends included: an exhibit is no archive."""
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST)).round().astype(int))
    return _rounded(np.sort(values)[chosen])


def _rounded(values: np.ndarray) -> list:
    """Rounds to five significant digits: losses of one figure differ by orders of magnitude."""
    return [_rounded(v) if np.ndim(v) else float(f'{v:.5g}') for v in values]


def _small(losses: Mapping[str, Sequence[np.ndarray]]) -> list[Claim]:
    """Whether losses lie close together, and are much smaller on the second network.

    Args:
        losses: [restarts] of each image, by how the network was trained.
    """
    concentrated, smaller = [], []
    for words, images in losses.items():
        spread = [_times(np.percentile(v, 99), np.percentile(v, 1)) for v in images]
        most = [_times(v.max(), np.median(v)) for v in images]
        ranges = (f'{min(times):.3g} to {max(times):.3g} times' for times in (spread, most))
        held = max(*spread, *most) <= _CONCENTRATED
        concentrated.append(Case(words, ' and '.join(ranges), held=held))
    for i, pair in enumerate(zip(*losses.values(), strict=True), 1):
        a, b = map(np.median, pair)
        case = Case(f'image {i}', f'{a:.3g} and {b:.3g}', held=_times(a, b) >= _MUCH)
        smaller.append(case)
    n = f'{len(images[0]):,} restarts of {counted(len(images), "image")}'
    return [
        Claim.of(
            'The losses that PGD ends at are well concentrated, without extreme outliers.',
            'section 3.1, figure 1',
            concentrated,
            n,
            "an image's 99% quantile beside its 1% quantile, and its greatest loss beside its "
            f'median (concentrated: at most {_CONCENTRATED:g} times)',
        ),
        Claim.of(
            'The losses of adversarially trained networks are much smaller.',
            'section 3.1, figure 1',
            smaller,
            n,
            f'median, {" and ".join(losses)} (much: at least {_MUCH:g} times)',
        ),
    ]


def _times(value: float, other: float) -> float:
    """How many times `other` a loss is; 1 where they are equal, also where both are 0."""
    if value == other:
        return 1.0
    # Infinite beside a loss of 0, which float32 has where a network is sure.
    return float(value) / float(other) if other else float('inf')


def figure_2(study: Study, restarts_of_an_image: int | None = None) -> Exhibit:
    """Loss along the iterations of PGD.

    Args:
        study: the data set.
        restarts_of_an_image: by default the paper's 20; at most a batch, since each one is a line.

    Raises:
        UserError: a network is missing.
    """
    restarts = min(restarts_of_an_image or 20, BATCH_SIZE)
    image, middle = study.images()[0], study.pgd.steps // 2
    (number,) = study.numbers([image])
    curves, rows = {}, {}
    for name in study.compared:
        losses = Curves(study.pgd, study.logits(name), study.judge(name))
        curves[name] = v = losses(study.test, image, restarts, study.seed)
        means = [f'{v[:, step].mean():.4g}' for step in (0, middle, -1)]
        risen = _share_by(v, middle)
        percent = None if risen is None else f'{risen:.0%}'
        rows[name] = *means, f'{v[:, -1].std():.3g}', percent
    columns = (
        'start',
        f'step {middle}',
        'end',
        'standard deviation at the end',
        'share of the rise by the middle',
    )
    in_words = study.in_words(curves)
    return study.exhibit(
        'figure_2',
        'figure 2, loss along the iterations of PGD',
        setting=f'{study.pgd}, {restarts} restarts of image {number}, {CHOSEN}',
        claims=_rise(in_words),
        tables=[Table.matrix('', columns, rows)],
        pictures=study.draw(
            'figure_2',
            'Loss over iterations of PGD, one line a restart',
            'lines',
            [(words, [Line('a restart', range(len(v.T)), v.T)]) for words, v in in_words.items()],
            xlabel='PGD iteration',
            ylabel=_LOSS,
        ),
        data={'image': number, 'losses': {n: _rounded(v) for n, v in curves.items()}},
    )


def _rise(curves: Mapping[str, np.ndarray]) -> list[Claim]:
    """Whether losses ([restarts, steps + 1], by the network's training) rise, and then no more."""
    consistent, level = [], []
    for words, v in curves.items():
        risen = int(np.sum(v[:, -1] > v[:, 0]))
        consistent.append(Case(words, f'{risen} of {len(v)}', held=risen == len(v)))
        before = _share_by(v, v.shape[1] * 3 // 4)
        if before is None:
            level.append(Case(words, 'the mean loss does not rise'))
        else:
            level.append(Case(words, f'{1 - before:.0%}', held=1 - before <= _LEVEL))
    n = f'{len(next(iter(curves.values())))} restarts of an image'
    return [
        Claim.of(
            'The loss rises in a fairly consistent way.',
            'section 3.1, figure 2',
            consistent,
            n,
            'restarts that end above their start (consistent: all of them)',
        ),
        Claim.of(
            'The loss plateaus rapidly.',
            'section 3.1, figure 2',
            level,
            n,
            "share of the mean loss's rise in the last quarter of the steps (a plateau: at most "
            f'{_LEVEL:.0%})',
        ),
    ]


def _share_by(curves: np.ndarray, step: int) -> float | None:
    """Share of the mean loss's rise that lies before a step; None if it does not rise.

    Args:
        curves: [restarts, steps + 1] losses.
        step: 0 to steps.
    """
    mean = curves.mean(axis=0, dtype=np.float64)
    rise = mean[-1] - mean[0]
    # Losses are float32 numbers: a difference in their last digits is no rise.
    if rise <= 8 * np.finfo(np.float32).eps * np.abs(mean).max():
        return None
    return float((mean[step] - mean[0]) / rise)
