"""Adversarial images to look at, and which classes are mistaken for which."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from common.report.exhibit import Exhibit, Table
from common.report.figures.study import CHOSEN, Study
from common.statistics import wilson_interval

_SHOWN = 8


def examples(study: Study, classes: Sequence[str]) -> Exhibit:
    """Images, their versions under PGD, and the perturbations.

    Args:
        study: the data set.
        classes: their names.

    Raises:
        UserError: a network is missing, or there are too few images.
    """
    images = study.images(_SHOWN)
    numbers = [study.number(image) for image in images]
    x, y = study.test.x[images], study.test.y[images]
    grid, words, titles = [list(x)], ['natural'], [[classes[label] for label in y]]
    rows = [
        {'image': number, 'class': classes[label]} for number, label in zip(numbers, y, strict=True)
    ]
    ball = study.pgd.ball
    for name, kind in study.compared.items():
        x_adv = _attacked(study, name, x, y)
        predictions, _ = study.judge(name)(x_adv, y)
        # Grey is no change; the full pixel range shows the ball.
        middle, half = (ball.upper + ball.lower) / 2, (ball.upper - ball.lower) / 2
        grid += [list(x_adv), list(middle + (x_adv - x) / ball.epsilon * half)]
        words += [f'against\n{name}', 'perturbation']
        titles += [[classes[p] for p in predictions], [''] * len(x)]
        for row, prediction in zip(rows, predictions, strict=True):
            row[f'{kind}, under attack'] = classes[prediction]

    return study.exhibit(
        'examples',
        'adversarial examples',
        setting=f'{study.pgd}, images {CHOSEN}',
        networks=list(study.compared),
        remarks=[
            'Above each image is its class, or the predicted class; perturbations are stretched '
            'until black and white are epsilon.'
        ],
        tables=[Table.of('', rows)],
        pictures=study.draw(
            'examples',
            'Natural images, adversarial ones, and the perturbations',
            'images',
            grid,
            rows=words,
            titles=titles,
            lower=ball.lower,
            upper=ball.upper,
        ),
        data={'images': numbers, 'rows': rows},
    )


def _attacked(study: Study, name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    seed = tf.constant([study.seed, 0])
    return study.pgd(study.logits(name), tf.constant(x), tf.constant(y), seed=seed).numpy()


def confusion(study: Study, classes: Sequence[str]) -> Exhibit:
    """The adversarially trained network's predictions for each class under PGD.

    Args:
        study: the data set.
        classes: their names.

    Raises:
        UserError: the network is missing.
    """
    name = study.adversarial
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (study.test.y, study.accuracy(study.pgd, name, name).predictions), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = [
        {'': classes[i], **{classes[j]: int(n) for j, n in enumerate(line)}}
        for i, line in enumerate(counts)
    ]

    return study.exhibit(
        'confusion',
        'mistakes under attack',
        setting=f'{study.pgd}, n = {len(study.test):,}',
        networks=[name],
        remarks=[_mistakes(counts, shares, classes)],
        tables=[Table.of('Images; rows: class, columns: predicted class', rows)],
        pictures=study.draw(
            'confusion',
            f'Confusion matrix of {name} under attack',
            'heatmap',
            shares,
            rows=classes,
            columns=classes,
            ylabel='class',
            xlabel='predicted',
            title=f'{name} under PGD-{study.pgd.steps}',
            form='.0%',
        ),
        data={'classes': list(classes), 'counts': counts.tolist()},
    )


def _mistakes(counts: np.ndarray, shares: np.ndarray, classes: Sequence[str]) -> str:
    wrong = shares - np.diag(np.diag(shares))
    if not wrong.any():
        return 'No image is misclassified.'
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    sizes = counts.sum(axis=1)
    weakest = int(np.where(sizes > 0, np.diag(shares), np.inf).argmin())
    low, high = wilson_interval(int(counts[weakest, weakest]), int(sizes[weakest]))
    return (
        f'The most frequent mistake is {classes[column]} for {classes[row]} '
        f'({wrong[row, column]:.1%} of that class); the least robust class is '
        f'{classes[weakest]}, with an accuracy of {shares[weakest, weakest]:.1%} '
        f'({low:.1%} to {high:.1%}, n = {sizes[weakest]:,}).'
    )
