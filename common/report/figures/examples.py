"""Adversarial images to look at, and which classes are mistaken for which."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from common.report.exhibit import Exhibit, Table
from common.report.figures.study import CHOSEN, Study
from common.statistics import Measured

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
    x, y = study.test.x[images], study.test.y[images]
    ball, seed = study.pgd.ball, tf.constant([study.seed, 0])
    middle, half = (ball.upper + ball.lower) / 2, (ball.upper - ball.lower) / 2
    columns = {'image': study.numbers(images), 'class': [classes[label] for label in y]}
    drawn = [('natural', x, columns['class'])]
    for name, kind in study.compared.items():
        attacked = study.pgd(study.logits(name), tf.constant(x), tf.constant(y), seed=seed)
        x_adv = attacked.numpy()
        predicted = [classes[label] for label in study.judge(name)(x_adv, y)[0]]
        columns[f'{kind}, under attack'] = predicted
        # Grey is no change; the full pixel range shows the ball.
        perturbations = middle + (x_adv - x) / ball.epsilon * half
        drawn += [(f'against\n{name}', x_adv, predicted)]
        drawn += [('perturbation', perturbations, [''] * len(x))]
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return study.exhibit(
        'examples',
        'adversarial examples',
        setting=f'{study.pgd}, images {CHOSEN}',
        remarks=[
            'Above each image is its class, or the predicted class; perturbations are stretched '
            'until black and white are epsilon.'
        ],
        tables=[Table.of('', rows)],
        pictures=study.draw(
            'examples',
            'Natural images, adversarial ones, and the perturbations',
            'images',
            drawn,
            lower=ball.lower,
            upper=ball.upper,
        ),
        data={'images': columns['image'], 'rows': rows},
    )


def confusion(study: Study, classes: Sequence[str]) -> Exhibit:
    """The adversarially trained network's predictions for each class under PGD.

    Args:
        study: the data set.
        classes: their names.

    Raises:
        UserError: the network is missing.
    """
    name, y = study.adversarial, study.test.y
    outcome = study.accuracy(study.pgd, name, name)
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (y, outcome.predictions), 1)
    accuracies = [Measured.share(outcome.correct[y == label]) for label in range(len(classes))]
    rows = {
        word: [*line, accuracy.shown('.1%')]
        for word, line, accuracy in zip(classes, counts, accuracies, strict=True)
    }
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    title = 'Images; rows: class, columns: predicted class'
    return study.exhibit(
        'confusion',
        'mistakes under attack',
        setting=f'{study.pgd}, n = {len(study.test):,}',
        networks=[name],
        tables=[Table.matrix(title, [*classes, 'accuracy, with 95% interval'], rows)],
        pictures=study.draw(
            'confusion',
            f'Confusion matrix of {name} under attack',
            'heatmap',
            dict(zip(classes, shares, strict=True)),
            classes,
            ylabel='class',
            xlabel='predicted',
            title=f'{name} under PGD-{study.pgd.steps}',
            form='.0%',
        ),
        data={'classes': list(classes), 'counts': counts.tolist()},
    )
