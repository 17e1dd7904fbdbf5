"""Figure 4: the adversarial loss over training, from the logs that lie beside released weights."""

import csv
import pathlib
from typing import Any

import numpy as np

from common.errors import UserError
from common.report.exhibit import Exhibit, Table
from common.report.figures.study import Study, draw


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
    starts = np.cumsum([0, *(stage[-1, 0] for stage in stages[:-1])])
    steps = [stage[:, 0] + start for stage, start in zip(stages, starts, strict=True)]
    smooth = [_smoothed(stage[:, 1]) for stage in stages]
    rows = [
        {
            'stage': number,
            'step': f'{int(steps[number - 1][i]):,}',
            'loss of the batch': f'{stage[i, 1]:.4f}',
            'mean of nine': f'{smooth[number - 1][i]:.4f}',
        }
        for number, stage in enumerate(stages, 1)
        for i in np.unique(np.linspace(0, len(stage) - 1, 11).astype(int))
    ]
    pictures = draw(
        study.path('figure_4'),
        'Training loss of adversarial examples over the steps',
        lambda plots, path: plots.lines(
            path,
            [
                (
                    study.title,
                    [
                        plots.Line(
                            'a batch', *_with_gaps(steps, [stage[:, 1] for stage in stages])
                        ),
                        plots.Line('mean of nine', *_with_gaps(steps, smooth)),
                    ],
                )
            ],
            xlabel='training step',
            ylabel='adversarial cross-entropy',
            markers=False,
            yscale='log',
            width=5.5,
            marks=starts[1:],
        ),
    )
    return study.exhibit(
        'figure_4',
        'figure 4, adversarial loss during training',
        setting=f'training batches, crafted in {entry["config"]["attack_dtype"]}, seed '
        f'{entry["seed"]}; the log of: {entry["command"]}',
        networks=['A'],
        on_test_images=False,
        remarks=[
            *(
                _course(number, len(stages), stage, smooth[number - 1])
                for number, stage in enumerate(stages, 1)
            ),
            *([f'How they differ: {entry["notes"]}'] if len(stages) > 1 else []),
            'The paper: a steady decrease.',
        ],
        tables=[Table.of('', rows)],
        pictures=pictures,
        data={
            'steps': [s.tolist() for s in steps],
            'losses': [stage[:, 1].tolist() for stage in stages],
        },
    )


def _course(number: int, stages: int, stage: np.ndarray, smooth: np.ndarray) -> str:
    # While the radius grows from 0, so does the loss.
    whole = np.flatnonzero(stage[:, 2] >= 1)
    first = int(whole[0]) if len(whole) else 0
    words = (
        'The loss'
        if stages == 1
        else (f'In stage {number} of {stages} (the dashed line lies between them) the loss')
    )
    return (
        f'{words} goes from {smooth[first]:.3g} to {smooth[-1]:.3g} (means of up to nine '
        'logged batches)'
        + (
            f', counted from step {int(stage[first, 0]):,}, where the radius, which grows from '
            '0, is the whole'
            if first
            else ''
        )
        + '.'
    )


def _with_gaps(steps: list[np.ndarray], values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Stages one after the other, with a NaN between them that no line crosses."""
    gap = [np.array([np.nan])]
    return tuple(
        np.concatenate([part for stage in kind for part in (stage, *gap)][:-1])
        for kind in (steps, values)
    )


def _read(path: pathlib.Path) -> np.ndarray:
    """[k, 3]: steps, losses and shares of the radius of a log.csv."""
    try:
        with open(path, newline='', encoding='utf-8') as file:
            rows = [
                [float(row[c]) for c in ('step', 'loss_adv', 'epsilon_factor')]
                for row in csv.DictReader(file)
                if row['loss_adv']
            ]
        if not rows:
            raise ValueError('no losses in it')
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'expected the log of a training in {path}; found {error}. Restore the '
            'file (git checkout, or install the package again).'
        ) from error
    return np.array(rows)


def _smoothed(values: np.ndarray, width: int = 9) -> np.ndarray:
    """Means of windows, which are shorter at the ends."""
    window, inside = np.ones(width), slice(width // 2, width // 2 + len(values))
    total = np.convolve(values, window)[inside]
    return total / np.convolve(np.ones(len(values)), window)[inside]
