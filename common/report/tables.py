"""The paper's tables as exhibits."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.evaluation.rows import Row, cells
from common.evaluation.verdict import Verdict, records, stage_rows
from common.evaluation.worst_case import Judgement
from common.report.claims import CONTRADICTED, NOT_TESTED, REPRODUCED, Claim, verdict
from common.report.exhibit import Exhibit, Table
from common.statistics import Measured, counted

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
    papers = [column for row in rows for column in row.papers.items()]
    known = dict.fromkeys(name for name, paper in papers if paper is not None)
    return Exhibit(
        **facts,
        claims=tuple(_compared(rows, name) for name in known),
        remarks=tuple(why) if known else (),
        seconds=sum(row.seconds for row in rows),
        tables=(Table.of('', cells(rows, kinds)),),
        data=[row.as_json() for row in rows],
    )


def worst_case_exhibit(judgement: Judgement, **facts: Any) -> Exhibit:
    """A network's accuracy under a cascade of attacks, stage by stage, and its sanity checks.

    Args:
        judgement: the cascade's result.
        **facts: key, title, command, setting and networks of the exhibit.
    """
    worst = judgement.verdict
    checks = [
        {'check': c.name, 'found': c.words, 'result': 'ok' if c.passed else 'WARNING'}
        for c in judgement.checks
    ]
    return Exhibit(
        **facts,
        claims=(_first_order(worst),),
        remarks=(
            f'{Measured.share(worst.survived).shown()} of {counted(worst.n, "image")} '
            f'survive all attacks, '
            f'which spent {worst.spent}; plain PGD, the first one, leaves {worst.after(1):.2%}.',
            _WHAT_CHECKS_EXAMINE,
        ),
        tables=(Table.of('', stage_rows(worst)), *([Table.of('Checks', checks)] if checks else [])),
        seconds=judgement.row.seconds,
        data={
            'row': judgement.row.as_json(),
            'stages': records(worst)['stages'],
            'checks': [dataclasses.asdict(check) for check in judgement.checks],
        },
    )


_WHAT_CHECKS_EXAMINE = (
    'A check that warns casts doubt on this number. Those of more steps, more restarts, the '
    'score-based attack and transfer examine plain PGD, and "beyond the cascade" whether they '
    'break what survives the cascade.'
)


def _first_order(worst: Verdict) -> Claim:
    """Section 3.2's conjecture, by what other attacks with the network's own gradients break."""
    stages = [
        number
        for number, stage in enumerate(worst.stages)
        if number and stage.source is None and stage.attack.gradients
    ]
    beyond = Measured.share(np.isin(worst.broken_by, stages))
    judgement = NOT_TESTED
    if stages and beyond.low >= _MUCH:
        judgement = CONTRADICTED
    elif stages and beyond.high < _MUCH:
        judgement = REPRODUCED
    return Claim(
        'First-order adversaries find nothing much better than PGD.',
        'section 3.2',
        f'PGD leaves {worst.after(1):.2%}; other attacks by gradients break {beyond.value:.2%} of '
        f'the images beyond it (much: at least {_MUCH:.1%})',
        beyond.ends('.2%'),
        counted(worst.n, 'image'),
        judgement,
    )


def _compared(rows: Sequence[Row], name: str) -> Claim:
    """Whether the rows agree with a column of published numbers, which are rounded to a tenth."""
    known = [(row, row.papers[name]) for row in rows if row.papers.get(name) is not None]
    higher = [row.interval[0] > paper + _ROUNDED for row, paper in known]
    lower = [row.interval[1] < paper - _ROUNDED for row, paper in known]
    agree = [not (above or below) for above, below in zip(higher, lower, strict=True)]
    sizes = ' or '.join(f'{n:,}' for n in sorted({row.n for row, _ in known}))
    return Claim(
        "The table's accuracies.",
        f'column {name!r} of the table',
        f'{sum(agree)} of {len(known)} rows agree, {sum(higher)} lie above, {sum(lower)} below',
        "each row's own, and 0.05 points on either side for the rounding of published numbers",
        f'{sizes} images a row',
        verdict(agree),
    )
