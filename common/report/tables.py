"""The paper's tables as exhibits."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.evaluation.rows import Row, strongest
from common.evaluation.sanity_checks import Check
from common.evaluation.verdict import Verdict, records, stage_rows
from common.evaluation.worst_case import Judgement
from common.report.claims import (
    CONTRADICTED,
    NOT_TESTED,
    REPRODUCED,
    Claim,
    Measured,
    between,
    verdict,
)
from common.report.exhibit import Exhibit, Table

_ROUNDED = 0.0005  # published accuracies are rounded to a tenth of a percent
_MUCH = 0.005  # share of the images from which on more broken images are "much" more


def table_exhibit(
    rows: Sequence[Row],
    *,
    why: Sequence[str] = (),
    kinds: dict[str, str] | None = None,
    **facts: Any,
) -> Exhibit:
    """A table of accuracies under attack, beside the paper's.

    Args:
        rows: of one target network, or of several.
        why: sentences that explain differences from published numbers, where there are any.
        kinds: of black-box attacks, as for `strongest`.
        **facts: key, title, command, setting and networks of the exhibit.
    """
    marked, published = strongest(rows, kinds), _published(rows)
    return Exhibit(
        **facts,
        claims=tuple(_compared(rows, name) for name in published),
        remarks=tuple(why) if published else (),
        seconds=sum(row.seconds for row in rows),
        tables=(Table.of('', [_cells(row, row in marked) for row in rows]),),
        data=[row.as_json() for row in rows],
    )


def worst_case_exhibit(judgement: Judgement, **facts: Any) -> Exhibit:
    """A network's accuracy under a cascade of attacks, stage by stage, and its sanity checks.

    Args:
        judgement: the cascade's result.
        **facts: key, title, command, setting and networks of the exhibit.
    """
    worst = judgement.verdict
    stages = {name: value for name, value in records(worst).items() if name != 'images'}
    return Exhibit(
        **facts,
        claims=(_first_order(worst),),
        remarks=(
            f'{worst.accuracy:.2%} ({between(*worst.interval, ".2%")}, n = {worst.n:,}) of the '
            f'images survive all attacks, which spent {worst.spent}; plain PGD, the first of them, '
            f'leaves {worst.after(1):.2%}.',
            _warnings(judgement.checks),
        ),
        tables=(Table.of('', stage_rows(worst)), _checks(judgement.checks)),
        seconds=judgement.row.seconds,
        data={
            'row': judgement.row.as_json(),
            **stages,
            'checks': [dataclasses.asdict(check) for check in judgement.checks],
        },
    )


def _first_order(worst: Verdict) -> Claim:
    """Section 3.2's conjecture, by what other attacks with the network's own gradients break."""
    stages = [
        number
        for number, stage in enumerate(worst.stages)
        if number and stage.source is None and stage.attack.gradients
    ]
    beyond = Measured.share(int(np.isin(worst.broken_by, stages).sum()), worst.n)
    judgement = NOT_TESTED
    if stages and beyond.low >= _MUCH:
        judgement = CONTRADICTED
    elif stages and beyond.high < _MUCH:
        judgement = REPRODUCED
    return Claim(
        'First-order adversaries find nothing much better than PGD.',
        'section 3.2',
        f'PGD leaves {worst.after(1):.2%}; other attacks by gradients break {beyond.value:.2%} of '
        f'the images beyond it (much: at least {100 * _MUCH:g} points)',
        between(*beyond[1:], '.2%'),
        f'{worst.n:,} images',
        judgement,
    )


def _warnings(checks: Sequence[Check]) -> str:
    names = ', '.join(check.name for check in checks if not check.passed)
    if not names:
        return 'None of the checks casts doubt on this number.'
    return (
        f'Checks that warn: {names}; those of more steps, more restarts, the score-based attack '
        'and transfer examine plain PGD, and "beyond the cascade" whether they break what survives '
        'the cascade.'
    )


def _checks(checks: Sequence[Check]) -> Table:
    return Table(
        'Checks',
        ('check', 'found', 'result'),
        tuple((check.name, check.words, 'ok' if check.passed else 'WARNING') for check in checks),
    )


def _published(rows: Sequence[Row]) -> list[str]:
    """Headings of the columns of published numbers that are not empty."""
    names = dict.fromkeys(name for row in rows for name in row.papers)
    return [name for name in names if any(row.papers.get(name) is not None for row in rows)]


def _cells(row: Row, marked: bool) -> dict[str, object]:
    low, high = row.interval
    return {
        'method': row.method,
        'steps': row.steps,
        'restarts': row.restarts,
        'source': row.source,
        'target': row.target,
        'accuracy': f'{row.accuracy:.2%}',
        '95% interval': f'{low:.2%} to {high:.2%}',
        'n': f'{row.n:,}',
        **{name: None if value is None else f'{value:.1%}' for name, value in row.papers.items()},
        'strongest of its kind': 'yes' if marked else '',
    }


def _compared(rows: Sequence[Row], name: str) -> Claim:
    """Whether the rows agree with a column of published numbers, which are rounded to a tenth."""
    known = [(row, row.papers[name]) for row in rows if row.papers.get(name) is not None]
    higher = sum(row.interval[0] > paper + _ROUNDED for row, paper in known)
    lower = sum(row.interval[1] < paper - _ROUNDED for row, paper in known)
    agree = len(known) - higher - lower
    sizes = sorted({row.n for row, _ in known})
    return Claim(
        "The table's accuracies.",
        f'column {name!r} of the table',
        f'{agree} of {len(known)} rows agree, {higher} lie above, {lower} below',
        "each row's own, and 0.05 points on either side for the rounding of published numbers",
        ' or '.join(f'{n:,}' for n in sizes) + ' images a row',
        verdict([True] * agree + [False] * (higher + lower)),
    )
