"""Figure 4: the adversarial loss over training, from the logs that lie beside released weights."""

import csv
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from common.report.claims import Case, Claim, Measured, between
from common.report.exhibit import Exhibit, Table
from common.report.figures.study import Study
from common.report.series import Line

_WINDOW = 9  # logged batches that are averaged
# Number of batches, at most a window -> 97.5% quantile of Student's t for their mean.
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306}


def figure_4(study: Study, entry: dict[str, Any], released: pathlib.Path) -> Exhibit:
    """Training loss of adversarial examples over training.

    Args:
        study: the data set.
        entry: the record of the adversarially trained network in manifest.json.
        released: folder of released weights.

    Raises:
        UserError: a log is missing or damaged.
    """
    stages = [_read(released / log) for log in entry['logs']]
    starts = np.cumsum([0, *(stage[-1, 0] for stage in stages[:-1])])
    steps = [stage[:, 0] + start for stage, start in zip(stages, starts, strict=True)]
    losses = [stage[:, 1] for stage in stages]
    smooth = [_smoothed(values) for values in losses]

    lines = [
        Line('a batch', *_with_gaps(steps, losses)),
        Line('mean of nine', *_with_gaps(steps, smooth)),
    ]
    return study.exhibit(
        'figure_4',
        'figure 4, adversarial loss during training',
        setting=f'training batches, crafted in {entry["config"]["attack_dtype"]}, seed '
        f'{entry["seed"]}; the log of: {entry["command"]}',
        networks=[study.adversarial],
        on_test_images=False,
        claims=[_decrease(stages)],
        remarks=[f'How the stages differ: {entry["notes"]}'] if len(stages) > 1 else [],
        tables=[Table.of('', _rows(steps, losses, smooth))],
        pictures=study.draw(
            'figure_4',
            'Training loss of adversarial examples over the steps',
            'lines',
            [(study.title, lines)],
            xlabel='training step',
            ylabel='adversarial cross-entropy',
            markers=False,
            yscale='log',
            width=5.5,
            marks=starts[1:],
        ),
        data={
            'steps': [s.tolist() for s in steps],
            'losses': [values.tolist() for values in losses],
        },
    )


def _rows(
    steps: Sequence[np.ndarray], losses: Sequence[np.ndarray], smooth: Sequence[np.ndarray]
) -> list[dict[str, Any]]:
    """Eleven points of each stage."""
    return [
        {
            'stage': number,
            'step': f'{int(step[i]):,}',
            'loss of the batch': f'{loss[i]:.4f}',
            'mean of nine': f'{mean[i]:.4f}',
        }
        for number, (step, loss, mean) in enumerate(zip(steps, losses, smooth, strict=True), 1)
        for i in np.unique(np.linspace(0, len(step) - 1, 11).astype(int))
    ]


def _decrease(stages: Sequence[np.ndarray]) -> Claim:
    """Whether the loss of each stage is lower at its end than at its beginning.

    Args:
        stages: [k, 3] each, as from `_read`.
    """
    cases, sizes = [], []
    for number, stage in enumerate(stages, 1):
        # While the radius grows from 0, so does the loss.
        whole = stage[stage[:, 2] >= 1]
        n = min(_WINDOW, len(whole) // 2)
        if n < 2:
            cases.append(Case(f'stage {number}', 'too few batches'))
            continue
        first, last = (Measured.mean(part, _T[n]) for part in (whole[:n, 1], whole[-n:, 1]))
        cases.append(
            Case(
                f'stage {number}',
                f'{first.value:.3g} from step {int(whole[0, 0]):,} on, {last.value:.3g} at the end',
                f'{between(*first[1:], ".3g")}, then {between(*last[1:], ".3g")}',
                first.above(last),
            )
        )
        sizes.append(str(n))
    return Claim.of(
        'The adversarial loss decreases steadily during training.',
        'section 5, figure 4',
        cases,
        f'{" and ".join(sizes) or 0} batches at either end',
        'means of logged batches where the radius has its full size',
    )


def _with_gaps(steps: list[np.ndarray], values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Stages one after the other, separated by a NaN that no line crosses."""
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


def _smoothed(values: np.ndarray, width: int = _WINDOW) -> np.ndarray:
    """Means of windows, which are shorter at the ends."""
    window, inside = np.ones(width), slice(width // 2, width // 2 + len(values))
    total = np.convolve(values, window)[inside]
    return total / np.convolve(np.ones(len(values)), window)[inside]
