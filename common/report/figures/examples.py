"""Adversarial images to look at, and which classes are mistaken for which."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from common.report.exhibit import Exhibit, Table
from common.report.figures.study import CHOSEN, NETWORKS, Study, draw
from common.statistics import wilson_interval

_SHOWN = 8


def examples(study: Study, classes: Sequence[str]) -> Exhibit:
    """Images, what PGD makes of them, and the perturbations.

    Args:
        study: the data set.
        classes: their names.

    Raises:
        UserError: a network is not there, or there are too few images.
    """
    images = study.images(_SHOWN)
    numbers = [study.number(image) for image in images]
    x, y = study.test.x[images], study.test.y[images]
    grid, words, titles = [list(x)], ['natural'], [[classes[label] for label in y]]
    rows = [
        {'image': number, 'class': classes[label]} for number, label in zip(numbers, y, strict=True)
    ]
    ball = study.pgd.ball
    for name, kind in NETWORKS.items():
        x_adv = _attacked(study, name, x, y)
        predictions, _ = study.judge(name)(x_adv, y)
        # Grey is no change; the full range stands for the ball.
        middle, half = (ball.upper + ball.lower) / 2, (ball.upper - ball.lower) / 2
        grid += [list(x_adv), list(middle + (x_adv - x) / ball.epsilon * half)]
        words += [f'against\n{name}', 'perturbation']
        titles += [[classes[p] for p in predictions], [''] * len(x)]
        for row, prediction in zip(rows, predictions, strict=True):
            row[f'{kind}, under attack'] = classes[prediction]
    pictures = draw(
        study.path('examples'),
        'Natural images, adversarial ones, and the perturbations',
        lambda plots, path: plots.images(
            path, grid, rows=words, titles=titles, lower=ball.lower, upper=ball.upper
        ),
    )
    return study.exhibit(
        'examples',
        'adversarial examples',
        setting=f'{study.pgd}, images {CHOSEN}',
        networks=list(NETWORKS),
        remarks=[
            'Above each image: its class, or what the network takes it for. Perturbations '
            'are stretched: black and white are epsilon.'
        ],
        tables=[Table.of('', rows)],
        pictures=pictures,
        data={'images': numbers, 'rows': rows},
    )


def _attacked(study: Study, name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    seed = tf.constant([study.seed, 0])
    return study.pgd(study.logits(name), tf.constant(x), tf.constant(y), seed=seed).numpy()


def confusion(study: Study, classes: Sequence[str]) -> Exhibit:
    """What network A takes each class for under PGD.

    Args:
        study: the data set.
        classes: their names.

    Raises:
        UserError: the network is not there.
    """
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (study.test.y, study.accuracy(study.pgd, 'A', 'A').predictions), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    pictures = draw(
        study.path('confusion'),
        'Confusion matrix of A under attack',
        lambda plots, path: plots.heatmap(
            path,
            shares,
            rows=classes,
            columns=classes,
            ylabel='class',
            xlabel='taken for',
            title=f'A under PGD-{study.pgd.steps}',
            form='.0%',
        ),
    )
    return study.exhibit(
        'confusion',
        'mistakes under attack',
        setting=f'{study.pgd}, n = {len(study.test):,}',
        networks=['A'],
        remarks=_mistakes(counts, shares, classes),
        tables=[
            Table.of(
                'Images; rows: class, columns: taken for',
                [
                    {'': classes[i], **{classes[j]: int(n) for j, n in enumerate(line)}}
                    for i, line in enumerate(counts)
                ],
            )
        ],
        pictures=pictures,
        data={'classes': list(classes), 'counts': counts.tolist()},
    )


def _mistakes(counts: np.ndarray, shares: np.ndarray, classes: Sequence[str]) -> list[str]:
    wrong = shares - np.diag(np.diag(shares))
    if not wrong.any():
        return ['No image is misclassified.']
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    sizes = counts.sum(axis=1)
    weakest = int(np.where(sizes > 0, np.diag(shares), np.inf).argmin())
    low, high = wilson_interval(int(counts[weakest, weakest]), int(sizes[weakest]))
    return [
        f'The likeliest mistake is {classes[column]} for {classes[row]} '
        f'({wrong[row, column]:.1%} of that class); the least robust class is '
        f'{classes[weakest]}, of which {shares[weakest, weakest]:.1%} stand '
        f'({low:.1%} to {high:.1%}, n = {sizes[weakest]:,}).'
    ]
