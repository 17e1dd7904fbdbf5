"""Figures 1 and 2: the losses that many random restarts of PGD reach around one image."""

from collections.abc import Mapping, Sequence

import numpy as np
import tqdm

from common.evaluation.loss_landscape import BATCH_SIZE, Curves, Restarting
from common.report.claims import Case, Claim
from common.report.exhibit import Exhibit, Table
from common.report.figures.study import CHOSEN, Study

_IMAGES = 4
_LOSS = 'cross-entropy'

# What the paper's words are taken to mean.
_CONCENTRATED = 2.0  # ratio of the 99% to the 1% quantile, and of the greatest loss to the median
_MUCH = 10.0  # ratio of losses
_LEVEL = 0.1  # share of the rise in the last quarter of the steps


def figure_1(study: Study, restarts: int | None = None) -> Exhibit:
    """Distribution of the loss that PGD ends at.

    Args:
        study: the data set.
        restarts: for each image and network; by default the paper's 200, or 40 on a quick budget.

    Raises:
        UserError: a network is missing, or there are too few images.
    """
    restarts = restarts or (40 if study.quick else 200)
    images = study.images(_IMAGES)
    numbers = [study.number(image) for image in images]
    losses = {name: _losses(study, name, images, restarts) for name in study.compared}
    rows = [
        _summary(name, image, values)
        for name in losses
        for image, values in zip(numbers, losses[name], strict=True)
    ]
    # A row each, since the losses differ by orders of magnitude.
    panels = [
        (f'{name}, image {image}', {words: losses[name][i]})
        for name, words in study.compared.items()
        for i, image in enumerate(numbers)
    ]

    return study.exhibit(
        'figure_1',
        'figure 1, losses of the maxima that PGD finds',
        setting=f'{study.pgd}, {restarts:,} restarts of images {CHOSEN}',
        networks=list(study.compared),
        claims=[_concentrated(_in_words(study, losses)), _smaller(_in_words(study, losses))],
        tables=[Table.of('', rows)],
        pictures=study.draw(
            'figure_1',
            'Histograms of the final losses, four images and two networks',
            'histograms',
            panels,
            xlabel=f'{_LOSS} at the end of PGD',
            ylabel='restarts',
        ),
        data={
            'images': numbers,
            'losses': {name: [_thinned(v) for v in values] for name, values in losses.items()},
        },
    )


def _in_words(study: Study, values: Mapping) -> dict:
    """Values of the two networks, by how these were trained."""
    return {study.compared[name]: value for name, value in values.items()}


def _losses(study: Study, name: str, images: list[int], restarts: int) -> list[np.ndarray]:
    """[restarts] final losses of each image."""
    restarting = Restarting(
        study.pgd,
        study.logits(name),
        study.judge(name),
        seed=study.seed,
        batch_size=min(restarts, BATCH_SIZE),
    )
    losses = []
    for image in images:
        partial = study.partial('restarts', name, study.pgd, image, restarting.batch_size)
        with tqdm.tqdm(
            total=restarts, desc=f'{name}, image {study.number(image)}', unit='restart', leave=False
        ) as bar:
            losses.append(restarting.final_losses(study.test, image, restarts, partial, bar.update))
    return losses


def _thinned(values: np.ndarray, most: int = 2000) -> list[float]:
    """Enough of the values to draw them again, both ends included: an exhibit is no archive."""
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int))
    return _rounded(np.sort(values)[chosen])


def _rounded(values: np.ndarray) -> list:
    """Rounds to five significant digits: losses of one figure differ by orders of magnitude."""
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


def _concentrated(losses: Mapping[str, Sequence[np.ndarray]]) -> Claim:
    """Whether losses ([restarts] of each image, by the network's training) lie close together."""
    cases = []
    for words, images in losses.items():
        spread = [_times(np.percentile(v, 99), np.percentile(v, 1)) for v in images]
        most = [_times(v.max(), np.median(v)) for v in images]
        numbers = f'{_range(spread)} times and {_range(most)} times'
        cases.append(Case(words, numbers, held=max(*spread, *most) <= _CONCENTRATED))
    return Claim.of(
        'The losses that PGD ends at are well concentrated, without extreme outliers.',
        'section 3.1, figure 1',
        cases,
        _n(losses),
        "an image's 99% quantile beside its 1% quantile, and its greatest loss beside its median "
        f'(concentrated: at most {_CONCENTRATED:g} times)',
    )


def _smaller(losses: Mapping[str, Sequence[np.ndarray]]) -> Claim:
    """Whether losses, as for `_concentrated`, are much smaller on the second network."""
    medians = [[np.median(v) for v in images] for images in losses.values()]
    cases = [
        Case(f'image {i}', f'{a:.3g} and {b:.3g}', held=_times(a, b) >= _MUCH)
        for i, (a, b) in enumerate(zip(*medians, strict=True), 1)
    ]
    return Claim.of(
        'The losses of adversarially trained networks are much smaller.',
        'section 3.1, figure 1',
        cases,
        _n(losses),
        f'median, {" and ".join(losses)} (much: at least {_MUCH:g} times)',
    )


def _range(values: Sequence[float]) -> str:
    return f'{min(values):.3g} to {max(values):.3g}'


def _n(losses: Mapping[str, Sequence[np.ndarray]]) -> str:
    images = next(iter(losses.values()))
    return f'{len(images[0]):,} restarts of {len(images)} images'


def _times(value: float, other: float) -> float:
    """How many times `other` a loss is; 1 where they are equal, also where both are 0."""
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
        UserError: a network is missing.
    """
    restarts = min(restarts or 20, BATCH_SIZE)
    image = study.images(_IMAGES)[0]
    curves = {
        name: Curves(study.pgd, study.logits(name), study.judge(name))(
            study.test, image, restarts, study.seed
        )
        for name in study.compared
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
    in_words = _in_words(study, curves)
    return study.exhibit(
        'figure_2',
        'figure 2, loss along the iterations of PGD',
        setting=f'{study.pgd}, {restarts} restarts of image {study.number(image)}, {CHOSEN}',
        networks=list(study.compared),
        claims=[_consistent(in_words), _levelling(in_words)],
        tables=[Table.of('', rows)],
        pictures=study.draw(
            'figure_2',
            'Loss over iterations of PGD, one line a restart',
            'bundles',
            list(in_words.items()),
            xlabel='PGD iteration',
            ylabel=_LOSS,
        ),
        data={'image': study.number(image), 'losses': {n: _rounded(v) for n, v in curves.items()}},
    )


def _consistent(curves: Mapping[str, np.ndarray]) -> Claim:
    """Whether losses ([restarts, steps + 1], by the network's training) rise from every start."""
    cases = []
    for words, v in curves.items():
        risen = int(np.sum(v[:, -1] > v[:, 0]))
        cases.append(Case(words, f'{risen} of {len(v)}', held=risen == len(v)))
    return Claim.of(
        'The loss rises in a fairly consistent way.',
        'section 3.1, figure 2',
        cases,
        _restarts(curves),
        'restarts that end above their start (consistent: all of them)',
    )


def _levelling(curves: Mapping[str, np.ndarray]) -> Claim:
    """Whether the mean loss has stopped rising; `curves` as for `_consistent`."""
    cases = []
    for words, v in curves.items():
        risen = _share_by(v, v.shape[1] * 3 // 4)
        if risen is None:
            cases.append(Case(words, 'the mean loss does not rise'))
        else:
            cases.append(Case(words, f'{1 - risen:.0%}', held=1 - risen <= _LEVEL))
    return Claim.of(
        'The loss plateaus rapidly.',
        'section 3.1, figure 2',
        cases,
        _restarts(curves),
        "share of the mean loss's rise in the last quarter of the steps (a plateau: at most "
        f'{_LEVEL:.0%})',
    )


def _restarts(curves: Mapping[str, np.ndarray]) -> str:
    return f'{len(next(iter(curves.values())))} restarts of an image'


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


def _percent(share: float | None) -> str | None:
    return None if share is None else f'{share:.0%}'
