"""Figure 4: the adversarial loss over training, from the logs that lie beside released weights."""

import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from common.networks.registry import RELEASED
from common.report.claims import Case, Claim
from common.report.exhibit import Exhibit, Line, Table
from common.report.figures.study import Study
from common.statistics import Measured

_WINDOW = 9  # logged batches that are averaged
# Number of batches, at most a window -> 97.5% quantile of Student's t for their mean.
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306}


def figure_4(study: Study, released: Mapping[str, Any], folder: pathlib.Path = RELEASED) -> Exhibit:
    """Training loss of adversarial examples over training.

    Args:
        study: the data set.
        released: name -> record of the released networks, from manifest.json.
        folder: of released weights and their logs.

    Raises:
        UserError: the adversarially trained network is not a released one, or a log is missing or
            damaged.
    """
    if study.adversarial not in released:
        raise UserError(
            'expected a released network, whose training log is known; found '
            f'{study.adversarial}. Choose another figure.'
        )
    entry = released[study.adversarial]
    stages = [_read(folder / log) for log in entry['logs']]
    starts = np.cumsum([0, *(stage[-1, 0] for stage in stages)])
    steps = [stage[:, 0] + start for stage, start in zip(stages, starts, strict=False)]
    losses = [stage[:, 1] for stage in stages]
    smooth = [_smoothed(values) for values in losses]
    rows = {
        f'stage {n + 1}, step {steps[n][i]:,.0f}': (f'{losses[n][i]:.4f}', f'{smooth[n][i]:.4f}')
        for n, stage in enumerate(stages)
        for i in np.unique(np.linspace(0, len(stage) - 1, 11).astype(int))
    }
    x = _with_gaps(steps)
    lines = [Line('a batch', x, _with_gaps(losses)), Line('mean of nine', x, _with_gaps(smooth))]
    return study.exhibit(
        'figure_4',
        'figure 4, adversarial loss during training',
        setting=f'training batches, crafted in {entry["config"]["attack_dtype"]}, seed '
        f'{entry["seed"]}; the log of: {entry["command"]}',
        networks=[study.adversarial],
        on_test_images=False,
        claims=[_decrease(stages)],
        remarks=[f'How the stages differ: {entry["notes"]}'] if len(stages) > 1 else [],
        tables=[Table.matrix('', ('loss of the batch', 'mean of nine'), rows)],
        pictures=study.draw(
            'figure_4',
            'Training loss of adversarial examples over the steps',
            'lines',
            [(study.title, lines)],
            xlabel='training step',
            ylabel='adversarial cross-entropy',
            yscale='log',
            marks=starts[1:-1],
        ),
        data={
            'steps': [s.tolist() for s in steps],
            'losses': [values.tolist() for values in losses],
        },
    )


def _decrease(stages: Sequence[np.ndarray]) -> Claim:
    """Whether the loss of each stage is lower at its end than at its beginning.

    Args:
        stages: [k, 3] each, as from `_read`.
    """
    cases, sizes = [], []
    for number, stage in enumerate(stages, 1):
        # While the radius grows from 0, so does the loss.
        whole = stage[stage[:, 2] >= 1, 1]
        n = min(_WINDOW, len(whole) // 2)
        if n < 2:
            cases.append(Case(f'stage {number}', 'too few batches'))
            continue
        ends = [Measured.mean(part, _T[n]) for part in (whole[:n], whole[-n:])]
        held = ends[0].above(ends[1])
        cases.append(Case.of(f'stage {number}', *ends, held=held, form='.3g'))
        sizes.append(str(n))
    return Claim.of(
        'The adversarial loss decreases steadily during training.',
        'section 5, figure 4',
        cases,
        f'{" and ".join(sizes) or 0} batches at either end',
        'means of the first and last logged batches where the radius has its full size',
    )


def _with_gaps(stages: list[np.ndarray]) -> np.ndarray:
    """Stages one after the other, separated by a NaN that no line crosses."""
    return np.concatenate([np.append(stage, np.nan) for stage in stages])


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
    half = width // 2
    return np.array([values[max(i - half, 0) : i + half + 1].mean() for i in range(len(values))])
