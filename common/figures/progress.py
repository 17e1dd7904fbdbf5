"""Figure 4: the adversarial loss over training, from the logs that lie beside released weights."""

import csv
import pathlib
from typing import Any

import numpy as np

from common.errors import UserError
from common.exhibits import Exhibit, Table
from common.figures.study import Study, draw


def figure_4(study: Study, entry: dict[str, Any], released: pathlib.Path) -> Exhibit:
    """Training loss of adversarial examples over training.

    Args:
        study: the data set.
        entry: the record of network A in manifest.json.
        released: folder of released weights.

    Raises:
        UserError: a log is missing or damaged.
    """
    stages = [_read(released / log) for log in entry['logs']]
    steps = np.concatenate([
        stage[:, 0] + sum(s[-1, 0] for s in stages[:i]) for i, stage in enumerate(stages)])
    losses = np.concatenate([stage[:, 1] for stage in stages])
    smooth = _smoothed(losses)
    rising = int(sum(np.sum(stage[:, 2] < 1) for stage in stages))
    rows = [{'step': f'{int(steps[i]):,}', 'loss of the batch': f'{losses[i]:.4f}',
             'mean of nine': f'{smooth[i]:.4f}'}
            for i in np.unique(np.linspace(0, len(steps) - 1, 11).astype(int))]
    pictures = draw(
        study.path('figure_4'), 'Training loss of adversarial examples over the steps',
        lambda plots, path: plots.lines(
            path, [(study.title, [plots.Line('a batch', steps, losses),
                                  plots.Line('mean of nine', steps, smooth)])],
            xlabel='training step', ylabel='adversarial cross-entropy', markers=False,
            yscale='log', width=5.5))
    return study.exhibit(
        'figure_4', 'figure 4, adversarial loss during training',
        setting=f'the log of: {entry["command"]}', networks=['A'],
        remarks=[
            f'The loss goes from {smooth[rising]:.3g} to {smooth[-1]:.3g} (means of nine logged '
            'batches)' + (f', counted from where the radius, which grew from 0 at first, is the '
                          f'whole: step {int(steps[rising]):,}' if rising else '') + '.',
            'The paper: a steady decrease, with sharp drops where the step size decreases.'],
        tables=[Table.of('', rows)], pictures=pictures,
        data={'steps': steps.tolist(), 'losses': losses.tolist()})


def _read(path: pathlib.Path) -> np.ndarray:
    """[k, 3]: steps, losses and shares of the radius of a log.csv."""
    try:
        with open(path, newline='', encoding='utf-8') as file:
            rows = [[float(row[c]) for c in ('step', 'loss_adv', 'epsilon_factor')]
                    for row in csv.DictReader(file) if row['loss_adv']]
        if not rows:
            raise ValueError('no losses in it')
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'expected the log of a training in {path}; found {error}. Restore the '
                        'file (git checkout, or install the package again).') from error
    return np.array(rows)


def _smoothed(values: np.ndarray, width: int = 9) -> np.ndarray:
    """Means of windows, which are shorter at the ends."""
    window, inside = np.ones(width), slice(width // 2, width // 2 + len(values))
    total = np.convolve(values, window)[inside]
    return total / np.convolve(np.ones(len(values)), window)[inside]
