"""Figures 1 and 2: what many random restarts of PGD find around one image."""

from collections.abc import Sequence

import numpy as np
import tqdm

from common.evaluation.loss_landscape import BATCH_SIZE, Curves, Restarting
from common.report.exhibit import Exhibit, Table
from common.report.figures.study import CHOSEN, NETWORKS, Study, draw

_IMAGES = 4
_LOSS = 'cross-entropy'


def figure_1(study: Study, restarts: int | None = None) -> Exhibit:
    """Distribution of the loss that PGD ends at.

    Args:
        study: the data set.
        restarts: for each image and network; by default the paper's 200, or 40 on a quick budget.

    Raises:
        UserError: a network is not there, or there are too few images.
    """
    restarts = restarts or (40 if study.quick else 200)
    images = study.images(_IMAGES)
    numbers = [study.number(image) for image in images]
    losses = {name: _losses(study, name, images, restarts) for name in NETWORKS}
    rows = [
        _summary(name, image, values)
        for name in NETWORKS
        for image, values in zip(numbers, losses[name], strict=True)
    ]
    pictures = draw(
        study.path('figure_1'),
        'Histograms of the final losses, four images and two networks',
        lambda plots, path: plots.histograms(
            path, _panels(numbers, losses), xlabel=f'{_LOSS} at the end of PGD', ylabel='restarts'
        ),
    )
    return study.exhibit(
        'figure_1',
        'figure 1, losses of the maxima that PGD finds',
        setting=f'{study.pgd}, {restarts:,} restarts of images {CHOSEN}',
        networks=list(NETWORKS),
        remarks=[
            _concentration(losses, restarts),
            (
                'The paper: the losses of the final iterates are well concentrated without extreme '
                'outliers, and those of adversarially trained networks are much smaller.'
            ),
        ],
        tables=[Table.of('', rows)],
        pictures=pictures,
        data={
            'images': numbers,
            'losses': {name: [_thinned(v) for v in values] for name, values in losses.items()},
        },
    )


def _losses(study: Study, name: str, images: list[int], restarts: int) -> list[np.ndarray]:
    """[restarts] final losses of each image."""
    restarting = Restarting(
        study.pgd,
        study.logits(name),
        study.judge(name),
        seed=study.seed,
        batch_size=min(restarts, BATCH_SIZE),
    )
    found = []
    for image in images:
        partial = study.partial('restarts', name, study.pgd, image, restarting.batch_size)
        with tqdm.tqdm(
            total=restarts, desc=f'{name}, image {study.number(image)}', unit='restart', leave=False
        ) as bar:
            found.append(restarting.final_losses(study.test, image, restarts, partial, bar.update))
    return found


def _thinned(values: np.ndarray, most: int = 2000) -> list[float]:
    """Enough of the values to draw them again, with both ends, since an exhibit is no archive."""
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int))
    return _rounded(np.sort(values)[chosen])


def _rounded(values: np.ndarray) -> list:
    """To five significant digits: losses of one figure differ by orders of magnitude."""
    return [_rounded(v) if np.ndim(v) else float(f'{v:.5g}') for v in values]


def _summary(name: str, image: int, losses: np.ndarray) -> dict[str, object]:
    low, median, high = np.percentile(losses, (1, 50, 99))
    return {
        'network': name,
        'image': image,
        'restarts': f'{len(losses):,}',
        'least': f'{losses.min():.4g}',
        '1%': f'{low:.4g}',
        'median': f'{median:.4g}',
        '99%': f'{high:.4g}',
        'greatest': f'{losses.max():.4g}',
    }


def _panels(
    numbers: Sequence[int], losses: dict[str, list[np.ndarray]]
) -> list[tuple[str, dict[str, np.ndarray]]]:
    # A row each, since the losses differ by orders of magnitude.
    return [
        (f'{name}, image {image}', {words: losses[name][i]})
        for name, words in NETWORKS.items()
        for i, image in enumerate(numbers)
    ]


def _concentration(losses: dict[str, list[np.ndarray]], restarts: int) -> str:
    parts = []
    for name, words in NETWORKS.items():
        medians = [np.median(v) for v in losses[name]]
        most = [_times(v.max(), np.median(v)) for v in losses[name]]
        spread = [_times(np.percentile(v, 99), np.percentile(v, 1)) for v in losses[name]]
        parts.append(
            f'{words}, medians of {min(medians):.3g} to {max(medians):.3g}, the 99% quantile of an '
            f'image is {min(spread):.3g} to {max(spread):.3g} times its 1% quantile, the greatest '
            f'loss {min(most):.3g} to {max(most):.3g} times its median'
        )
    return f'Measured over {restarts:,} restarts an image: ' + '; '.join(parts) + '.'


def _times(value: float, other: float) -> float:
    """How many times `other` a loss is; 1 where they are equal, both of them 0 included."""
    if value == other:
        return 1.0
    # Infinite beside a loss of 0, which float32 has where a network is sure.
    return float(value) / float(other) if other else float('inf')


def figure_2(study: Study, restarts: int | None = None) -> Exhibit:
    """Loss along the iterations of PGD.

    Args:
        study: the data set.
        restarts: by default the paper's 20; at most a batch, since each one is a line.

    Raises:
        UserError: a network is not there.
    """
    restarts = min(restarts or 20, BATCH_SIZE)
    image = study.images(_IMAGES)[0]
    curves = {
        name: Curves(study.pgd, study.logits(name), study.judge(name))(
            study.test, image, restarts, study.seed
        )
        for name in NETWORKS
    }
    middle = study.pgd.steps // 2
    rows = [
        {
            'network': name,
            'start': f'{v[:, 0].mean():.4g}',
            f'step {middle}': f'{v[:, middle].mean():.4g}',
            'end': f'{v[:, -1].mean():.4g}',
            'standard deviation at the end': f'{v[:, -1].std():.3g}',
            'share of the rise by the middle': _percent(_share_by(v, middle)),
        }
        for name, v in curves.items()
    ]
    pictures = draw(
        study.path('figure_2'),
        'Loss over iterations of PGD, one line a restart',
        lambda plots, path: plots.bundles(
            path,
            [(words, curves[name]) for name, words in NETWORKS.items()],
            xlabel='PGD iteration',
            ylabel=_LOSS,
        ),
    )
    return study.exhibit(
        'figure_2',
        'figure 2, loss along the iterations of PGD',
        setting=f'{study.pgd}, {restarts} restarts of image {study.number(image)}, {CHOSEN}',
        networks=list(NETWORKS),
        remarks=[
            _levelling(curves),
            ('The paper: the loss rises in a fairly consistent way and plateaus rapidly.'),
        ],
        tables=[Table.of('', rows)],
        pictures=pictures,
        data={'image': study.number(image), 'losses': {n: _rounded(v) for n, v in curves.items()}},
    )


def _levelling(curves: dict[str, np.ndarray]) -> str:
    parts = []
    for name, words in NETWORKS.items():
        risen = _share_by(curves[name], curves[name].shape[1] * 3 // 4)
        if risen is None:
            parts.append(f'{words}, the mean loss does not rise')
            continue
        parts.append(
            f'{words}, the last quarter of the steps brings {1 - risen:.0%} of the rise '
            'of the mean loss, which has '
            + ('not levelled off' if 1 - risen > 0.1 else 'levelled off')
        )
    return 'Measured: ' + '; '.join(parts) + '.'


def _share_by(curves: np.ndarray, step: int) -> float | None:
    """Share of the mean loss's rise that lies before a step; None where it does not rise.

    Args:
        curves: [restarts, steps + 1] losses.
        step: 0 to steps.
    """
    mean = curves.mean(axis=0, dtype=np.float64)
    rise = mean[-1] - mean[0]
    # Losses are float32 numbers: what is as small as their last digits is no rise.
    if rise <= 8 * np.finfo(np.float32).eps * np.abs(mean).max():
        return None
    return float((mean[step] - mean[0]) / rise)


def _percent(share: float | None) -> str | None:
    return None if share is None else f'{share:.0%}'
